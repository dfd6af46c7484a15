/* SPDX-License-Identifier: MIT */
/* Races on reader-writer locks, barriers and watched mutexes. */
#include "delay.h"

#include <string.h>

enum { TESTS = 5 };

/* ---- rwlock: writers exclude everybody, readers exclude writers ---- */

struct shared {
    hd_rwlock lock;
    _Atomic int readers, writers;
    unsigned long a, b;
    _Atomic unsigned long writes;
};

static bool lock_somehow(struct crew_member *m, hd_rwlock *l, bool write) {
    int err = 0;
    switch (test_rng_below(&m->rng, 3)) {
    case 0:
        return write ? hd_rwlock_trywrlock(l) : hd_rwlock_tryrdlock(l);
    case 1:
        err = write ? hd_rwlock_wrlock_until(l, crew_deadline(m))
                    : hd_rwlock_rdlock_until(l, crew_deadline(m));
        CHECK(err == 0 || err == -ETIMEDOUT || (err == -EINTR && !m->foreign));
        return err == 0;
    default:
        if (write)
            hd_rwlock_wrlock(l);
        else
            hd_rwlock_rdlock(l);
        return true;
    }
}

static void read_or_write(struct crew_member *m) {
    struct shared *s = m->shared;
    unsigned long writes = 0;
    while (crew_goes_on(m)) {
        bool write = crew_chance(m, 6);
        if (!lock_somehow(m, &s->lock, write))
            continue;
        if (write) {
            CHECK_EQ(atomic_fetch_add(&s->writers, 1), 0);
            CHECK_EQ(atomic_load(&s->readers), 0);
            s->a++;
            delay(m);
            s->b++;
            writes++;
            atomic_fetch_sub(&s->writers, 1);
            hd_rwlock_wrunlock(&s->lock);
        } else {
            atomic_fetch_add(&s->readers, 1);
            CHECK_EQ(atomic_load(&s->writers), 0);
            unsigned long a = s->a;
            delay(m); /* and perhaps leave on another worker */
            CHECK_EQ(a, s->b);
            atomic_fetch_sub(&s->readers, 1);
            hd_rwlock_rdunlock(&s->lock);
        }
        delay(m);
    }
    atomic_fetch_add(&s->writes, writes);
}

static void share(unsigned flags) {
    struct shared s = {.a = 0};
    CHECK_OK(hd_rwlock_init(&s.lock, HD_LOCK_ATTR(.flags = flags)));
    crew_run(read_or_write, &s, 10, 2, crew_time_ns(TESTS), true);
    CHECK_EQ(s.a, atomic_load(&s.writes));
    CHECK_EQ(s.b, s.a);
    CHECK(hd_rwlock_trywrlock(&s.lock));
    hd_rwlock_wrunlock(&s.lock);
    hd_rwlock_finish(&s.lock);
}

STRESS_TEST(rwlock_excludes) {
    share(0);
    return 0;
}

STRESS_TEST(rwlock_read_mostly_excludes) {
    share(HD_LOCK_READ_MOSTLY);
    return 0;
}

/* ---- objects that the last one who used them frees at once ---- */

enum { USERS = 3 };

struct object {
    hd_mutex mutex;
    hd_rwlock lock;
    int references;   /* guarded by mutex */
    _Atomic int left; /* instead of that, for those who use `lock` */
};

struct exchange {
    hd_mutex mutex;
    struct object *object; /* guarded by mutex, as the next two */
    int users;
    unsigned kind;
};

static struct object *take_object(struct crew_member *m, unsigned *kind) {
    struct exchange *x = m->shared;
    hd_mutex_lock(&x->mutex);
    if (x->users == 0) {
        x->object = calloc(1, sizeof *x->object);
        x->object->references = USERS;
        x->object->left = USERS;
        x->users = USERS;
        x->kind = (unsigned)test_rng_below(&m->rng, 2);
    }
    struct object *o = x->object;
    *kind = x->kind;
    x->users--;
    hd_mutex_unlock(&x->mutex);
    return o;
}

/* Readers and writers in turn; the references go down under the lock. */
static void drop_by_rwlock(struct crew_member *m, struct object *o) {
    bool last;
    if (crew_chance(m, 2)) {
        hd_rwlock_wrlock(&o->lock);
        last = atomic_fetch_sub(&o->left, 1) == 1;
        hd_rwlock_wrunlock(&o->lock);
    } else {
        hd_rwlock_rdlock(&o->lock);
        /* Two readers at once: the one that counts last may be gone first. So who is to free takes
         * the lock once more, for writing. */
        last = atomic_fetch_sub(&o->left, 1) == 1;
        hd_rwlock_rdunlock(&o->lock);
        if (last) {
            hd_rwlock_wrlock(&o->lock);
            hd_rwlock_wrunlock(&o->lock);
        }
    }
    if (last) {
        memset(o, 0xa5, sizeof *o);
        free(o);
    }
}

