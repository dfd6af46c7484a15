/* SPDX-License-Identifier: MIT */
/* Foreign kernel threads: every call that they may make, beside threads and alone. */
#include "runtime_test.h"

#include "sched/worker.h"

static void *echo(void *arg) {
    return arg;
}

struct shared {
    hd_mutex mutex;
    hd_cond cond;
    hd_sem there, back;
    hd_event event;
    hd_waitgroup group;
    hd_once once;
    hd_chan *chan;
    hd_key key;
    _Atomic int destroyed, once_ran;
    int counter; /* guarded by mutex */
    bool said;   /* guarded by mutex */
};

static void count_once(void *arg) {
    struct shared *s = arg;
    atomic_fetch_add(&s->once_ran, 1);
}

static struct shared *destroyed_in;

static void count_destroyed(void *value) {
    CHECK(value != NULL);
    atomic_fetch_add(&destroyed_in->destroyed, 1);
}

/* Whatever needs no partner, from anywhere. */
static void *use_alone(void *arg) {
    struct shared *s = arg;
    hd_cpuset set = {{0}};
    hd_cpuset_add(&set, 5);
    CHECK(hd_cpuset_has(&set, 5) && !hd_cpuset_has(&set, 6) && !hd_cpuset_has(&set, 99999));
    CHECK(hd_now_ns() > 0);
    uint64_t deadline = hd_now_ns() + MS;
    CHECK_OK(hd_sleep_until(deadline));
    CHECK_GE(hd_now_ns(), deadline);
    CHECK_OK(hd_sleep_for(1000));
    CHECK_OK(hd_sleep_until(0));
    CHECK(hd_worker_count() > 0 && hd_stack_guard_kind() != NULL && hd_stack_min() > 0);

    CHECK_EQ(hd_get(s->key), NULL);
    CHECK_OK(hd_set(s->key, &set));
    CHECK_EQ(hd_get(s->key), &set);

    hd_mutex_lock(&s->mutex);
    s->counter++;
    hd_mutex_unlock(&s->mutex);
    CHECK_OK(hd_mutex_lock_until(&s->mutex, HD_FOREVER));
    s->counter++;
    hd_mutex_unlock(&s->mutex);
    hd_once_call(&s->once, count_once, s);

    hd_sem none = HD_SEM_INIT(0), one = HD_SEM_INIT(1);
    CHECK(!hd_sem_trywait(&none) && hd_sem_trywait(&one));
    CHECK_ERR(hd_sem_wait_until(&none, hd_now_ns() + MS), -ETIMEDOUT);
    hd_event never = HD_EVENT_INIT;
    CHECK_ERR(hd_event_wait_until(&never, 0), -ETIMEDOUT);

    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "by foreign", .stack_size = 1 << 17), echo, s));
    CHECK_STR_EQ(hd_thread_name(t), "by foreign");
    CHECK(hd_thread_id(t) > 0);
    CHECK_OK(hd_interrupt(t));
    void *result = NULL;
    CHECK_OK(hd_join_until(t, &result, hd_now_ns() + 60000 * MS));
    CHECK_EQ(result, s);
    CHECK_OK(hd_spawn(&t, NULL, echo, s));
    hd_detach(t);
    CHECK_OK(hd_spawn(NULL, NULL, echo, s));
    return NULL;
}

/* The two halves of a conversation; each is played by a thread once and by a foreign one once. */
static void *ask(void *arg) {
    struct shared *s = arg;
    for (int i = 0; i < 50; i++) {
        hd_sem_post(&s->there);
        CHECK_OK(hd_sem_wait(&s->back));
        CHECK_OK(hd_chan_send(s->chan, &i));
        hd_mutex_lock(&s->mutex);
        while (!s->said)
            CHECK_OK(hd_cond_wait(&s->cond, &s->mutex));
        s->said = false;
        hd_mutex_unlock(&s->mutex);
        CHECK_OK(hd_event_wait(&s->event));
        hd_event_reset(&s->event);
        hd_waitgroup_done(&s->group);
    }
    hd_chan_close(s->chan);
    return NULL;
}

static void *answer(void *arg) {
    struct shared *s = arg;
    int i, n = 0;
    for (;; n++) {
        hd_waitgroup_add(&s->group, 1);
        if (n < 50) {
            CHECK_OK(hd_sem_wait(&s->there));
            hd_sem_post(&s->back);
        }
        int err = hd_chan_recv(s->chan, &i);
        if (err == -EPIPE)
            break;
        CHECK_OK(err);
        CHECK_EQ(i, n);
        hd_mutex_lock(&s->mutex);
        s->said = true;
        hd_mutex_unlock(&s->mutex);
        if (i % 2)
            hd_cond_signal(&s->cond);
        else
            hd_cond_broadcast(&s->cond);
        hd_event_set(&s->event);
        CHECK_OK(hd_waitgroup_wait(&s->group));
        CHECK(!hd_event_is_set(&s->event));
    }
    CHECK_EQ(n, 50);
    return NULL;
}

static struct shared *shared_new(void) {
    struct shared *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->chan = hd_chan_create(sizeof(int), 0);
    CHECK(s->chan != NULL);
    CHECK_OK(hd_key_create(&s->key, count_destroyed));
    destroyed_in = s;
    return s;
}

static void shared_free(struct shared *s) {
    hd_chan_destroy(s->chan);
    free(s);
}

