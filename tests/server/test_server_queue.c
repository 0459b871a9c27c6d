/* Tests of server/queue.c: bounds, order, deadlines, the end. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/monotonic.h"
#include "server/queue.h"
#include "tests/run_suite.h"

/* A gate that holds workers until it is opened. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned inside;
};

static struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                           false, 0};

static void gate_pass(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_wait_inside(unsigned count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.inside < count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_open(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

struct task {
    struct srv_job job;
    bool waits_at_gate;
    int64_t takes_us;   /* when it is done at all */
    int64_t ran_us;     /* when */
    struct task *hurry; /* gets a deadline HASTE_US after this one's end */
    atomic_uint runs;
    unsigned turn;     /* in which it ran, from 1 */
    unsigned together; /* with how many, itself among them */
    enum api_status verdict;
};

static atomic_uint turns;

#define TAKES_US 50000
#define HASTE_US 40000

static void run(struct srv_job *job, enum api_status verdict)
{
    unsigned together = 0;
    for (const struct srv_job *at = job; at; at = at->next)
        together++;
    while (job) {
        struct task *task =
            (struct task *)(void *)((char *)job - offsetof(struct task, job));
        job = job->next;
        if (task->waits_at_gate)
            gate_pass();
        task->verdict = verdict;
        task->together = together;
        task->ran_us = srv_now_us();
        if (verdict == API_OK && task->takes_us > 0)
            nanosleep(
                &(struct timespec){.tv_nsec = (long)task->takes_us * 1000},
                NULL);
        if (task->hurry)
            task->hurry->job.deadline_us = srv_now_us() + HASTE_US;
        task->turn = atomic_fetch_add(&turns, 1) + 1;
        atomic_fetch_add(&task->runs, 1);
    }
}

static void prepare(struct task *task, bool waits_at_gate)
{
    *task = (struct task){.waits_at_gate = waits_at_gate};
    task->job.run = run;
    task->job.deadline_us = srv_now_us() + INT64_C(3600000000);
}

static unsigned client_capacity, batch = 1;

static struct srv_queue *open_queue(unsigned capacity, unsigned workers)
{
    struct srv_queue *queue = NULL;
    ck_assert_int_eq(
        srv_queue_open(
            &(struct srv_queue_options){.workers = workers,
                                        .capacity = capacity,
                                        .client_capacity = client_capacity,
                                        .batch = batch},
            &queue, NULL),
        API_OK);
    return queue;
}

START_TEST(jobs_run_once_in_order)
{
    enum { COUNT = 200 };
    static struct task tasks[COUNT];
    struct srv_queue *queue = open_queue(COUNT, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        prepare(&tasks[i], i == 0);
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    }
    gate_wait_inside(1);
    ck_assert_uint_eq(srv_queue_running(queue), 1);
    ck_assert_uint_eq(srv_queue_depth(queue), COUNT - 1);
    gate_open();
    srv_queue_close(&queue);
    ck_assert_ptr_null(queue);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(atomic_load(&tasks[i].runs), 1);
        ck_assert_uint_eq(tasks[i].turn, i + 1);
        ck_assert_int_eq(tasks[i].verdict, API_OK);
        ck_assert_int_ge(tasks[i].job.queued_us, 1);
    }
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    static struct task tasks[5];
    struct srv_queue *queue = open_queue(2, 2);
    for (int i = 0; i < 2; i++) {
        prepare(&tasks[i], true);
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    }
    gate_wait_inside(2); /* both workers are busy, nothing waits */
    for (int i = 2; i < 4; i++) {
        prepare(&tasks[i], false);
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    }
    prepare(&tasks[4], false);
    ck_assert_int_eq(srv_queue_submit(queue, &tasks[4].job), API_OVERLOADED);
    gate_open();
    srv_queue_close(&queue);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(atomic_load(&tasks[i].runs), 1);
    ck_assert_uint_eq(atomic_load(&tasks[4].runs), 0);
}
END_TEST