static void drop_by_mutex(struct crew_member *m, struct object *o) {
    if (crew_chance(m, 2)) {
        hd_mutex_lock(&o->mutex);
    } else {
        while (hd_mutex_lock_until(&o->mutex, crew_deadline(m)) != 0) {
        }
    }
    bool last = --o->references == 0;
    hd_mutex_unlock(&o->mutex);
    if (last) {
        memset(o, 0xa5, sizeof *o);
        free(o);
    }
}

static void share_objects(struct crew_member *m) {
    while (crew_goes_on(m)) {
        unsigned kind;
        struct object *o = take_object(m, &kind);
        delay(m);
        if (kind == 0)
            drop_by_mutex(m, o);
        else
            drop_by_rwlock(m, o);
    }
}

STRESS_TEST(locks_may_be_freed_by_the_next_owner) {
    struct exchange x = {.users = 0};
    crew_run(share_objects, &x, 6, 2, crew_time_ns(TESTS), true);
    if (x.users > 0)
        free(x.object);
    return 0;
}

/* ---- barrier: round after round, some give up and come again ---- */

struct rounds {
    hd_barrier barrier;
    _Atomic unsigned long lasts;
    unsigned long met[8]; /* rounds that each member has passed; its own */
    unsigned long rounds;
};

static void meet(struct crew_member *m) {
    struct rounds *r = m->shared;
    for (unsigned long i = 0; i < r->rounds; i++) {
        int result;
        delay(m);
        if (crew_chance(m, 2)) {
            result = hd_barrier_wait(&r->barrier);
        } else {
            do {
                result = hd_barrier_wait_until(&r->barrier, crew_deadline(m));
                CHECK(result >= 0 || result == -ETIMEDOUT || (result == -EINTR && !m->foreign));
            } while (result < 0);
        }
        if (result > 0)
            atomic_fetch_add(&r->lasts, 1);
        r->met[m->index]++;
    }
}

STRESS_TEST(barrier_loses_no_round) {
    struct rounds r = {.barrier = HD_BARRIER_INIT(6)};
    uint64_t end_ns = hd_now_ns() + crew_time_ns(TESTS);
    do {
        r.rounds = 50;
        memset(r.met, 0, sizeof r.met);
        atomic_store(&r.lasts, 0);
        crew_run(meet, &r, 4, 2, 0, true);
        CHECK_EQ(atomic_load(&r.lasts), r.rounds);
    } while (hd_now_ns() < end_ns);
    return 0;
}

/* ---- mutexes with priority inheritance: priorities change all the time, and come back ---- */

enum { LOCKS = 3 };

struct inheritors {
    hd_mutex mutex[LOCKS];
    unsigned inside[LOCKS];
};

static void lock_some(struct crew_member *m) {
    struct inheritors *all = m->shared;
    while (crew_goes_on(m)) {
        bool mine[LOCKS] = {false};
        if (!m->foreign && crew_chance(m, 8))
            CHECK_OK(hd_thread_set_priority(hd_self(), 1 + (int)test_rng_below(&m->rng, 20)));
        for (int i = 0; i < LOCKS; i++) {
            if (crew_chance(m, 3))
                continue;
            if (crew_chance(m, 2)) {
                hd_mutex_lock(&all->mutex[i]);
                mine[i] = true;
            } else {
                int err = hd_mutex_lock_until(&all->mutex[i], crew_deadline(m));
                CHECK(err == 0 || err == -ETIMEDOUT || (err == -EINTR && !m->foreign));
                mine[i] = err == 0;
            }
            if (mine[i])
                CHECK_EQ(all->inside[i]++, 0u);
            delay(m);
        }
        for (int i = 0; i < LOCKS; i++) {
            if (!mine[i])
                continue;
            CHECK_EQ(--all->inside[i], 0u);
            hd_mutex_unlock(&all->mutex[i]);
            delay(m);
        }
    }
    if (!m->foreign) { /* nothing is held: what was set is what it has */
        CHECK_OK(hd_thread_set_priority(hd_self(), 7));
        CHECK_EQ(hd_thread_priority(hd_self()), 7);
    }
}

STRESS_TEST(inheritance_comes_and_goes) {
    struct inheritors all = {.inside = {0}};
    for (int i = 0; i < LOCKS; i++)
        CHECK_OK(hd_mutex_init(&all.mutex[i],
                               HD_LOCK_ATTR(.rank = (unsigned)i + 1,
                                            .flags = HD_LOCK_INHERIT | HD_LOCK_COUNT)));
    crew_run(lock_some, &all, 8, 2, crew_time_ns(TESTS), true);
    for (int i = 0; i < LOCKS; i++)
        hd_mutex_finish(&all.mutex[i]);
    return 0;
}
