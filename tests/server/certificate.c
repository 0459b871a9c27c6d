/* Self-signed certificates by GnuTLS. */
#include "certificate.h"

#include <check.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <time.h>

/* Aside and renamed: the server must never read half a file. */
static void write_pem(const char *path, gnutls_datum_t *pem)
{
    char aside[200];
    if (path) {
        snprintf(aside, sizeof aside, "%s.part", path);
        FILE *file = fopen(aside, "w");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(pem->data, 1, pem->size, file), pem->size);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(rename(aside, path), 0);
    }
    gnutls_free(pem->data);
}

void certificate_make(unsigned char serial, const char *certificate_path,
                      const char *key_path)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t made;
    gnutls_datum_t pem;
    const char *wrong;
    time_t now = time(NULL);
    ck_assert_int_eq(gnutls_x509_privkey_init(&key), 0);
    ck_assert_int_eq(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA,
                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    ck_assert_int_eq(gnutls_x509_crt_init(&made), 0);
    int failed =
        gnutls_x509_crt_set_version(made, 3) ||
        gnutls_x509_crt_set_serial(made, &serial, 1) ||
        gnutls_x509_crt_set_activation_time(made, now - 60) ||
        gnutls_x509_crt_set_expiration_time(made, now + 3600) ||
        gnutls_x509_crt_set_dn(made, "CN=localhost", &wrong) ||
        gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_DNSNAME,
                                             "localhost", 9, GNUTLS_FSAN_SET) ||
        gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_IPADDRESS,
                                             loopback, sizeof loopback,
                                             GNUTLS_FSAN_APPEND) ||
        gnutls_x509_crt_set_basic_constraints(made, 1, -1) ||
        gnutls_x509_crt_set_key(made, key) ||
        gnutls_x509_crt_sign2(made, made, key, GNUTLS_DIG_SHA256, 0);
    ck_assert(!failed);
    ck_assert_int_eq(gnutls_x509_crt_export2(made, GNUTLS_X509_FMT_PEM, &pem),
                     0);
    write_pem(certificate_path, &pem);
    ck_assert_int_eq(
        gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_pem(key_path, &pem);
    gnutls_x509_crt_deinit(made);
    gnutls_x509_privkey_deinit(key);
}
