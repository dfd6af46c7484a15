/* SPDX-License-Identifier: MIT */
/* Every wait can be ended at any moment, by the deadline or an interruption, and nobody's wake-up
 * is lost by that.
 *
 * Members pass tokens around, one kind of object each. Each token is waited for by calls that time
 * out or are interrupted as the seed says; a token that somebody took away without saying so, or
 * that was never delivered, leaves the rest waiting for ever, which the time limit shows. Delays
 * are injected between the steps. */
#include "delay.h"

enum { SEM, EVENT, COND, CHAN, MUTEX, READ, WRITE, GROUP, KINDS, TOKENS = 1 };

struct relay {
    hd_sem sem;
    hd_event event;
    hd_mutex mutex, plain;
    hd_cond cond;
    hd_rwlock mostly;
    hd_chan *chan;
    hd_waitgroup group;
    unsigned tokens;              /* guarded by mutex */
    _Atomic unsigned long taken[KINDS], ended[KINDS];
};

static int wait_cond(struct crew_member *m, struct relay *r, uint64_t deadline_ns) {
    int err = 0;
    hd_mutex_lock(&r->mutex);
    while (r->tokens == 0 && err == 0)
        err = hd_cond_wait_until(&r->cond, &r->mutex, deadline_ns);
    if (r->tokens > 0) { /* also where a wait was ended in the moment that it came */
        if (err != 0)
            delay(m);
        r->tokens--;
        err = 0;
    }
    hd_mutex_unlock(&r->mutex);
    return err;
}

/* 0: the member has a token of this kind, and gives it back. */
static int wait_token(struct crew_member *m, struct relay *r, int kind, uint64_t deadline_ns) {
    int token;
    switch (kind) {
    case SEM:
        return hd_sem_wait_until(&r->sem, deadline_ns);
    case EVENT:
        return hd_event_wait_until(&r->event, deadline_ns);
    case COND:
        return wait_cond(m, r, deadline_ns);
    case CHAN:
        return hd_chan_recv_until(r->chan, &token, deadline_ns);
    case MUTEX:
        return hd_mutex_lock_until(&r->plain, deadline_ns);
    case READ:
        return hd_rwlock_rdlock_until(&r->mostly, deadline_ns);
    case WRITE:
        return hd_rwlock_wrlock_until(&r->mostly, deadline_ns);
    default:
        return hd_waitgroup_wait_until(&r->group, deadline_ns);
    }
}

static void give_token(struct crew_member *m, struct relay *r, int kind) {
    int token = 1;
    switch (kind) {
    case SEM:
        hd_sem_post(&r->sem);
        break;
    case EVENT:
        hd_event_reset(&r->event);
        delay(m);
        hd_event_set(&r->event);
        break;
    case COND:
        hd_mutex_lock(&r->mutex);
        r->tokens++;
        hd_mutex_unlock(&r->mutex);
        hd_cond_signal(&r->cond);
        break;
    case CHAN:
        while (hd_chan_send(r->chan, &token) != 0) {
        }
        break;
    case MUTEX:
        hd_mutex_unlock(&r->plain);
        break;
    case READ:
        hd_rwlock_rdunlock(&r->mostly);
        break;
    case WRITE:
        hd_rwlock_wrunlock(&r->mostly);
        break;
    default:
        hd_waitgroup_add(&r->group, 1);
        delay(m);
        hd_waitgroup_done(&r->group);
    }
}

/* A deadline at about the moment at which the wait would end, before it, or none. */
static uint64_t odd_deadline(struct crew_member *m) {
    uint64_t now_ns = hd_now_ns();
    switch (test_rng_below(&m->rng, 6)) {
    case 0:
        return HD_FOREVER;
    case 1:
        return now_ns;
    case 2:
        return now_ns + test_rng_below(&m->rng, 1000);
    case 3:
        return now_ns + test_rng_below(&m->rng, 300 * 1000);
    default:
        return now_ns + test_rng_below(&m->rng, 10 * 1000);
    }
}

static void pass_tokens(struct crew_member *m) {
    struct relay *r = m->shared;
    unsigned long taken[KINDS] = {0}, ended[KINDS] = {0};
    while (crew_goes_on(m)) {
        int kind = (int)test_rng_below(&m->rng, KINDS);
        int err = wait_token(m, r, kind, odd_deadline(m));
        CHECK(err == 0 || err == -ETIMEDOUT || (err == -EINTR && !m->foreign));
        if (err != 0) {
            ended[kind]++;
            delay(m);
            continue;
        }
        taken[kind]++;
        delay(m);
        give_token(m, r, kind);
        delay(m);
    }
    for (int k = 0; k < KINDS; k++) {
        atomic_fetch_add(&r->taken[k], taken[k]);
        atomic_fetch_add(&r->ended[k], ended[k]);
    }
}

/* All tokens are back, and can be had without a wait. */
static void check_relay(struct crew_member *m, struct relay *r) {
    for (int i = 0; i < TOKENS; i++) {
        CHECK_OK(wait_token(m, r, SEM, 0));
        CHECK_OK(wait_token(m, r, COND, 0));
        CHECK_OK(wait_token(m, r, CHAN, 0));
    }
    CHECK_ERR(wait_token(m, r, SEM, 0), -ETIMEDOUT);
    CHECK_ERR(wait_token(m, r, COND, 0), -ETIMEDOUT);
    CHECK_ERR(wait_token(m, r, CHAN, 0), -ETIMEDOUT);
    CHECK_OK(wait_token(m, r, EVENT, 0));
    CHECK_OK(wait_token(m, r, GROUP, 0));
    CHECK_OK(wait_token(m, r, MUTEX, 0));
    CHECK_OK(wait_token(m, r, WRITE, 0));
    CHECK(!hd_rwlock_tryrdlock(&r->mostly));
    hd_rwlock_wrunlock(&r->mostly);
    CHECK_OK(wait_token(m, r, READ, 0));
}

static void relay(bool read_mostly) {
    struct relay r = {.sem = HD_SEM_INIT(TOKENS), .tokens = TOKENS};
    struct crew_member me = {.rng = test_rng(99)};
    int token = 1;
    r.chan = hd_chan_create(sizeof(int), TOKENS);
    CHECK(r.chan != NULL);
    for (int i = 0; i < TOKENS; i++)
        CHECK_OK(hd_chan_trysend(r.chan, &token));
    hd_event_set(&r.event);
    CHECK_OK(hd_rwlock_init(&r.mostly,
                            HD_LOCK_ATTR(.flags = read_mostly ? HD_LOCK_READ_MOSTLY : 0)));
    crew_run(pass_tokens, &r, 16, 3, crew_time_ns(2), true);
    check_relay(&me, &r);
    for (int k = 0; k < KINDS; k++)
        test_note("kind %d: %lu taken, %lu ended before", k, atomic_load(&r.taken[k]),
                  atomic_load(&r.ended[k]));
    hd_rwlock_rdunlock(&r.mostly);
    hd_rwlock_finish(&r.mostly);
    hd_chan_destroy(r.chan);
}

STRESS_TEST(waits_end_at_any_moment_and_nothing_is_lost) {
    relay(false);
    return 0;
}

STRESS_TEST(waits_end_at_any_moment_read_mostly) {
    relay(true);
    return 0;
}