START_TEST(clients_take_turns)
{
    /* Clients by the order in which their jobs came, and ran. */
    static const char came[] = "aaaabbac", ran[] = "abcabaaa";
    enum { COUNT = 8 };
    static struct task blocker, tasks[COUNT];
    struct srv_queue *queue = open_queue(COUNT, 1);
    prepare(&blocker, true);
    ck_assert_int_eq(srv_queue_submit(queue, &blocker.job), API_OK);
    gate_wait_inside(1);
    for (int i = 0; i < COUNT; i++) {
        prepare(&tasks[i], false);
        tasks[i].job.client = (uint64_t)came[i] << 40;
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    }
    ck_assert_uint_eq(srv_queue_depth(queue), COUNT);
    gate_open();
    srv_queue_close(&queue);
    unsigned last_turn[256] = {0};
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(ran[tasks[i].turn - 2], came[i]);
        ck_assert_uint_gt(tasks[i].turn, last_turn[(int)came[i]]);
        last_turn[(int)came[i]] = tasks[i].turn;
    }
}
END_TEST

START_TEST(one_client_may_only_queue_so_much)
{
    static struct task blocker, tasks[5];
    static const char clients[] = "aaabb";
    client_capacity = 2;
    struct srv_queue *queue = open_queue(9, 1);
    prepare(&blocker, true);
    ck_assert_int_eq(srv_queue_submit(queue, &blocker.job), API_OK);
    gate_wait_inside(1);
    for (int i = 0; i < 5; i++) {
        enum api_status expected = i == 2 ? API_QUOTA : API_OK;
        prepare(&tasks[i], false);
        tasks[i].job.client = (uint64_t)clients[i];
        ck_assert_int_eq(srv_queue_ask(queue, tasks[i].job.client), expected);
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), expected);
    }
    gate_open();
    srv_queue_close(&queue);
    client_capacity = 0;
}
END_TEST

START_TEST(who_has_most_waiting_gives_way)
{
    /* Of four places a takes all, then b, c and d come. */
    static const struct {
        char client;
        enum api_status expected;
        int displaced; /* the task, or -1 */
    } steps[] = {
        {'a', API_OK, -1}, {'a', API_OK, -1},         {'a', API_OK, -1},
        {'a', API_OK, -1}, {'a', API_OVERLOADED, -1}, {'b', API_OK, 0},
        {'b', API_OK, 1},  {'b', API_OVERLOADED, -1}, {'c', API_OK, 2},
        {'d', API_OK, 5},  {'d', API_OVERLOADED, -1}, {'e', API_OVERLOADED, -1},
    };
    enum { COUNT = sizeof steps / sizeof *steps };
    static struct task blocker, tasks[COUNT];
    struct srv_queue *queue = open_queue(4, 1);
    prepare(&blocker, true);
    ck_assert_int_eq(srv_queue_submit(queue, &blocker.job), API_OK);
    gate_wait_inside(1);
    unsigned runs = 0;
    for (int i = 0; i < COUNT; i++) {
        prepare(&tasks[i], false);
        tasks[i].job.client = (uint64_t)steps[i].client;
        ck_assert_int_eq(srv_queue_ask(queue, tasks[i].job.client),
                         steps[i].expected);
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job),
                         steps[i].expected);
        int displaced = steps[i].displaced;
        runs += displaced >= 0;
        ck_assert_uint_eq(atomic_load(&turns), runs);
        if (displaced >= 0)
            ck_assert_int_eq(tasks[displaced].verdict, API_QUOTA);
        ck_assert_uint_eq(srv_queue_depth(queue), i < 4 ? (unsigned)i + 1 : 4);
    }
    gate_open();
    srv_queue_close(&queue);
    ck_assert_uint_eq(atomic_load(&turns), runs + 5);
}
END_TEST

START_TEST(expired_jobs_are_told_so)
{
    static struct task blocker, expired, lasting;
    struct srv_queue *queue = open_queue(4, 1);
    prepare(&blocker, true);
    prepare(&expired, false);
    prepare(&lasting, false);
    expired.job.deadline_us = srv_now_us() - 1;
    ck_assert_int_eq(srv_queue_submit(queue, &blocker.job), API_OK);
    ck_assert_int_eq(srv_queue_submit(queue, &expired.job), API_OK);
    ck_assert_int_eq(srv_queue_submit(queue, &lasting.job), API_OK);
    gate_open();
    srv_queue_close(&queue);
    ck_assert_int_eq(expired.verdict, API_DEADLINE);
    ck_assert_int_eq(lasting.verdict, API_OK);
}
END_TEST

