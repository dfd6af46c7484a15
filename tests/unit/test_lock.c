/* SPDX-License-Identifier: MIT */
/* Locks with attributes: counts, the report, ranks, priority inheritance. */
#include "runtime_test.h"

#include <stdio.h>

/* ---- counts ---- */

static struct hd_lock_counts counts_of(const void *lock) {
    struct hd_lock_counts all[16] = {{.size = sizeof all[0]}};
    int n = hd_lock_counts_get(all, 16);
    CHECK_GE(n, 0);
    for (int i = 0; i < n && i < 16; i++)
        if (all[i].lock == lock)
            return all[i];
    FAIL("the lock is not among the %d that are counted", n);
}

static hd_event let_go;

static void *lock_a_while(void *m) {
    hd_mutex_lock(m);
    CHECK_OK(hd_event_wait(&let_go));
    hd_sleep_for(2 * MS);
    hd_mutex_unlock(m);
    return NULL;
}

RUNTIME_TEST(lock_counts_what_happened, 2) {
    hd_mutex m;
    CHECK_OK(hd_mutex_init(&m, HD_LOCK_ATTR(.name = "accounts", .flags = HD_LOCK_COUNT)));
    for (int i = 0; i < 7; i++) {
        hd_mutex_lock(&m);
        CHECK(!hd_mutex_trylock(&m));
        hd_mutex_unlock(&m);
    }
    CHECK(hd_mutex_trylock(&m));
    hd_mutex_unlock(&m);
    hd_thread *t = spawn(lock_a_while, &m);
    unsigned taken = 8 + 2; /* the other thread once, and this one at the end */
    for (; hd_mutex_trylock(&m); taken++) {
        hd_mutex_unlock(&m);
        hd_yield();
    }
    CHECK_ERR(hd_mutex_lock_until(&m, hd_now_ns() + MS), -ETIMEDOUT);
    hd_event_set(&let_go);
    hd_mutex_lock(&m);
    hd_mutex_unlock(&m);
    join(t);
    struct hd_lock_counts c = counts_of(&m);
    CHECK_STR_EQ(c.name, "accounts");
    CHECK_EQ(c.fast + c.slow, taken);
    CHECK_GE(c.fast, 8u);
    CHECK_GE(c.parked, 1u);
    CHECK_LE(c.spun, c.slow);
    CHECK_EQ(c.failed, 9u); /* 7 tries, the one that saw the other thread, the deadline */
    CHECK_GE(c.waited_ns, MS);
    CHECK_GE(c.waited_ns, c.longest_ns);
    CHECK_GE(c.longest_ns, MS);
    hd_mutex_finish(&m);
    return 0;
}

static void *read_a_while(void *l) {
    hd_rwlock_rdlock(l);
    CHECK_OK(hd_event_wait(&let_go));
    hd_sleep_for(2 * MS);
    hd_rwlock_rdunlock(l);
    return NULL;
}

static void count_rwlock(unsigned flags) {
    hd_rwlock l;
    CHECK_OK(hd_rwlock_init(&l, HD_LOCK_ATTR(.name = "table", .flags = flags | HD_LOCK_COUNT)));
    hd_event_reset(&let_go);
    hd_thread *t = spawn(read_a_while, &l);
    unsigned taken = 2;
    for (; hd_rwlock_trywrlock(&l); taken++) {
        hd_rwlock_wrunlock(&l);
        hd_yield();
    }
    CHECK_ERR(hd_rwlock_wrlock_until(&l, hd_now_ns() + MS), -ETIMEDOUT);
    hd_event_set(&let_go);
    hd_rwlock_wrlock(&l);
    hd_rwlock_wrunlock(&l);
    join(t);
    struct hd_lock_counts c = counts_of(&l);
    CHECK_EQ(c.fast + c.slow, taken);
    CHECK_GE(c.parked, 1u);
    CHECK_EQ(c.failed, 2u);
    CHECK_GE(c.waited_ns, MS);
    hd_rwlock_finish(&l);
}

RUNTIME_TEST(lock_counts_of_rwlocks, 2) {
    count_rwlock(0);
    count_rwlock(HD_LOCK_READ_MOSTLY);
    return 0;
}

