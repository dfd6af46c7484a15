/* SPDX-License-Identifier: MIT */
/* Races on mutex, condition, semaphore, wait group, event and once: every way to wait, against
 * deadlines, interruptions and each other; what must hold is counted and compared at the end. */
#include "crew.h"

#include <string.h>

enum { TESTS = 7 };

/* ---- mutex: every success excludes all others ---- */

struct locked {
    hd_mutex mutex;
    unsigned inside;
    unsigned long value;
    _Atomic unsigned long successes;
};

static void lock_somehow(struct crew_member *m) {
    struct locked *l = m->shared;
    unsigned long successes = 0;
    while (crew_goes_on(m)) {
        switch (test_rng_below(&m->rng, 4)) {
        case 0:
            if (!hd_mutex_trylock(&l->mutex))
                continue;
            break;
        case 1: {
            int err = hd_mutex_lock_until(&l->mutex, crew_deadline(m));
            if (err != 0) {
                CHECK(err == -ETIMEDOUT || (err == -EINTR && !m->foreign));
                continue;
            }
            break;
        }
        default:
            hd_mutex_lock(&l->mutex);
        }
        CHECK_EQ(l->inside++, 0u);
        l->value++;
        if (crew_chance(m, 16))
            crew_pause(m);
        CHECK_EQ(--l->inside, 0u);
        hd_mutex_unlock(&l->mutex);
        successes++;
        if (crew_chance(m, 4))
            crew_pause(m);
    }
    atomic_fetch_add(&l->successes, successes);
}

STRESS_TEST(mutex_excludes) {
    struct locked l = {.inside = 0};
    crew_run(lock_somehow, &l, 12, 2, crew_time_ns(TESTS), true);
    CHECK_EQ(l.value, atomic_load(&l.successes));
    CHECK(hd_mutex_trylock(&l.mutex));
    return 0;
}

/* ---- cond: a bounded buffer; nothing is lost, and everybody comes to an end ---- */

enum { ROOM = 3 };

struct buffer {
    hd_mutex mutex;
    hd_cond not_full, not_empty;
    unsigned count;
    unsigned producers; /* that have not ended */
    unsigned long put, taken;
};

/* Waits once; -EINTR and -ETIMEDOUT are as good as a spurious wake-up. */
static void wait_once(struct crew_member *m, hd_cond *c, hd_mutex *mutex) {
    int err;
    if (crew_chance(m, 2))
        err = hd_cond_wait(c, mutex);
    else
        err = hd_cond_wait_until(c, mutex, crew_deadline(m));
    CHECK(err == 0 || err == -ETIMEDOUT || err == -EINTR);
}

static void notify(struct crew_member *m, hd_cond *c, hd_mutex *mutex) {
    bool inside = crew_chance(m, 2);
    if (!inside)
        hd_mutex_unlock(mutex);
    if (crew_chance(m, 8))
        hd_cond_broadcast(c);
    else
        hd_cond_signal(c);
    if (inside)
        hd_mutex_unlock(mutex);
}

static void produce(struct crew_member *m, struct buffer *b) {
    while (crew_goes_on(m)) {
        hd_mutex_lock(&b->mutex);
        while (b->count == ROOM)
            wait_once(m, &b->not_full, &b->mutex);
        b->count++;
        b->put++;
        notify(m, &b->not_empty, &b->mutex);
    }
    hd_mutex_lock(&b->mutex);
    if (--b->producers == 0)
        hd_cond_broadcast(&b->not_empty);
    hd_mutex_unlock(&b->mutex);
}

static void consume(struct crew_member *m, struct buffer *b) {
    for (;;) {
        hd_mutex_lock(&b->mutex);
        while (b->count == 0 && b->producers > 0)
            wait_once(m, &b->not_empty, &b->mutex);
        CHECK_LE(b->count, (unsigned)ROOM);
        if (b->count == 0)
            break;
        b->count--;
        b->taken++;
        notify(m, &b->not_full, &b->mutex);
    }
    hd_mutex_unlock(&b->mutex);
}

static void use_buffer(struct crew_member *m) {
    if (m->index % 2 == 0)
        produce(m, m->shared);
    else
        consume(m, m->shared);
}

STRESS_TEST(cond_loses_no_signal) {
    struct buffer b = {.producers = 7};
    crew_run(use_buffer, &b, 12, 2, crew_time_ns(TESTS), true);
    CHECK_EQ(b.put, b.taken);
    return 0;
}

/* ---- semaphore: permits are neither lost nor made ---- */

struct permits {
    hd_sem sem;
    _Atomic int inside;
};

enum { PERMITS = 3 };