TEST(every_call_alone) {
    enum { N = 6 };
    pthread_t p[N];
    struct shared *s = shared_new();
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    for (int i = 0; i < N; i++)
        p[i] = foreign(use_alone, s);
    for (int i = 0; i < N; i++)
        foreign_join(p[i]);
    use_alone(s); /* the host's main thread is foreign too */
    CHECK_EQ(s->counter, 2 * (N + 1));
    CHECK_EQ(atomic_load(&s->once_ran), 1);
    CHECK_EQ(atomic_load(&s->destroyed), N); /* at the end of each kernel thread */
    CHECK_OK(hd_stop());
    shared_free(s);
}

TEST(threads_and_foreign_threads_talk) {
    CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
    for (int i = 0; i < 3; i++) {
        struct shared *s = shared_new();
        pthread_t p = foreign(i == 0 ? ask : answer, s);
        if (i == 2) {
            foreign_join(foreign(ask, s));
        } else {
            join(spawn(i == 0 ? answer : ask, s));
        }
        foreign_join(p);
        shared_free(s);
    }
    CHECK_OK(hd_stop());
}

static void *ping(void *arg) {
    struct shared *s = arg;
    unsigned long n = test_iterations(20000);
    for (unsigned long i = 0; i < n; i++) {
        hd_sem_post(&s->there);
        CHECK_OK(hd_sem_wait(&s->back));
    }
    return NULL;
}

static void *pong(void *arg) {
    struct shared *s = arg;
    unsigned long n = test_iterations(20000);
    for (unsigned long i = 0; i < n; i++) {
        CHECK_OK(hd_sem_wait(&s->there));
        hd_sem_post(&s->back);
    }
    return NULL;
}

/* A foreign waiter may see that it was claimed before its waker has woken it, and go on: its wait
 * record is gone then. */
TEST(a_waker_does_not_touch_a_foreign_waiter_that_went_on) {
    struct shared *s = shared_new();
    CHECK_OK(hd_start(HD_CONFIG(.workers = 1)));
    hd_thread *t = spawn(pong, s);
    ping(s);
    join(t);
    CHECK_OK(hd_stop());
    shared_free(s);
}

/* Foreign threads alone may use the objects, also when no runtime runs. */
TEST(objects_without_a_runtime) {
    struct shared *s = shared_new();
    pthread_t p = foreign(answer, s);
    ask(s);
    foreign_join(p);
    CHECK_OK(hd_sleep_for(1000));
    CHECK_OK(hd_set(s->key, s));
    CHECK_EQ(hd_get(s->key), s);
    CHECK_OK(hd_set(s->key, NULL));
    shared_free(s);
}

/* ---- spawning while it stops ---- */

static _Atomic bool stop_spawning;
static _Atomic unsigned long spawned, ran; /* joinable ones */

static void *count_ran(void *arg) {
    atomic_fetch_add(&ran, arg != NULL);
    return NULL;
}

/* What is joinable is not joined: the stop waits for its end. Detached ones it may discard. */
static void *spawn_until_told(void *arg) {
    struct test_rng rng = test_rng((uintptr_t)arg);
    while (!atomic_load(&stop_spawning)) {
        const struct hd_attr *attr = test_rng_below(&rng, 4) ? NULL : HD_ATTR(.name = "named");
        hd_thread *t = NULL;
        /* Not faster than they run, or the runtime never finds itself drained. */
        while (atomic_load(&spawned) > atomic_load(&ran) + 3 && !atomic_load(&stop_spawning))
            CHECK_OK(hd_sleep_for(20 * 1000));
        if (test_rng_below(&rng, 2)) {
            int err = hd_spawn(&t, attr, count_ran, &rng);
            CHECK(err == 0 || err == -EAGAIN);
            atomic_fetch_add(&spawned, err == 0);
        } else {
            int err = hd_spawn(NULL, attr, count_ran, NULL);
            CHECK(err == 0 || err == -EAGAIN);
        }
        CHECK_OK(hd_sleep_for(test_rng_below(&rng, 50 * 1000)));
    }
    return NULL;
}

TEST(foreign_spawns_race_with_start_and_stop) {
    pthread_t p[2];
    for (uintptr_t i = 0; i < 2; i++)
        p[i] = foreign(spawn_until_told, (void *)i);
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        CHECK_OK(hd_start(HD_CONFIG(.workers = 1 + i % 2)));
        if (i % 4 == 0)
            hd_sleep_for(MS / 4);
        CHECK_OK(hd_stop());
    }
    atomic_store(&stop_spawning, true);
    for (int i = 0; i < 2; i++)
        foreign_join(p[i]);
    CHECK_EQ(atomic_load(&ran), atomic_load(&spawned));
    CHECK_GT(atomic_load(&spawned), 0);
}

/* ---- joining while it stops ---- */

static void *join_it(void *t) {
    void *result = NULL;
    CHECK_OK(hd_join(t, &result));
    return result;
}

static void *wait_at_event(void *event) {
    CHECK_OK(hd_event_wait(event));
    return event;
}

/* A foreign thread that is in hd_join() when the runtime stops still gets its result. */
TEST(foreign_joins_race_with_stop) {
    for (unsigned long i = 0; i < test_iterations(300); i++) {
        hd_event go = HD_EVENT_INIT;
        CHECK_OK(hd_start(HD_CONFIG(.workers = 1 + i % 2)));
        pthread_t p = foreign(join_it, spawn(wait_at_event, &go));
        CHECK_SOON(atomic_load(&hd__rt.foreign_parked) == 1, 10000);
        hd_event_set(&go);
        CHECK_OK(hd_stop());
        CHECK_EQ(foreign_join(p), &go);
    }
}