RUNTIME_TEST(lock_report_names_the_most_waited_for_first, 2) {
    hd_mutex m[3];
    char name[20];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "lock-%d", i);
        CHECK_OK(hd_mutex_init(&m[i], HD_LOCK_ATTR(.name = name, .flags = HD_LOCK_COUNT)));
    }
    hd_event_reset(&let_go);
    hd_thread *t = spawn(lock_a_while, &m[1]);
    while (hd_mutex_trylock(&m[1])) {
        hd_mutex_unlock(&m[1]);
        hd_yield();
    }
    CHECK_ERR(hd_mutex_lock_until(&m[1], hd_now_ns() + MS), -ETIMEDOUT);
    hd_event_set(&let_go);
    join(t);
    int ends[2];
    char text[4096] = "";
    CHECK_EQ(pipe(ends), 0);
    CHECK_OK(hd_lock_report(ends[1], 2));
    CHECK_GT(read(ends[0], text, sizeof text - 1), 0);
    const char *second = strchr(text, '\n');
    CHECK(second != NULL);
    CHECK_STR_HAS(text, "waited ms");
    CHECK_MSG(strncmp(second + 1, "lock-1 ", 7) == 0, "it says:\n%s", text);
    CHECK_OK(hd_lock_report(ends[1], 0));
    close(ends[0]);
    close(ends[1]);
    CHECK_ERR(hd_lock_report(ends[1], 2), -EBADF);
    struct hd_lock_counts few[2] = {{.size = sizeof few[0]}};
    CHECK_EQ(hd_lock_counts_get(few, 2), 3);
    CHECK_STR_EQ(few[0].name, "lock-1");
    CHECK_EQ(hd_lock_counts_get(NULL, 0), 3);
    few[0].size = 8;
    CHECK_ERR(hd_lock_counts_get(few, 2), -EINVAL);
    for (int i = 0; i < 3; i++)
        hd_mutex_finish(&m[i]);
    CHECK_EQ(hd_lock_counts_get(NULL, 0), 0);
    return 0;
}

TEST(lock_init_says_what_is_wrong) {
    hd_mutex m;
    CHECK_ERR(hd_mutex_init(&m, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY)), -EINVAL);
    CHECK_ERR(hd_mutex_init(&m, HD_LOCK_ATTR(.rank = 70000)), -EINVAL);
    struct hd_lock_attr no_size = {.flags = HD_LOCK_COUNT};
    CHECK_ERR(hd_mutex_init(&m, &no_size), -EINVAL);
    CHECK_OK(hd_mutex_init(&m, NULL));
    CHECK_OK(hd_mutex_init(&m, HD_LOCK_ATTR(.name = "name alone")));
    hd_mutex_lock(&m);
    hd_mutex_unlock(&m);
    hd_mutex_finish(&m);
    hd_mutex_finish(NULL);
}

/* ---- ranks ---- */

RUNTIME_TEST(lock_ranks_that_rise_are_fine, 2) {
    hd_mutex low, high;
    hd_rwlock middle;
    hd_cond c = HD_COND_INIT;
    setenv("HEDDLE_LOCK_CHECK", "1", 1);
    CHECK_OK(hd_mutex_init(&low, HD_LOCK_ATTR(.rank = 1)));
    CHECK_OK(hd_rwlock_init(&middle, HD_LOCK_ATTR(.rank = 2, .flags = HD_LOCK_READ_MOSTLY)));
    CHECK_OK(hd_mutex_init(&high, HD_LOCK_ATTR(.rank = 3)));
    for (int i = 0; i < 3; i++) {
        hd_mutex_lock(&low);
        hd_rwlock_rdlock(&middle);
        hd_mutex_lock(&high);
        CHECK_ERR(hd_cond_wait_until(&c, &high, hd_now_ns() + 1), -ETIMEDOUT);
        hd_rwlock_rdunlock(&middle); /* in any order */
        hd_mutex_unlock(&high);
        hd_rwlock_wrlock(&middle);
        hd_rwlock_wrunlock(&middle);
        hd_mutex_unlock(&low);
        hd_mutex_lock(&high);
        CHECK(hd_mutex_trylock(&low)); /* does not wait */
        hd_mutex_unlock(&high);
        hd_mutex_unlock(&low);
    }
    hd_mutex_finish(&low);
    hd_rwlock_finish(&middle);
    hd_mutex_finish(&high);
    return 0;
}

/* ---- priority inheritance ---- */

static hd_mutex locks[3];

struct owner {
    int first, second; /* of locks[]; second -1: none */
    hd_event has, has_both, go;
    hd_thread *thread;
};

static void *own_one_or_two(void *arg) {
    struct owner *o = arg;
    hd_mutex_lock(&locks[o->first]);
    hd_event_set(&o->has);
    if (o->second >= 0)
        hd_mutex_lock(&locks[o->second]);
    hd_event_set(&o->has_both);
    CHECK_OK(hd_event_wait(&o->go));
    if (o->second >= 0)
        hd_mutex_unlock(&locks[o->second]);
    hd_mutex_unlock(&locks[o->first]);
    return NULL;
}

