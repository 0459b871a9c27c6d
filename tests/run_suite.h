/* What a test file hands to the common main(). */
#ifndef CLEAVE_TESTS_RUN_SUITE_H
#define CLEAVE_TESTS_RUN_SUITE_H

#include <check.h>

Suite *make_suite(void);

#endif
