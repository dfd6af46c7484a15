/* SPDX-License-Identifier: MIT */
/* pool: objects of one size are taken and given back.
 *
 * Without --remote, one thread takes --batch objects, writes a word into each, and gives them back
 * in the same order, again and again. With --remote P, two threads on two workers (CPUs) do the
 * same, but P of a hundred objects are given back by the other thread: the two exchange what is to
 * be freed elsewhere, EXCHANGE objects at a time, through a place that each waits for by looking
 * at it. The exchange costs all subjects the same.
 *
 * pair_ns is the time for one object: to take it, to write and read its word, and to give it back;
 * with two threads, of one of the two. */
#include "subject.h"
#include "subject_pool.h"
#include "workloads.h"

#include <sched.h>

enum { EXCHANGE = 64, LOOKS = 20000 };

struct box {
    void *objects[EXCHANGE];
    unsigned full; /* atomic */
} __attribute__((aligned(BENCH_LINE)));

struct taker {
    subject_thread thread;
    struct pool_run *run;
    struct taker *other;
    void **objects;
    uint64_t done, wrong;
    struct box box; /* what this one is to free for the other */
} __attribute__((aligned(BENCH_LINE)));

struct pool_run {
    struct taker takers[2];
    subject_pool pool;
    subject_gate gate;
    uint64_t batch, rounds, remote;
};

static inline uint64_t *take(subject_pool pool, uint64_t value) {
    uint64_t *object = (uint64_t *)subject_pool_take(pool);
    if (!object) {
        bench_error("no memory for an object");
        exit(BENCH_CANNOT);
    }
    *object = value;
    return object;
}

static inline void alone(struct taker *me, subject_pool pool) {
    uint64_t batch = me->run->batch, rounds = me->run->rounds, wrong = 0;
    void **objects = me->objects;
    for (uint64_t i = 0; i < rounds; i++) {
        for (uint64_t k = 0; k < batch; k++) {
            objects[k] = take(pool, i + k);
        }
        for (uint64_t k = 0; k < batch; k++) {
            wrong += *(uint64_t *)objects[k] != i + k;
            subject_pool_give(pool, objects[k]);
        }
    }
    me->wrong = wrong;
    me->done = rounds * batch;
}

/* Waits until the box is full or empty, looking; the other side may have been descheduled. */
static void await(struct box *b, unsigned full) {
    for (unsigned looks = 0; __atomic_load_n(&b->full, __ATOMIC_ACQUIRE) != full; looks++) {
        if (looks >= LOOKS) {
            sched_yield();
        }
    }
}

static inline void empty_box(struct taker *me, subject_pool pool) {
    struct box *b = &me->box;
    await(b, 1);
    for (unsigned k = 0; k < EXCHANGE; k++) {
        me->wrong += *(uint64_t *)b->objects[k] != k;
        subject_pool_give(pool, b->objects[k]);
    }
    __atomic_store_n(&b->full, 0, __ATOMIC_RELEASE);
}

/* EXCHANGE objects for the other side, and as many of one's own as the share says. */
static inline void exchange(struct taker *me, subject_pool pool) {
    struct pool_run *r = me->run;
    struct box *out = &me->other->box;
    uint64_t own = EXCHANGE * (100 - r->remote) / r->remote;
    for (uint64_t i = 0; i < r->rounds; i++) {
        for (uint64_t k = 0; k < own; k++) {
            me->objects[k] = take(pool, i + k);
        }
        await(out, 0);
        for (unsigned k = 0; k < EXCHANGE; k++) {
            out->objects[k] = take(pool, k);
        }
        __atomic_store_n(&out->full, 1, __ATOMIC_RELEASE);
        for (uint64_t k = 0; k < own; k++) {
            me->wrong += *(uint64_t *)me->objects[k] != i + k;
            subject_pool_give(pool, me->objects[k]);
        }
        empty_box(me, pool);
    }
    me->done = r->rounds * (own + EXCHANGE);
}

static void *taker_main(void *arg) {
    struct taker *me = (struct taker *)arg;
    subject_gate_wait(&me->run->gate);
    if (me->run->remote) {
        exchange(me, me->run->pool);
    } else {
        alone(me, me->run->pool);
    }
    return NULL;
}

/* Nanoseconds for an object; negative after an error. */
static double play(struct pool_run *r, uint64_t objects) {
    unsigned n = r->remote ? 2 : 1;
    r->rounds = objects / (r->remote ? EXCHANGE * 100 / r->remote : r->batch) + 1;
    subject_gate_init(&r->gate);
    for (unsigned i = 0; i < n; i++) {
        struct taker *me = &r->takers[i];
        me->wrong = 0;
        int error = subject_spawn_at(&me->thread, i, taker_main, me);
        if (error) {
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            exit(BENCH_CANNOT);
        }
    }
    uint64_t begin = bench_now_ns(), wrong = 0;
    subject_gate_open(&r->gate);
    for (unsigned i = 0; i < n; i++) {
        subject_join(&r->takers[i].thread);
        wrong += r->takers[i].wrong;
    }
    double ns = (double)(bench_now_ns() - begin) / (double)r->takers[0].done;
    if (wrong) {
        bench_error("%llu objects did not hold what was written to them",
                    (unsigned long long)wrong);
        return -1;
    }
    return ns;
}

static int pool_body(void *arg) {
    struct pool_run *r = (struct pool_run *)arg;
    uint64_t n = bench_value("iterations");
    int error = subject_pool_open(&r->pool, bench_value("size"));
    if (error) {
        return error;
    }
    play(r, n / 10 + 1);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        double ns = play(r, n);
        if (ns < 0) {
            return BENCH_CANNOT;
        }
        bench_sample("pair_ns", "ns", ns);
    }
    subject_pool_close(r->pool);
    return BENCH_OK;
}

static int pool_run(void) {
    struct pool_run *r = (struct pool_run *)bench_array(1, sizeof(*r));
    r->batch = bench_value("batch");
    r->remote = bench_value("remote");
    if (r->remote && bench_cpus() < 2) {
        return bench_error("objects that are freed on another worker need two CPUs");
    }
    uint64_t most = r->batch > EXCHANGE * 100 ? r->batch : EXCHANGE * 100;
    for (unsigned i = 0; i < 2; i++) {
        r->takers[i].run = r;
        r->takers[i].other = &r->takers[1 - i];
        r->takers[i].objects = (void **)bench_array(most, sizeof(void *));
    }
    struct subject_setup setup = {r->remote ? 2u : 1u, 0, true};
    int status = subject_run(&setup, pool_body, r);
    for (unsigned i = 0; i < 2; i++) {
        free(r->takers[i].objects);
    }
    free(r);
    return status;
}

const struct bench_experiment BENCH_POOL_EXPERIMENT = {
    BENCH_POOL_NAME,
    true,
    pool_run,
    {{"size", 64, 8, 32768, NULL},
     {"batch", 1, 1, 1000000, NULL},
     {"remote", 0, 0, 100, NULL},
      {"iterations", 10000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