static void use_permits(struct crew_member *m) {
    struct permits *p = m->shared;
    while (crew_goes_on(m)) {
        if (crew_chance(m, 4)) {
            if (!hd_sem_trywait(&p->sem))
                continue;
        } else {
            int err = crew_chance(m, 2) ? hd_sem_wait(&p->sem)
                                        : hd_sem_wait_until(&p->sem, crew_deadline(m));
            if (err != 0) {
                CHECK(err == -ETIMEDOUT || (err == -EINTR && !m->foreign));
                continue;
            }
        }
        CHECK_LE(atomic_fetch_add(&p->inside, 1) + 1, PERMITS);
        if (crew_chance(m, 4))
            crew_pause(m);
        atomic_fetch_sub(&p->inside, 1);
        hd_sem_post(&p->sem);
    }
}

STRESS_TEST(sem_keeps_its_permits) {
    struct permits p = {.sem = HD_SEM_INIT(PERMITS)};
    crew_run(use_permits, &p, 12, 2, crew_time_ns(TESTS), true);
    for (int i = 0; i < PERMITS; i++)
        CHECK(hd_sem_trywait(&p.sem));
    CHECK(!hd_sem_trywait(&p.sem));
    return 0;
}

/* ---- event and once: rounds with a fresh object, all see what happened before ---- */

struct round {
    hd_event event;
    hd_once once;
    unsigned long number; /* written before the event is set */
    unsigned long made;   /* written by the once */
    hd_waitgroup readers;
};

struct rounds {
    struct round *_Atomic current;
    hd_waitgroup ready; /* readers that have not come back from the last round */
    hd_event go;
    _Atomic bool stop;
};

static void make(void *arg) {
    struct round *r = arg;
    r->made = r->number + 1;
}

static void run_rounds(struct rounds *all, struct crew_member *m, unsigned readers) {
    for (unsigned long number = 1; crew_goes_on(m); number++) {
        struct round r = {.event = HD_EVENT_INIT};
        hd_waitgroup_add(&r.readers, readers);
        hd_waitgroup_add(&all->ready, readers);
        atomic_store(&all->current, &r);
        hd_event_set(&all->go);
        if (crew_chance(m, 2))
            crew_pause(m);
        r.number = number;
        hd_event_set(&r.event);
        while (hd_waitgroup_wait(&r.readers) != 0) {
        }
        memset(&r, 0xff, sizeof r); /* nobody may touch it any more */
        hd_event_reset(&all->go);
        atomic_store(&all->current, NULL);
        while (hd_waitgroup_wait_until(&all->ready, crew_deadline(m)) != 0) {
        }
        for (size_t i = 0; i < sizeof r; i++)
            CHECK_EQ(((unsigned char *)&r)[i], 0xff);
    }
    atomic_store(&all->stop, true);
    hd_event_set(&all->go);
}

static void read_rounds(struct rounds *all, struct crew_member *m) {
    struct round *last = NULL;
    unsigned long seen = 0;
    while (!atomic_load(&all->stop)) {
        struct round *r = atomic_load(&all->current);
        if (r == last || r == NULL) {
            if (r == NULL)
                last = NULL;
            /* Until everybody has come back there is no next round. */
            (void)hd_event_wait_until(&all->go, hd_now_ns() + 20 * 1000);
            continue;
        }
        while (hd_event_wait_until(&r->event, crew_deadline(m)) != 0) {
        }
        CHECK_GT(r->number, seen);
        seen = r->number;
        hd_once_call(&r->once, make, r);
        CHECK_EQ(r->made, seen + 1);
        hd_waitgroup_done(&r->readers);
        while (atomic_load(&all->current) != NULL)
            (void)hd_sleep_for(10 * 1000);
        last = NULL;
        hd_waitgroup_done(&all->ready);
    }
}

static void take_part_in_rounds(struct crew_member *m) {
    if (m->index == 0)
        run_rounds(m->shared, m, m->crew->threads + m->crew->foreign - 1);
    else
        read_rounds(m->shared, m);
}

STRESS_TEST(event_waitgroup_and_once_on_a_stack) {
    struct rounds all = {.current = NULL};
    crew_run(take_part_in_rounds, &all, 6, 2, crew_time_ns(TESTS), true);
    return 0;
}

/* ---- objects that their waiter takes back as soon as the wait is over ---- */

struct job {
    enum { POST, SET, DONE, SIGNAL, JOB_KINDS } kind;
    hd_sem sem;
    hd_event event;
    hd_waitgroup wg;
    hd_mutex mutex;
    hd_cond cond;
    bool flag;
};

static void do_job(struct job *j) {
    switch (j->kind) {
    case POST:
        hd_sem_post(&j->sem);
        break;
    case SET:
        hd_event_set(&j->event);
        break;
    case DONE:
        hd_waitgroup_done(&j->wg);
        break;
    default:
        hd_mutex_lock(&j->mutex);
        j->flag = true;
        hd_cond_signal(&j->cond); /* under the mutex: later the condition may be gone */
        hd_mutex_unlock(&j->mutex);
    }
}

