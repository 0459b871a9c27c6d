/* A server that ends while its threads are at work on their epoll sets. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "exchange.h"
#include "running_server.h"
#include "tests/run_suite.h"

START_TEST(who_loses_the_race_for_the_socket_tries_again)
{
    struct running_server server;
    struct exchange exchange;
    setenv("LD_PRELOAD", LOST_EPOLL, 1);
    server_start(&server, (const char *const[]){"--http-threads", "2", NULL});
    unsetenv("LD_PRELOAD");
    exchange_get(&server, "/healthz", &exchange);
    ck_assert_int_eq(exchange.code, 200);
    exchange_free(&exchange);
    ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
    free(server_log_wait(&server, "lost the race", 2));
    ck_assert_int_eq(server_end(&server, 0), 0);
}
END_TEST

Suite *make_suite(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    atexit(curl_global_cleanup);
    TCase *tests = tcase_create("quiesce");
    tcase_add_test(tests, who_loses_the_race_for_the_socket_tries_again);
    Suite *suite = suite_create("server quiesce");
    suite_add_tcase(suite, tests);
    return suite;
}
