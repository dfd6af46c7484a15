/* SPDX-License-Identifier: MIT */
/* Reader-writer lock and barrier: what each call promises, one thing a test, with threads and
 * foreign kernel threads. Races are the stress programs' part. */
#include "runtime_test.h"

/* Both kinds of lock: each test of what they have in common runs with either. */
static void make(hd_rwlock *l, int kind) {
    if (kind == 0)
        *l = (hd_rwlock)HD_RWLOCK_INIT;
    else
        CHECK_OK(hd_rwlock_init(l, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY)));
}

#define BOTH_KINDS(name)                                                                           \
    static void body_of_##name(hd_rwlock *l);                                                      \
    static int both_of_##name(void *arg) {                                                         \
        (void)arg;                                                                                 \
        for (int kind = 0; kind < 2; kind++) {                                                     \
            hd_rwlock l;                                                                           \
            test_note("%s", kind ? "read-mostly" : "plain");                                       \
            make(&l, kind);                                                                        \
            body_of_##name(&l);                                                                    \
            hd_rwlock_finish(&l);                                                                  \
        }                                                                                          \
        return 0;                                                                                  \
    }                                                                                              \
    TEST(name) {                                                                                   \
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2), both_of_##name, NULL));                           \
    }                                                                                              \
    static void body_of_##name(hd_rwlock *l)

static void *try_both(void *l) {
    uintptr_t got = 0;
    if (hd_rwlock_tryrdlock(l)) {
        got |= 1;
        hd_rwlock_rdunlock(l);
    }
    if (hd_rwlock_trywrlock(l)) {
        got |= 2;
        hd_rwlock_wrunlock(l);
    }
    return (void *)got;
}

BOTH_KINDS(rwlock_tries_tell_whether_it_is_taken) {
    for (int again = 0; again < 10; again++) {
        CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 3u);
        hd_rwlock_rdlock(l);
        CHECK(hd_rwlock_tryrdlock(l));
        CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 1u);
        CHECK_EQ((uintptr_t)foreign_join(foreign(try_both, l)), 1u);
        CHECK(!hd_rwlock_trywrlock(l));
        hd_rwlock_rdunlock(l);
        CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 1u);
        hd_rwlock_rdunlock(l);
        CHECK(hd_rwlock_trywrlock(l));
        CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 0u);
        CHECK_EQ((uintptr_t)foreign_join(foreign(try_both, l)), 0u);
        CHECK(!hd_rwlock_tryrdlock(l));
        hd_rwlock_wrunlock(l);
        hd_rwlock_wrlock(l);
        hd_rwlock_wrunlock(l);
    }
}

struct side {
    hd_rwlock *lock;
    bool writes;
    uint64_t deadline_ns;
    _Atomic int *order;
    int place; /* when it had the lock */
};

static void *lock_until(void *arg) {
    struct side *s = arg;
    int err = s->writes ? hd_rwlock_wrlock_until(s->lock, s->deadline_ns)
                        : hd_rwlock_rdlock_until(s->lock, s->deadline_ns);
    if (err != 0)
        return (void *)(intptr_t)err;
    if (s->order)
        s->place = atomic_fetch_add(s->order, 1);
    if (s->writes)
        hd_rwlock_wrunlock(s->lock);
    else
        hd_rwlock_rdunlock(s->lock);
    return NULL;
}

BOTH_KINDS(rwlock_until_gives_up_at_the_deadline) {
    struct side r = {.lock = l}, w = {.lock = l, .writes = true};
    CHECK(lock_until(&r) == NULL); /* free: no wait, no deadline */
    CHECK(lock_until(&w) == NULL);
    hd_rwlock_rdlock(l);
    CHECK_EQ((intptr_t)join(spawn(lock_until, &w)), -ETIMEDOUT);
    w.deadline_ns = hd_now_ns() + 5 * MS;
    CHECK_EQ((intptr_t)join(spawn(lock_until, &w)), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), w.deadline_ns);
    CHECK(join(spawn(lock_until, &r)) == NULL); /* the writer has gone */
    hd_rwlock_rdunlock(l);
    hd_rwlock_wrlock(l);
    r.deadline_ns = hd_now_ns() + 5 * MS;
    CHECK_EQ((intptr_t)foreign_join(foreign(lock_until, &r)), -ETIMEDOUT);
    CHECK_EQ((intptr_t)join(spawn(lock_until, &w)), -ETIMEDOUT);
    hd_rwlock_wrunlock(l);
    CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 3u);
}

