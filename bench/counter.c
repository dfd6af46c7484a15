/* SPDX-License-Identifier: MIT */
/* counter: as many threads as workers, each on a worker of its own, add 1 again and again, in turn
 * to each of:
 *
 *     shared      one atomic variable
 *     counter     an hd_counter
 *     percpu      an hd_percpu, entered for each addition
 *     unpadded    variables of their own in one cache line, without atomic instructions: what false
 *                 sharing costs
 *     padded      the same, a line each: the least that there is
 *     locked      the same with an atomic instruction: its price without any sharing
 *
 * What is printed is the time of one addition of one thread while all add. Each sum is checked. */
#include <heddle/heddle.h>

#include "workloads.h"

enum { SHARED, COUNTER, PERCPU, UNPADDED, PADDED, LOCKED, KINDS, THREADS_MAX = 64 };

static const char *const metrics[KINDS] = {"shared_ns",   "counter_ns", "percpu_ns",
                                           "unpadded_ns", "padded_ns",  "locked_ns"};

struct line {
    int64_t value;
} HD_CACHE_ALIGNED;

static struct {
    struct line shared;
    struct line own[THREADS_MAX];
    HD_CACHE_ALIGNED int64_t close[THREADS_MAX];
    HD_CACHE_ALIGNED unsigned arrived;
    hd_counter counter;
    hd_percpu *percpu;
} all;

struct adder {
    hd_thread *thread;
    unsigned index, count;
    int kind;
    uint64_t adds, begin_ns, end_ns;
} HD_CACHE_ALIGNED;

static void add_many(const struct adder *me) {
    uint64_t n = me->adds;
    int64_t *close = &all.close[me->index], *own = &all.own[me->index].value;
    switch (me->kind) {
    case SHARED:
        for (uint64_t i = 0; i < n; i++) {
            __atomic_fetch_add(&all.shared.value, 1, __ATOMIC_RELAXED);
        }
        break;
    case COUNTER:
        for (uint64_t i = 0; i < n; i++) {
            hd_counter_add(&all.counter, 1);
        }
        break;
    case PERCPU:
        for (uint64_t i = 0; i < n; i++) {
            int64_t *mine = (int64_t *)hd_percpu_enter(all.percpu);
            ++*mine;
            hd_percpu_leave(all.percpu, mine);
        }
        break;
    case UNPADDED:
        for (uint64_t i = 0; i < n; i++) {
            bench_add_plain(close);
        }
        break;
    case PADDED:
        for (uint64_t i = 0; i < n; i++) {
            bench_add_plain(own);
        }
        break;
    default:
        for (uint64_t i = 0; i < n; i++) {
            __atomic_fetch_add(own, 1, __ATOMIC_RELAXED);
        }
        break;
    }
}

static void *adder_run(void *arg) {
    struct adder *me = (struct adder *)arg;
    __atomic_fetch_add(&all.arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&all.arrived, __ATOMIC_ACQUIRE) < me->count) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    add_many(me);
    me->end_ns = bench_now_ns();
    return NULL;
}

static void add_instance(void *instance, void *sum) {
    *(int64_t *)sum += *(const int64_t *)instance;
}

static int64_t sum_of(int kind) {
    int64_t sum = 0;
    if (kind == SHARED) {
        return all.shared.value;
    } else if (kind == COUNTER) {
        return hd_counter_sum(&all.counter);
    } else if (kind == PERCPU) {
        hd_percpu_each(all.percpu, add_instance, &sum);
        return sum;
    }
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        sum += kind == UNPADDED ? all.close[i] : all.own[i].value;
    }
    return sum;
}

/* The nanoseconds of an addition, or a negative number when something went wrong. */
static double measure(struct adder *adders, unsigned count, int kind, uint64_t adds) {
    uint64_t sum_ns = 0, expected = adds * count;
    int64_t before = sum_of(kind);
    all.arrived = 0;
    for (unsigned i = 0; i < count; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i));
        adders[i].index = i;
        adders[i].count = count;
        adders[i].kind = kind;
        adders[i].adds = adds;
        int err = hd_spawn(&adders[i].thread, HD_ATTR(.cpus = &cpus), adder_run, &adders[i]);
        if (err != 0) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT); /* those that were started wait for it */
        }
    }
    for (unsigned i = 0; i < count; i++) {
        hd_join(adders[i].thread, NULL);
        sum_ns += adders[i].end_ns - adders[i].begin_ns;
    }
    if ((uint64_t)(sum_of(kind) - before) != expected) {
        bench_error("%s: the sum is %lld, not %llu", metrics[kind],
                    (long long)(sum_of(kind) - before), (unsigned long long)expected);
        return -1;
    }
    return (double)sum_ns / (double)expected;
}

static int counter_body(void *arg) {
    struct adder *adders = (struct adder *)arg;
    unsigned count = (unsigned)bench_value("workers");
    uint64_t adds = bench_value("iterations");
    int err = hd_percpu_create(&all.percpu, sizeof(int64_t), NULL, NULL);
    if (err != 0) {
        return bench_error("hd_percpu_create: %s", hd_strerror(err));
    }
    int status = BENCH_OK;
    for (uint64_t i = 0; i <= bench_value("samples") && status == BENCH_OK; i++) {
        for (int kind = 0; kind < KINDS && status == BENCH_OK; kind++) {
            double ns = measure(adders, count, kind, i == 0 ? adds / 10 + 1 : adds);
            if (ns < 0) {
                status = BENCH_CANNOT;
            } else if (i > 0) {
                bench_sample(metrics[kind], "ns", ns);
            }
        }
    }
    hd_percpu_destroy(all.percpu);
    hd_counter_finish(&all.counter);
    return status;
}

static int counter_run(void) {
    unsigned workers = (unsigned)bench_value("workers");
    struct adder *adders = (struct adder *)bench_array(workers, sizeof(*adders));
    int result = hd_run(HD_CONFIG(.workers = workers, .bind_workers = true), counter_body, adders);
    free(adders);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_counter = {
    "counter",
    false,
    counter_run,
    {{"workers", 2, 1, THREADS_MAX, NULL},
     {"iterations", 2000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
