/* SPDX-License-Identifier: MIT */
/* Data for each worker: an instance of its own, alone in it, through restarts and other numbers of
 * workers. */
#include "preempt_test.h"

struct tally {
    uint64_t a, b; /* equal, but between hd_percpu_enter() and hd_percpu_leave() */
    unsigned made;
};

static hd_percpu *tallies;
static _Atomic unsigned made;

static void make_tally(void *instance, void *arg) {
    struct tally *t = instance;
    CHECK_EQ(t->a, 0);
    CHECK_EQ(t->b, 0);
    CHECK_EQ(t->made, 0);
    CHECK_EQ(arg, &made);
    CHECK_EQ((uintptr_t)t % HD_CACHE_LINE, 0);
    t->made = 1;
    atomic_fetch_add(&made, 1);
}

static void sum_tally(void *instance, void *arg) {
    struct tally *t = instance, *sum = arg;
    CHECK_EQ(t->made, 1);
    CHECK_EQ(t->a, t->b);
    sum->a += t->a;
    sum->made++;
}

static struct tally total(void) {
    struct tally sum = {0, 0, 0};
    hd_percpu_each(tallies, sum_tally, &sum);
    return sum;
}

static void count_one(void) {
    struct tally *t = hd_percpu_enter(tallies);
    CHECK_EQ(t->a, t->b);
    t->a++;
    __asm__ volatile("" : : : "memory");
    t->b++;
    hd_percpu_leave(tallies, t);
}

static void *count_many(void *arg) {
    for (int i = 0; i < 500; i++) {
        count_one();
        if (i % 50 == 0 && hd_self())
            hd_yield();
    }
    return arg;
}

static int count_from_many(void *arg) {
    enum { THREADS = 20, FOREIGN = 3 };
    hd_thread *t[THREADS];
    pthread_t p[FOREIGN];
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(count_many, NULL);
    for (int i = 0; i < FOREIGN; i++)
        p[i] = foreign(count_many, NULL);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    for (int i = 0; i < FOREIGN; i++)
        foreign_join(p[i]);
    *(uint64_t *)arg += 500 * (THREADS + FOREIGN);
    return 0;
}

TEST(instances_stay_when_the_workers_change) {
    static const unsigned workers[] = {2, 1, 5, 40, 3};
    uint64_t counted = 0;
    CHECK_OK(hd_percpu_create(&tallies, sizeof(struct tally), make_tally, &made));
    CHECK_EQ(total().made, 0);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers[i]), count_from_many, &counted));
        struct tally sum = total();
        CHECK_EQ(sum.a, counted);
        CHECK_EQ(sum.made, atomic_load(&made));
        CHECK_LE(sum.made, 41); /* and the foreign threads' */
    }
    count_one();
    CHECK_EQ(total().a, counted + 1);
    hd_percpu_destroy(tallies);
    hd_percpu_destroy(NULL);
}

RUNTIME_TEST(no_size_no_data, 1) {
    hd_percpu *p = NULL;
    CHECK_ERR(hd_percpu_create(&p, 0, NULL, NULL), -EINVAL);
    CHECK_ERR(hd_percpu_create(&p, SIZE_MAX, NULL, NULL), -ENOMEM);
    CHECK_ERR(hd_percpu_create(&p, SIZE_MAX / 4, NULL, NULL), -ENOMEM);
    CHECK_EQ(p, NULL);
    return 0;
}

/* ---- whose instance it is ---- */

static void *note_instance(void *arg) {
    void *mine = hd_percpu_enter(arg);
    CHECK_EQ(hd_percpu_get(arg), mine);
    hd_percpu_leave(arg, mine);
    return mine;
}

RUNTIME_TEST(one_for_each_worker_and_one_for_the_others, 2) {
    hd_percpu *p, *other;
    CHECK_OK(hd_percpu_create(&p, 100, NULL, NULL));
    CHECK_OK(hd_percpu_create(&other, 1, NULL, NULL));
    void *own = note_instance(p), *outside = foreign_join(foreign(note_instance, p));
    CHECK_NE(own, outside);
    CHECK_EQ(foreign_join(foreign(note_instance, p)), outside);
    char *a = hd_percpu_enter(p), *b = hd_percpu_enter(other), *again = hd_percpu_enter(p);
    CHECK_EQ(a, again);
    CHECK(b >= a + 128 || b < a);
    memset(a, 1, 100);
    hd_percpu_leave(p, again);
    hd_percpu_leave(other, b);
    hd_percpu_leave(p, a);
    hd_percpu_destroy(p);
    hd_percpu_destroy(other);
    return 0;
}

static void look_from_outside(void) {
    void *mine = hd_percpu_enter(tallies);
    CHECK_EQ(hd_percpu_get(tallies), mine); /* while it is in use */
    hd_percpu_leave(tallies, mine);
}

TEST(without_a_runtime) {
    CHECK_OK(hd_percpu_create(&tallies, sizeof(struct tally), make_tally, &made));
    CHECK(hd_percpu_get(tallies) != NULL);
    look_from_outside();
    count_one();
    CHECK_EQ(total().a, 1);
    hd_percpu_destroy(tallies);
}

/* ---- alone in it ---- */

static _Atomic bool enough;

static void *count_until_enough(void *arg) {
    uint64_t n = 0;
    (void)arg;
    for (; !atomic_load_explicit(&enough, memory_order_relaxed); n++) {
        struct tally *t = hd_percpu_enter(tallies);
        CHECK_EQ(t->a, t->b);
        t->a++;
        for (volatile int i = 0; i < 200; i++) {
        }
        t->b++;
        hd_percpu_leave(tallies, t);
    }
    return (void *)(uintptr_t)n;
}

static int count_while_preempted(int kind) {
    enum { N = 6 };
    static struct ticker clock;
    hd_thread *t[N];
    uint64_t expected = 0, before = metrics().preempt_deferred + metrics().preempted_enable;
    CHECK_OK(hd_percpu_create(&tallies, sizeof(struct tally), make_tally, &made));
    for (int i = 0; i < N; i++)
        t[i] = spawn_kind(kind, count_until_enough, NULL);
    ticker_start(&clock, NULL);
    while (metrics().preempt_deferred + metrics().preempted_enable < before + 100)
        CHECK_OK(hd_sleep_for(MS));
    atomic_store(&enough, true);
    for (int i = 0; i < N; i++)
        expected += (uintptr_t)join(t[i]);
    ticker_stop(&clock);
    CHECK_EQ(total().a, expected);
    hd_percpu_destroy(tallies);
    return 0;
}

PREEMPT_TEST(nobody_comes_in_between, 2) {
    return count_while_preempted(HD_PREEMPT_CARRIER);
}

PREEMPT_TEST(nobody_comes_in_between_light_threads, 2) {
    return count_while_preempted(HD_PREEMPT_LIGHT);
}

/* ---- misuse ---- */

static void enter_nothing(void *arg) {
    (void)arg;
    hd_percpu_enter(NULL);
}

static void destroy_in_use(void *arg) {
    (void)arg;
    CHECK_OK(hd_percpu_create(&tallies, 1, NULL, NULL));
    hd_percpu_enter(tallies);
    hd_percpu_destroy(tallies);
}

TEST(what_cannot_be_is_said) {
    check_fatal("hd_percpu_enter: p is NULL", enter_nothing, NULL);
    check_fatal("hd_percpu_destroy: somebody is between hd_percpu_enter() and hd_percpu_leave()",
                destroy_in_use, NULL);
}
