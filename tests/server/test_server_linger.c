/* Tests of server/linger.c: who is read to the end, and who is not. */
#include <check.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/linger.h"
#include "tests/run_suite.h"

static struct srv_linger *linger;

static void start(void)
{
    ck_assert_int_eq(srv_linger_open(3600000, &linger), API_OK);
}

static void end(void)
{
    srv_linger_close(&linger);
    ck_assert_ptr_null(linger);
    srv_linger_close(&linger);
}

/* A client of a server that has ended the connection. */
static int ended(void)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    srv_linger_take(linger, ends[0]);
    close(ends[0]);
    return ends[1];
}

static bool send_byte(int client)
{
    return send(client, "a", 1, MSG_NOSIGNAL) == 1;
}

START_TEST(who_still_sends_is_read)
{
    char byte;
    int client = ended();
    ck_assert_int_eq(recv(client, &byte, 1, 0), 0); /* it knows of the end */
    for (int i = 0; i < 100000; i++)
        ck_assert(send_byte(client));
    close(client);
}
END_TEST

START_TEST(places_are_few_and_come_back)
{
    int clients[SRV_LINGER_PLACES];
    for (unsigned i = 0; i < SRV_LINGER_PLACES; i++)
        clients[i] = ended();
    int late = ended();
    ck_assert(!send_byte(late));
    close(late);
    for (unsigned i = 0; i < SRV_LINGER_PLACES; i++) {
        ck_assert(send_byte(clients[i]));
        close(clients[i]);
    }
    bool taken = false;
    while (!taken) { /* the thread notices in its own time */
        int next = ended();
        taken = send_byte(next);
        close(next);
    }
}
END_TEST

START_TEST(patience_ends)
{
    struct srv_linger *hasty = NULL;
    int ends[2];
    ck_assert_int_eq(srv_linger_open(1, &hasty), API_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    srv_linger_take(hasty, ends[0]);
    close(ends[0]);
    while (send_byte(ends[1])) /* or the test's timeout ends it */
        continue;
    close(ends[1]);
    srv_linger_close(&hasty);
}
END_TEST

START_TEST(the_end_closes_all)
{
    int clients[10];
    for (int i = 0; i < 10; i++)
        clients[i] = ended();
    srv_linger_close(&linger);
    for (int i = 0; i < 10; i++) {
        ck_assert(!send_byte(clients[i]));
        close(clients[i]);
    }
}
END_TEST

START_TEST(who_has_closed_takes_no_place)
{
    for (unsigned i = 0; i < 2 * SRV_LINGER_PLACES; i++) {
        int ends[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        close(ends[1]);
        srv_linger_take(linger, ends[0]);
        close(ends[0]);
    }
    int client = ended();
    ck_assert(send_byte(client));
    close(client);
}
END_TEST

Suite *make_suite(void)
{
    TCase *tests = tcase_create("linger");
    tcase_add_checked_fixture(tests, start, end);
    tcase_add_test(tests, who_still_sends_is_read);
    tcase_add_test(tests, places_are_few_and_come_back);
    tcase_add_test(tests, patience_ends);
    tcase_add_test(tests, the_end_closes_all);
    tcase_add_test(tests, who_has_closed_takes_no_place);
    Suite *suite = suite_create("server linger");
    suite_add_tcase(suite, tests);
    return suite;
}