BOTH_KINDS(rwlock_until_is_interrupted) {
    struct side r = {.lock = l, .deadline_ns = HD_FOREVER}, w = r;
    w.writes = true;
    hd_rwlock_wrlock(l);
    hd_thread *reader = spawn(lock_until, &r), *writer = spawn(lock_until, &w);
    let_wait();
    hd_interrupt(reader);
    hd_interrupt(writer);
    CHECK_EQ((intptr_t)join(reader), -EINTR);
    CHECK_EQ((intptr_t)join(writer), -EINTR);
    hd_rwlock_wrunlock(l);
    CHECK_EQ((uintptr_t)join(spawn(try_both, l)), 3u);
}

/* A writer that waits keeps new readers out, and lets them in when it gives up. */
BOTH_KINDS(rwlock_readers_come_in_when_the_writer_before_them_gives_up) {
    _Atomic int order = 0;
    struct side w = {.lock = l, .writes = true, .deadline_ns = HD_FOREVER};
    struct side r = {.lock = l, .deadline_ns = HD_FOREVER, .order = &order};
    hd_rwlock_rdlock(l);
    hd_thread *writer = spawn(lock_until, &w);
    let_wait();
    while (hd_rwlock_tryrdlock(l)) { /* until the writer waits */
        hd_rwlock_rdunlock(l);
        let_wait();
    }
    hd_thread *reader = spawn(lock_until, &r);
    let_wait();
    CHECK_EQ(atomic_load(&order), 0);
    hd_interrupt(writer);
    CHECK_EQ((intptr_t)join(writer), -EINTR);
    CHECK(join(reader) == NULL); /* beside this one */
    hd_rwlock_rdunlock(l);
}

/* Readers and writers take turns: after a writer all readers that wait, then the next writer. */
static int take_turns(void *arg) {
    (void)arg;
    for (int kind = 0; kind < 2; kind++) {
        hd_rwlock l;
        _Atomic int order = 0;
        struct side sides[5];
        hd_thread *threads[5];
        make(&l, kind);
        hd_rwlock_wrlock(&l);
        for (int i = 0; i < 5; i++) { /* w r w r r */
            sides[i] = (struct side){&l, i == 0 || i == 2, HD_FOREVER, &order, 0};
            threads[i] = spawn(lock_until, &sides[i]);
            let_wait();
        }
        hd_rwlock_wrunlock(&l);
        for (int i = 0; i < 5; i++)
            CHECK(join(threads[i]) == NULL);
        CHECK_LT(sides[1].place, 3);
        CHECK_LT(sides[3].place, 3);
        CHECK_LT(sides[4].place, 3);
        CHECK_EQ(sides[0].place, 3);
        CHECK_EQ(sides[2].place, 4);
        hd_rwlock_finish(&l);
    }
    return 0;
}

TEST(rwlock_readers_and_writers_take_turns) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), take_turns, NULL));
}

struct table {
    hd_rwlock lock;
    _Atomic bool stop;
    long a, b; /* the same, outside of writers */
    _Atomic unsigned long reads;
};

static void *read_table(void *arg) {
    struct table *t = arg;
    while (!atomic_load(&t->stop)) {
        hd_rwlock_rdlock(&t->lock);
        long a = t->a;
        if (hd_self() && a % 4 == 0)
            hd_yield(); /* and perhaps go on on another worker */
        CHECK_EQ(a, t->b);
        hd_rwlock_rdunlock(&t->lock);
        atomic_fetch_add(&t->reads, 1);
    }
    return NULL;
}

/* Readers come all the time and overlap, and the writer does not starve. */
static void write_among_readers(hd_rwlock *l) {
    struct table t = {.lock = *l};
    hd_thread *readers[4];
    for (int i = 0; i < 4; i++)
        readers[i] = spawn(read_table, &t);
    pthread_t beside = foreign(read_table, &t);
    for (unsigned long i = 0, seen = 0; i < test_iterations(300); i++) {
        hd_rwlock_wrlock(&t.lock);
        t.a++;
        t.b++;
        hd_rwlock_wrunlock(&t.lock);
        while (i % 16 == 0 && atomic_load(&t.reads) < seen + 50) /* enough for slots to open */
            hd_sleep_for(MS / 10);
        seen = atomic_load(&t.reads);
    }
    atomic_store(&t.stop, true);
    for (int i = 0; i < 4; i++)
        join(readers[i]);
    foreign_join(beside);
    CHECK_GT(atomic_load(&t.reads), 0u);
    *l = t.lock;
}

