/* Certificates for tests, made when they are needed. */
#ifndef CLEAVE_TESTS_CERTIFICATE_H
#define CLEAVE_TESTS_CERTIFICATE_H

/* Writes a new key (P-256) and a certificate for localhost and 127.0.0.1 that
 * it signs itself, both PEM. `serial` tells it from others. NULL writes no
 * such file. */
void certificate_make(unsigned char serial, const char *certificate_path,
                      const char *key_path);

#endif