static void own(struct owner *o, int priority) {
    CHECK_OK(hd_spawn(&o->thread, HD_ATTR(.priority = priority), own_one_or_two, o));
    CHECK_OK(hd_event_wait(&o->has));
}

static void await_priority(hd_thread *t, int priority) {
    while (hd_thread_priority(t) != priority)
        hd_sleep_for(MS / 10);
}

static void *lock_and_say(void *arg) {
    int err = hd_mutex_lock_until(arg, HD_FOREVER);
    if (err == 0)
        hd_mutex_unlock(arg);
    return (void *)(intptr_t)err;
}

static hd_thread *wait_for(int lock, int priority) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.priority = priority), lock_and_say, &locks[lock]));
    return t;
}

static int inherit_along_chains(void *arg) {
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_OK(hd_mutex_init(&locks[i], HD_LOCK_ATTR(.flags = HD_LOCK_INHERIT)));
    /* c has 2; b has 1 and waits for 2; a has 0 and waits for 1. */
    struct owner a = {.first = 0, .second = 1}, b = {.first = 1, .second = 2},
                 c = {.first = 2, .second = -1};
    own(&c, 2);
    own(&b, 3);
    own(&a, 4);
    await_priority(c.thread, 4); /* through b */
    CHECK_EQ(hd_thread_priority(b.thread), 4);
    hd_thread *high = wait_for(0, 18);
    await_priority(c.thread, 18);
    CHECK_EQ(hd_thread_priority(a.thread), 18);
    CHECK_EQ(hd_thread_priority(b.thread), 18);
    hd_thread *higher = wait_for(1, 19); /* joins in the middle */
    await_priority(c.thread, 19);
    CHECK_EQ(hd_thread_priority(a.thread), 18);
    CHECK_EQ(hd_thread_priority(b.thread), 19);
    /* One's own priority changes beneath the inherited one. */
    CHECK_OK(hd_thread_set_priority(b.thread, 5));
    CHECK_EQ(hd_thread_priority(b.thread), 19);
    /* The highest gives up. */
    hd_interrupt(higher);
    CHECK_EQ((intptr_t)join(higher), -EINTR);
    await_priority(b.thread, 18);
    await_priority(c.thread, 18); /* taken back along the chain */
    /* One that waits is lowered, while another waits for what it has. */
    hd_thread *second = wait_for(0, 12);
    CHECK_OK(hd_thread_set_priority(high, 11));
    await_priority(c.thread, 12);
    CHECK_EQ(hd_thread_priority(a.thread), 12);
    CHECK_EQ(hd_thread_priority(b.thread), 12);
    CHECK_OK(hd_thread_set_priority(second, 6));
    await_priority(c.thread, 11);
    /* Everybody gets its own back with the mutex. */
    hd_event_set(&c.go);
    join(c.thread);
    hd_event_set(&b.go);
    await_priority(a.thread, 11);
    join(b.thread);
    hd_event_set(&a.go);
    CHECK(join(high) == NULL);
    CHECK(join(second) == NULL);
    join(a.thread);
    for (int i = 0; i < 3; i++)
        hd_mutex_finish(&locks[i]);
    return 0;
}

TEST(lock_inheritance_goes_along_chains) {
    static const char *const policies[] = {"steal", "priority", "rr"};
    for (int i = 0; i < 3; i++) {
        test_note("policy %s", policies[i]);
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .policy = policies[i]), inherit_along_chains,
                        NULL));
    }
}

RUNTIME_TEST(lock_inheritance_ends_with_the_unlock, 2) {
    struct owner a = {.first = 0, .second = 1};
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_mutex_init(&locks[i], HD_LOCK_ATTR(.flags = HD_LOCK_INHERIT)));
    own(&a, 2);
    CHECK_OK(hd_event_wait(&a.has_both));
    hd_thread *t = wait_for(1, 15), *u = wait_for(0, 12);
    await_priority(a.thread, 15);
    CHECK_OK(hd_thread_set_priority(u, 17)); /* while it waits */
    await_priority(a.thread, 17);
    hd_event_set(&a.go);
    CHECK(join(t) == NULL);
    CHECK(join(u) == NULL);
    join(a.thread);
    hd_mutex_lock(&locks[0]);
    CHECK_EQ(hd_thread_priority(hd_self()), 10);
    hd_mutex_unlock(&locks[0]);
    for (int i = 0; i < 2; i++)
        hd_mutex_finish(&locks[i]);
    return 0;
}

/* The thread of low priority that has the mutex goes on although those of middle priority keep the
 * only worker busy. Under a policy with strict priorities it would not without inheritance: the
 * others run until the one of high priority has had the mutex. */
struct inversion {
    hd_mutex mutex;
    hd_event has, wanted;
    _Atomic bool done;
};