BOTH_KINDS(rwlock_writer_does_not_starve) {
    write_among_readers(l);
}

TEST(rwlock_among_foreign_threads_alone) {
    hd_rwlock l = HD_RWLOCK_INIT;
    struct table t = {.lock = l};
    pthread_t readers[2] = {foreign(read_table, &t), foreign(read_table, &t)};
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        hd_rwlock_wrlock(&t.lock);
        t.a++;
        t.b++;
        hd_rwlock_wrunlock(&t.lock);
    }
    atomic_store(&t.stop, true);
    for (int i = 0; i < 2; i++)
        foreign_join(readers[i]);
}

TEST(rwlock_init_says_what_is_wrong) {
    hd_rwlock l;
    CHECK_ERR(hd_rwlock_init(&l, HD_LOCK_ATTR(.flags = HD_LOCK_INHERIT)), -EINVAL);
    CHECK_ERR(hd_rwlock_init(&l, HD_LOCK_ATTR(.flags = 1u << 30)), -EINVAL);
    CHECK_ERR(hd_rwlock_init(&l, HD_LOCK_ATTR(.rank = 65536)), -EINVAL);
    struct hd_lock_attr no_size = {.flags = HD_LOCK_COUNT};
    CHECK_ERR(hd_rwlock_init(&l, &no_size), -EINVAL);
    CHECK_OK(hd_rwlock_init(&l, NULL));
    hd_rwlock_wrlock(&l);
    hd_rwlock_wrunlock(&l);
    hd_rwlock_finish(NULL);
}

/* ---- barrier ---- */

enum { PARTIES = 6, ROUNDS = 50 };

struct meeting {
    hd_barrier barrier;
    _Atomic int arrived[ROUNDS], last[ROUNDS];
};

static void *meet(void *arg) {
    struct meeting *m = arg;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&m->arrived[i], 1);
        if (hd_barrier_wait(&m->barrier))
            atomic_fetch_add(&m->last[i], 1);
        CHECK_EQ(atomic_load(&m->arrived[i]), PARTIES);
    }
    return NULL;
}

RUNTIME_TEST(barrier_has_one_last_party_a_round, 2) {
    struct meeting m = {.barrier = HD_BARRIER_INIT(PARTIES)};
    hd_thread *threads[PARTIES - 2];
    pthread_t beside[2];
    for (int i = 0; i < PARTIES - 2; i++)
        threads[i] = spawn(meet, &m);
    for (int i = 0; i < 2; i++)
        beside[i] = foreign(meet, &m);
    for (int i = 0; i < PARTIES - 2; i++)
        join(threads[i]);
    for (int i = 0; i < 2; i++)
        foreign_join(beside[i]);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(atomic_load(&m.last[i]), 1);
    return 0;
}

RUNTIME_TEST(barrier_of_one_does_not_wait, 1) {
    hd_barrier b = HD_BARRIER_INIT(1);
    CHECK(hd_barrier_wait(&b));
    CHECK_EQ(hd_barrier_wait_until(&b, 0), 1);
    return 0;
}

static void *wait_barrier(void *b) {
    return (void *)(intptr_t)hd_barrier_wait_until(b, HD_FOREVER);
}

RUNTIME_TEST(barrier_party_that_gives_up_does_not_count, 2) {
    hd_barrier b = HD_BARRIER_INIT(2);
    CHECK_ERR(hd_barrier_wait_until(&b, hd_now_ns() + MS), -ETIMEDOUT);
    hd_thread *t = spawn(wait_barrier, &b);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    t = spawn(wait_barrier, &b);
    int mine = hd_barrier_wait_until(&b, HD_FOREVER);
    CHECK_EQ(mine + (int)(intptr_t)join(t), 1);
    return 0;
}

static void wait_for_nobody(void *arg) {
    hd_barrier b = HD_BARRIER_INIT(0);
    (void)arg;
    hd_barrier_wait(&b);
}

TEST(barrier_for_nobody_dies) {
    check_fatal("hd_barrier_wait: barrier", wait_for_nobody, NULL);
}
