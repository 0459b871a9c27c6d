/* Certificates and keys through GnuTLS. */
#include "server/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CHAIN 16u /* certificates in a file */
#define KEY_ID_BYTES 32u

/* What one reading of the files gave. */
struct credentials {
    struct credentials *older;
    unsigned count;
    gnutls_pcert_st chain[MOST_CHAIN];
    gnutls_privkey_t key;
    int64_t not_after;
};

struct srv_tls {
    /* The newest first. A session keeps pointers into what it began with for
     * as long as it lives, so all stay until the end: some kilobytes for each
     * renewal. */
    struct credentials *_Atomic newest;
    char *certificate_path, *key_path;
};

static struct srv_tls *serving;

static void drop(struct credentials *credentials)
{
    for (unsigned i = 0; i < credentials->count; i++)
        gnutls_pcert_deinit(&credentials->chain[i]);
    if (credentials->key)
        gnutls_privkey_deinit(credentials->key);
    free(credentials);
}

static int read_key(const char *path, gnutls_privkey_t *key)
{
    gnutls_datum_t pem = {NULL, 0};
    int result = gnutls_load_file(path, &pem);
    if (result < 0)
        return result;
    result = gnutls_privkey_init(key);
    if (result == 0)
        result = gnutls_privkey_import_x509_raw(*key, &pem, GNUTLS_X509_FMT_PEM,
                                                NULL, 0);
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
    return result;
}

static int read_not_after(gnutls_pcert_st *certificate, int64_t *not_after)
{
    gnutls_x509_crt_t parsed;
    int result = gnutls_pcert_export_x509(certificate, &parsed);
    if (result < 0)
        return result;
    *not_after = gnutls_x509_crt_get_expiration_time(parsed);
    gnutls_x509_crt_deinit(parsed);
    return 0;
}

/* Is it the certificate of this key? */
static int match(const struct credentials *credentials)
{
    unsigned char ours[KEY_ID_BYTES], theirs[KEY_ID_BYTES];
    size_t our_bytes = sizeof ours, their_bytes = sizeof theirs;
    gnutls_pubkey_t public;
    int result = gnutls_pubkey_init(&public);
    if (result < 0)
        return result;
    result = gnutls_pubkey_import_privkey(public, credentials->key, 0, 0);
    if (result == 0)
        result = gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, ours,
                                          &our_bytes);
    if (result == 0)
        result = gnutls_pubkey_get_key_id(credentials->chain[0].pubkey,
                                          GNUTLS_KEYID_USE_SHA256, theirs,
                                          &their_bytes);
    if (result == 0 &&
        (our_bytes != their_bytes || memcmp(ours, theirs, our_bytes) != 0))
        result = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
    gnutls_pubkey_deinit(public);
    return result;
}

enum api_status srv_tls_reload(struct srv_tls *tls, struct api_error *error)
{
    struct credentials *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for a certificate");
    const char *what = tls->certificate_path;
    unsigned count = MOST_CHAIN;
    int result = gnutls_pcert_list_import_x509_file(
        made->chain, &count, what, GNUTLS_X509_FMT_PEM, NULL, NULL, 0);
    if (result == 0) {
        made->count = count;
        result = read_not_after(&made->chain[0], &made->not_after);
    }
    if (result == 0) {
        what = tls->key_path;
        result = read_key(what, &made->key);
    }
    if (result == 0)
        result = match(made);
    if (result < 0) {
        drop(made);
        return api_fail(error, API_USAGE, "%.100s: %s", what,
                        gnutls_strerror(result));
    }
    made->older = atomic_load(&tls->newest);
    atomic_store(&tls->newest, made);
    return API_OK;
}

enum api_status srv_tls_open(const char *certificate_path, const char *key_path,
                             struct srv_tls **tls, struct api_error *error)
{
    struct srv_tls *made = calloc(1, sizeof *made);
    enum api_status status = API_NO_MEMORY;
    if (made) {
        made->certificate_path = strdup(certificate_path);
        made->key_path = strdup(key_path);
    }
    if (made && made->certificate_path && made->key_path)
        status = srv_tls_reload(made, error);
    else
        api_fail(error, status, "no memory for a certificate");
    if (status == API_OK)
        serving = *tls = made;
    else
        srv_tls_close(&made);
    return status;
}

void srv_tls_close(struct srv_tls **tls)
{
    struct srv_tls *old = *tls;
    if (!old)
        return;
    struct credentials *next = atomic_load(&old->newest);
    while (next) {
        struct credentials *older = next->older;
        drop(next);
        next = older;
    }
    free(old->certificate_path);
    free(old->key_path);
    free(old);
    *tls = NULL;
}

int64_t srv_tls_not_after(struct srv_tls *tls)
{
    return atomic_load(&tls->newest)->not_after;
}

int srv_tls_retrieve(gnutls_session_t session,
                     const struct gnutls_cert_retr_st *info,
                     gnutls_pcert_st **certificates, unsigned *count,
                     gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count,
                     gnutls_privkey_t *key, unsigned *flags)
{
    (void)session;
    (void)info;
    struct credentials *newest = atomic_load(&serving->newest);
    *certificates = newest->chain;
    *count = newest->count;
    *key = newest->key;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0; /* all of it stays ours */
    return 0;
}