static int wait_job(struct job *j, uint64_t deadline_ns) {
    int err = 0;
    switch (j->kind) {
    case POST:
        return hd_sem_wait_until(&j->sem, deadline_ns);
    case SET:
        return hd_event_wait_until(&j->event, deadline_ns);
    case DONE:
        return hd_waitgroup_wait_until(&j->wg, deadline_ns);
    default:
        hd_mutex_lock(&j->mutex);
        while (!j->flag && err == 0)
            err = hd_cond_wait_until(&j->cond, &j->mutex, deadline_ns);
        if (j->flag)
            err = 0;
        hd_mutex_unlock(&j->mutex);
        return err;
    }
}

/* Jobs whose memory was scribbled on after the wait. A late access by the waker shows when the job
 * is used again. */
enum { RETIRED = 32 };

static void wait_for_job(struct crew_member *m, hd_chan *jobs, struct job *j,
                         unsigned char scribble) {
    for (size_t i = 0; i < sizeof *j; i++)
        CHECK_EQ(((unsigned char *)j)[i], scribble);
    *j = (struct job){.kind = test_rng_below(&m->rng, JOB_KINDS)};
    hd_waitgroup_add(&j->wg, 1);
    while (hd_chan_send(jobs, &j) != 0) {
    }
    if (crew_chance(m, 4))
        crew_pause(m);
    while (wait_job(j, crew_deadline(m)) != 0) {
    }
    memset(j, scribble, sizeof *j);
}

static void give_jobs(struct crew_member *m, hd_chan *jobs) {
    unsigned char scribble = (unsigned char)(test_rng_next(&m->rng) | 1);
    struct job *own = malloc(RETIRED * sizeof *own), *none = NULL;
    memset(own, scribble, RETIRED * sizeof *own);
    for (unsigned long i = 0; crew_goes_on(m); i++)
        wait_for_job(m, jobs, &own[i % RETIRED], scribble);
    while (hd_chan_send(jobs, &none) != 0) {
    }
    free(own);
}

static void trade_jobs(struct crew_member *m) {
    hd_chan *jobs = m->shared;
    struct job *j;
    int err;
    if (m->index % 2 == 0) {
        give_jobs(m, jobs);
        return;
    }
    do {
        while ((err = hd_chan_recv(jobs, &j)) != 0)
            CHECK_EQ(err, -EINTR);
        if (j != NULL)
            do_job(j);
    } while (j != NULL);
}

STRESS_TEST(waker_does_not_touch_what_the_waiter_took_back) {
    hd_chan *jobs = hd_chan_create(sizeof(struct job *), 2);
    CHECK(jobs != NULL);
    crew_run(trade_jobs, jobs, 10, 2, crew_time_ns(TESTS), true);
    hd_chan_destroy(jobs);
    return 0;
}

/* ---- cond: a barrier by broadcast, round after round ---- */

struct barrier {
    hd_mutex mutex;
    hd_cond turned;
    unsigned members, arrived;
    unsigned long generation;
    bool stop;
};

static void meet(struct crew_member *m) {
    struct barrier *b = m->shared;
    for (bool stop = false; !stop;) {
        hd_mutex_lock(&b->mutex);
        unsigned long generation = b->generation;
        if (++b->arrived == b->members) {
            b->arrived = 0;
            b->generation++;
            b->stop = !crew_goes_on(m);
            notify(m, &b->turned, &b->mutex);
            hd_cond_broadcast(&b->turned);
            hd_mutex_lock(&b->mutex);
        } else {
            while (generation == b->generation)
                wait_once(m, &b->turned, &b->mutex);
        }
        stop = b->stop;
        hd_mutex_unlock(&b->mutex);
    }
}

STRESS_TEST(cond_broadcast_reaches_everybody) {
    struct barrier b = {.members = 10};
    crew_run(meet, &b, 8, 2, crew_time_ns(TESTS), true);
    return 0;
}

/* ---- wait group: pieces added and done by many, waited for by many ---- */

struct pieces {
    hd_waitgroup wg;
    _Atomic long outstanding;
};

static void add_and_finish(struct crew_member *m) {
    struct pieces *p = m->shared;
    while (crew_goes_on(m)) {
        if (crew_chance(m, 3)) {
            int err = hd_waitgroup_wait_until(&p->wg, crew_deadline(m));
            CHECK(err == 0 || err == -ETIMEDOUT || err == -EINTR);
            continue;
        }
        int64_t n = 1 + (int64_t)test_rng_below(&m->rng, 3);
        hd_waitgroup_add(&p->wg, n);
        atomic_fetch_add(&p->outstanding, n);
        if (crew_chance(m, 4))
            crew_pause(m);
        atomic_fetch_sub(&p->outstanding, n);
        if (crew_chance(m, 2)) {
            hd_waitgroup_add(&p->wg, -n);
        } else {
            while (n-- > 0)
                hd_waitgroup_done(&p->wg);
        }
    }
}

STRESS_TEST(waitgroup_counts) {
    struct pieces p = {.outstanding = 0};
    crew_run(add_and_finish, &p, 12, 2, crew_time_ns(TESTS), true);
    CHECK_EQ(atomic_load(&p.outstanding), 0);
    CHECK_OK(hd_waitgroup_wait_until(&p.wg, 0));
    return 0;
}