/* Who is about to be late is not begun, unless nobody waits behind. */
START_TEST(what_would_end_too_late_gives_way)
{
    enum { KNOWN = 4, LATE = KNOWN, LASTING, LAST, COUNT };
    static struct task tasks[COUNT];
    struct srv_queue *queue = open_queue(COUNT, 1);
    for (int i = 0; i < COUNT; i++) {
        prepare(&tasks[i], i == 0);
        tasks[i].takes_us = TAKES_US;
    }
    tasks[LATE - 1].hurry = &tasks[LATE];
    tasks[LAST - 1].hurry = &tasks[LAST];
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    gate_open();
    srv_queue_close(&queue);
    for (int i = 0; i < KNOWN; i++)
        ck_assert_int_eq(tasks[i].verdict, API_OK);
    ck_assert_int_eq(tasks[LATE].verdict, API_DEADLINE);
    ck_assert_int_eq(tasks[LASTING].verdict, API_OK);
    /* Nobody is behind it: begun, unless this machine stood still. */
    if (tasks[LAST].ran_us <= tasks[LAST].job.deadline_us)
        ck_assert_int_eq(tasks[LAST].verdict, API_OK);
}
END_TEST

/* What is known of one kind says nothing about another. */
START_TEST(kinds_of_jobs_are_foretold_apart)
{
    static struct task tasks[4];
    struct srv_queue *queue = open_queue(4, 1);
    for (int i = 0; i < 4; i++) {
        prepare(&tasks[i], i == 0);
        tasks[i].takes_us = i < 2 ? TAKES_US : 0;
        tasks[i].job.kind = i < 2 ? 0 : SRV_JOB_KINDS - 1;
    }
    tasks[1].hurry = &tasks[2];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    gate_open();
    srv_queue_close(&queue);
    if (tasks[2].ran_us <= tasks[2].job.deadline_us)
        ck_assert_int_eq(tasks[2].verdict, API_OK);
}
END_TEST

START_TEST(abandoning_hands_back_what_waits)
{
    static struct task blocker, waiting[3], late;
    struct srv_queue *queue = open_queue(8, 1);
    prepare(&blocker, true);
    ck_assert_int_eq(srv_queue_submit(queue, &blocker.job), API_OK);
    gate_wait_inside(1);
    for (int i = 0; i < 3; i++) {
        prepare(&waiting[i], false);
        waiting[i].job.alike = &batch;
        ck_assert_int_eq(srv_queue_submit(queue, &waiting[i].job), API_OK);
    }
    srv_queue_abandon(queue);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(atomic_load(&waiting[i].runs), 1);
        ck_assert_uint_eq(waiting[i].together, 1);
        ck_assert_int_eq(waiting[i].verdict, API_OVERLOADED);
    }
    ck_assert_uint_eq(srv_queue_depth(queue), 0);
    prepare(&late, false);
    ck_assert_int_eq(srv_queue_submit(queue, &late.job), API_OVERLOADED);
    gate_open();
    srv_queue_close(&queue);
    ck_assert_int_eq(blocker.verdict, API_OK);
}
END_TEST

/* Has jobs wait behind blockers, one for each worker, and then lets all run.
 * Kinds are letters, or - for none; clients too. */
static void run_behind_blockers(struct task *tasks, const char *kinds,
                                const char *clients, unsigned workers)
{
    static struct task blockers[2];
    struct srv_queue *queue = open_queue(16, workers);
    for (unsigned i = 0; i < workers; i++) {
        prepare(&blockers[i], true);
        ck_assert_int_eq(srv_queue_submit(queue, &blockers[i].job), API_OK);
    }
    gate_wait_inside(workers);
    for (unsigned i = 0; kinds[i]; i++) {
        tasks[i].job.alike = kinds[i] == '-' ? NULL : strchr(kinds, kinds[i]);
        tasks[i].job.client = (uint64_t)clients[i];
        ck_assert_int_eq(srv_queue_submit(queue, &tasks[i].job), API_OK);
    }
    gate_open();
    srv_queue_close(&queue);
}