static void *be_low(void *arg) {
    struct inversion *v = arg;
    hd_mutex_lock(&v->mutex);
    hd_event_set(&v->has);
    while (hd_thread_priority(hd_self()) == 1)
        hd_yield(); /* behind those of middle priority */
    hd_mutex_unlock(&v->mutex);
    CHECK_EQ(hd_thread_priority(hd_self()), 1);
    return NULL;
}

static void *be_in_the_middle(void *arg) {
    struct inversion *v = arg;
    CHECK_OK(hd_event_wait(&v->wanted));
    while (!atomic_load(&v->done))
        hd_yield();
    return NULL;
}

static void *be_high(void *arg) {
    struct inversion *v = arg;
    CHECK_OK(hd_event_wait(&v->has));
    hd_event_set(&v->wanted);
    hd_mutex_lock(&v->mutex);
    atomic_store(&v->done, true);
    hd_mutex_unlock(&v->mutex);
    return NULL;
}

static int invert(void *arg) {
    struct inversion v = {.done = false};
    hd_thread *low, *middle[2], *high;
    (void)arg;
    CHECK_OK(hd_mutex_init(&v.mutex, HD_LOCK_ATTR(.name = "v", .flags = HD_LOCK_INHERIT)));
    CHECK_OK(hd_spawn(&low, HD_ATTR(.priority = 1), be_low, &v));
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_spawn(&middle[i], HD_ATTR(.priority = 10), be_in_the_middle, &v));
    CHECK_OK(hd_spawn(&high, HD_ATTR(.priority = 20), be_high, &v));
    join(high);
    join(low);
    for (int i = 0; i < 2; i++)
        join(middle[i]);
    hd_mutex_finish(&v.mutex);
    return 0;
}

TEST(lock_inheritance_prevents_inversion) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .policy = "priority"), invert, NULL));
}

/* Conditions and foreign threads go with it as with any mutex. */
struct shop {
    hd_mutex mutex;
    hd_cond cond;
    int goods;
};

static void *buy(void *arg) {
    struct shop *s = arg;
    hd_mutex_lock(&s->mutex);
    while (s->goods == 0)
        CHECK_OK(hd_cond_wait(&s->cond, &s->mutex));
    s->goods--;
    hd_mutex_unlock(&s->mutex);
    return NULL;
}

RUNTIME_TEST(lock_inheritance_with_conditions_and_foreign_threads, 2) {
    struct shop s = {.goods = 0};
    CHECK_OK(hd_mutex_init(&s.mutex,
                           HD_LOCK_ATTR(.rank = 7, .flags = HD_LOCK_INHERIT | HD_LOCK_COUNT)));
    hd_thread *t[6];
    pthread_t p = foreign(buy, &s);
    for (int i = 0; i < 6; i++)
        t[i] = spawn(buy, &s);
    let_wait();
    hd_mutex_lock(&s.mutex);
    s.goods = 3;
    hd_cond_broadcast(&s.cond);
    let_wait();
    hd_mutex_unlock(&s.mutex);
    hd_mutex_lock(&s.mutex);
    s.goods += 4;
    hd_mutex_unlock(&s.mutex);
    hd_cond_broadcast(&s.cond);
    for (int i = 0; i < 6; i++)
        join(t[i]);
    foreign_join(p);
    CHECK_EQ(s.goods, 0);
    hd_mutex_finish(&s.mutex);
    return 0;
}

/* ---- spinning ---- */

struct short_sections {
    hd_mutex mutex;
    _Atomic bool stop;
};

static void *hold_briefly(void *arg) {
    struct short_sections *s = arg;
    while (!atomic_load(&s->stop)) {
        hd_mutex_lock(&s->mutex);
        for (volatile int i = 0; i < 300; i++) {
        }
        hd_mutex_unlock(&s->mutex);
    }
    return NULL;
}

/* Two threads on a worker each: sooner or later one waits while the other runs, and need not
 * park. */
RUNTIME_TEST(mutex_spins_while_the_owner_runs, 2) {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || test_under_valgrind() || test_under_qemu())
        SKIP("threads do not run at the same time here");
    struct short_sections s = {.stop = false};
    CHECK_OK(hd_mutex_init(&s.mutex, HD_LOCK_ATTR(.name = "s", .flags = HD_LOCK_COUNT)));
    hd_thread *t[2];
    for (int i = 0; i < 2; i++)
        t[i] = spawn(hold_briefly, &s);
    while (counts_of(&s.mutex).spun == 0)
        hd_sleep_for(MS);
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++)
        join(t[i]);
    hd_mutex_finish(&s.mutex);
    return 0;
}
