/* Tests of server/peers.c: which addresses are one client. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "server/peers.h"
#include "tests/run_suite.h"

static struct srv_peers *peers;

static struct srv_peer *enter(const char *text)
{
    struct sockaddr_storage address;
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    memset(&address, 0, sizeof address);
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
    } else {
        ck_assert_int_eq(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
    }
    return srv_peers_enter(peers, (struct sockaddr *)&address);
}

START_TEST(who_is_one_client)
{
    static const struct {
        const char *one, *other;
        int same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.2", 0},
        {"192.0.2.1", "::ffff:192.0.2.1", 1},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", 0},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 1},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", 0},
        {"32.1.13.184", "2001:db8::1", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(srv_peers_open(1, &peers), API_OK);
        struct srv_peer *one = enter(cases[i].one);
        ck_assert_ptr_nonnull(one);
        struct srv_peer *other = enter(cases[i].other);
        ck_assert_msg((other == NULL) == cases[i].same, "%s and %s",
                      cases[i].one, cases[i].other);
        srv_peers_leave(peers, one);
        srv_peers_leave(peers, other);
        srv_peers_close(&peers);
    }
}
END_TEST

START_TEST(leaving_makes_room)
{
    ck_assert_int_eq(srv_peers_open(2, &peers), API_OK);
    struct srv_peer *one = enter("192.0.2.1"), *two = enter("192.0.2.1");
    ck_assert_ptr_nonnull(two);
    ck_assert_ptr_null(enter("192.0.2.1"));
    srv_peers_leave(peers, one);
    one = enter("192.0.2.1");
    ck_assert_ptr_nonnull(one);
    srv_peers_leave(peers, one);
    srv_peers_leave(peers, two);
    srv_peers_leave(peers, NULL);
    srv_peers_close(&peers);
    ck_assert_ptr_null(peers);
}
END_TEST

static void *come_and_go(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2000; i++) {
        struct srv_peer *mine = enter("192.0.2.1");
        struct srv_peer *other = enter(i % 2 ? "192.0.2.2" : "2001:db8::1");
        srv_peers_leave(peers, mine);
        srv_peers_leave(peers, other);
    }
    return NULL;
}

START_TEST(threads_lose_no_count)
{
    pthread_t threads[4];
    ck_assert_int_eq(srv_peers_open(1, &peers), API_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, NULL),
                         0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct srv_peer *one = enter("192.0.2.1");
    ck_assert_ptr_nonnull(one);
    srv_peers_leave(peers, one);
    srv_peers_close(&peers);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("peers");
    tcase_add_test(cases, who_is_one_client);
    tcase_add_test(cases, leaving_makes_room);
    tcase_add_test(cases, threads_lose_no_count);
    Suite *suite = suite_create("server peers");
    suite_add_tcase(suite, cases);
    return suite;
}
