/* The certificate of a server that speaks TLS, replaceable while it serves. */
#ifndef CLEAVE_SERVER_TLS_H
#define CLEAVE_SERVER_TLS_H

#include <gnutls/abstract.h>
#include <stdint.h>

#include "api/status.h"

/* For GnuTLS: TLS 1.2 and 1.3, and no key exchange that a stolen key could
 * undo later. */
#define SRV_TLS_PRIORITIES                                                     \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:%SERVER_PRECEDENCE"

struct srv_tls;

/* Reads a certificate, with the chain behind it, and its key, both PEM.
 * API_USAGE if they cannot be read or do not belong together. There may be
 * one at a time in a process: GnuTLS gives its callback no context. */
enum api_status srv_tls_open(const char *certificate_path, const char *key_path,
                             struct srv_tls **tls, struct api_error *error);

/* After all of its sessions have ended. NULL is fine. */
void srv_tls_close(struct srv_tls **tls);

/* Reads both files again, for the handshakes that come; on failure the old
 * ones stay. One thread at a time. */
enum api_status srv_tls_reload(struct srv_tls *tls, struct api_error *error);

/* When the certificate ends, in seconds since the Unix epoch. Thread-safe. */
int64_t srv_tls_not_after(struct srv_tls *tls);

/* What GnuTLS calls in a handshake: a gnutls_certificate_retrieve_function3.
 * Thread-safe. */
int srv_tls_retrieve(gnutls_session_t session,
                     const struct gnutls_cert_retr_st *info,
                     gnutls_pcert_st **certificates, unsigned *count,
                     gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count,
                     gnutls_privkey_t *key, unsigned *flags);

#endif