START_TEST(alike_jobs_run_together_in_turn)
{
    static const struct {
        const char *kinds, *clients, *together, *turns;
        unsigned workers;
    } cases[] = {
        /* At most three, and only neighbours. */
        {"aaaabba--a", "xxxxxxxxxx", "3331221111", "1234567890", 1},
        /* y's turn comes before x's second. */
        {"aaab", "xxxy", "1221", "1342", 1},
        {"aaaa", "xxxy", "3313", "1342", 1},
        /* The first worker leaves half of what waits. */
        {"aaaa", "xxxx", "2211", NULL, 2},
    };
    static struct task tasks[10];
    batch = 3;
    for (const char *at = cases[_i].kinds; *at; at++)
        prepare(&tasks[at - cases[_i].kinds], false);
    run_behind_blockers(tasks, cases[_i].kinds, cases[_i].clients,
                        cases[_i].workers);
    for (unsigned i = 0; cases[_i].kinds[i]; i++) {
        ck_assert_uint_eq(atomic_load(&tasks[i].runs), 1);
        ck_assert_uint_eq(tasks[i].together,
                          (unsigned)(cases[_i].together[i] - '0'));
        if (cases[_i].turns)
            ck_assert_uint_eq((tasks[i].turn - 1) % 10,
                              (unsigned)(cases[_i].turns[i] - '0'));
    }
}
END_TEST

START_TEST(expired_jobs_leave_their_batch)
{
    static struct task tasks[4];
    batch = 4;
    for (int i = 0; i < 4; i++)
        prepare(&tasks[i], false);
    tasks[1].job.deadline_us = tasks[2].job.deadline_us = srv_now_us() - 1;
    run_behind_blockers(tasks, "aaaa", "xxxx", 1);
    for (int i = 0; i < 4; i++) {
        bool is_late = i == 1 || i == 2;
        ck_assert_uint_eq(atomic_load(&tasks[i].runs), 1);
        ck_assert_int_eq(tasks[i].verdict, is_late ? API_DEADLINE : API_OK);
        ck_assert_uint_eq(tasks[i].together, is_late ? 1 : 2);
    }
}
END_TEST

static void *submit_many(void *argument)
{
    static struct task tasks[4][500];
    static atomic_uint next_row;
    struct srv_queue *queue = argument;
    struct task *row = tasks[atomic_fetch_add(&next_row, 1)];
    size_t accepted = 0;
    for (int i = 0; i < 500; i++) {
        prepare(&row[i], false);
        row[i].job.alike = row;
        if (srv_queue_submit(queue, &row[i].job) == API_OK)
            accepted++;
    }
    return (void *)accepted;
}

START_TEST(many_threads_lose_nothing)
{
    batch = 4;
    struct srv_queue *queue = open_queue(16, 3);
    pthread_t threads[4];
    size_t accepted = 0;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_many, queue),
                         0);
    for (int i = 0; i < 4; i++) {
        void *count;
        pthread_join(threads[i], &count);
        accepted += (size_t)count;
    }
    srv_queue_close(&queue);
    ck_assert_uint_eq(atomic_load(&turns), accepted);
    ck_assert_uint_ge(accepted, 16);
}
END_TEST

START_TEST(closing_nothing_is_fine)
{
    struct srv_queue *queue = NULL;
    srv_queue_close(&queue);
    ck_assert_ptr_null(queue);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("queue");
    tcase_add_test(cases, jobs_run_once_in_order);
    tcase_add_test(cases, a_full_queue_refuses);
    tcase_add_test(cases, clients_take_turns);
    tcase_add_test(cases, one_client_may_only_queue_so_much);
    tcase_add_test(cases, who_has_most_waiting_gives_way);
    tcase_add_test(cases, expired_jobs_are_told_so);
    tcase_add_test(cases, what_would_end_too_late_gives_way);
    tcase_add_test(cases, kinds_of_jobs_are_foretold_apart);
    tcase_add_test(cases, abandoning_hands_back_what_waits);
    tcase_add_loop_test(cases, alike_jobs_run_together_in_turn, 0, 4);
    tcase_add_test(cases, expired_jobs_leave_their_batch);
    tcase_add_test(cases, many_threads_lose_nothing);
    tcase_add_test(cases, closing_nothing_is_fine);
    Suite *suite = suite_create("server queue");
    suite_add_tcase(suite, cases);
    return suite;
}
