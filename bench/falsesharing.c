/* SPDX-License-Identifier: MIT */
/* falsesharing: two threads (or --threads), each on a CPU of its own, add 1 to counters again and
 * again:
 *
 *     --sharing none     each to its own, on a page of its own
 *     --sharing false    each to its own, --padding bytes after the end of the one before; the
 *                        first begins a cache line, so with 56 bytes or more (64-byte lines) no
 *                        line has two
 *     --sharing true     all to the same
 *
 * add_ns is one addition without an atomic instruction while all add, atomic_ns one with; alone_ns
 * is the former by one thread while nobody else runs, and slowdown the first over the last. What
 * is not shared must add up; of plain additions to the same counter some are lost, lost_percent.
 *
 * A CPU can gather additions to a line that it owns before it passes the line on, so a loop that
 * does nothing else suffers less from sharing than the trip of a line alone would make one think
 * (see `memory`, line). */
#include "subject.h"
#include "workloads.h"

enum { NONE, FALSE_SHARING, TRUE_SHARING, THREADS_MAX = 64, PAGE = 4096, PADDING_MAX = 4096 };

struct adder {
    subject_thread thread;
    struct adding *all;
    int64_t *counter;
    struct bench_span span;
} __attribute__((aligned(BENCH_LINE)));

struct adding {
    struct adder adders[THREADS_MAX];
    unsigned arrived __attribute__((aligned(BENCH_LINE)));
    unsigned count __attribute__((aligned(BENCH_LINE)));
    bool atomic;
    uint64_t adds;
    unsigned disturbed; /* windows */
    size_t stride;      /* bytes from a counter to the next */
    char *room;
};

static void add_many(int64_t *counter, uint64_t n, bool atomic) {
    for (uint64_t i = 0; atomic && i < n; i++) {
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    }
    for (uint64_t i = 0; !atomic && i < n; i++) {
        bench_add_plain(counter);
    }
}

static void *adder_main(void *arg) {
    struct adder *me = (struct adder *)arg;
    struct adding *all = me->all;
    uint64_t adds = all->adds;
    bool atomic = all->atomic;
    unsigned count = all->count;
    __atomic_fetch_add(&all->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&all->arrived, __ATOMIC_ACQUIRE) < count) {
        continue;
    }
    bench_span_begin(&me->span);
    add_many(me->counter, adds, atomic);
    bench_span_end(&me->span);
    return NULL;
}

/* Nanoseconds of an addition by `count` threads; *lost: how many of their additions are not there
 * afterwards; *good: all added at once, undisturbed. */
static double try_window(struct adding *all, unsigned count, bool atomic, uint64_t *lost,
                         bool *good) {
    struct bench_window w = {0, 0, 0, 0, false};
    int64_t sum = 0;
    all->arrived = 0;
    all->count = count;
    all->atomic = atomic;
    for (unsigned i = 0; i < count; i++) {
        struct adder *a = &all->adders[i];
        a->all = all;
        a->counter = (int64_t *)(void *)(all->room + i * all->stride);
        *a->counter = 0;
    }
    for (unsigned i = 0; i < count; i++) {
        struct adder *a = &all->adders[i];
        int error = subject_spawn_at(&a->thread, i, adder_main, a);
        if (error) {
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            exit(BENCH_CANNOT); /* those that were started wait for it */
        }
    }
    for (unsigned i = 0; i < count; i++) {
        subject_join(&all->adders[i].thread);
        bench_window_add(&w, &all->adders[i].span);
    }
    *good = bench_window_good(&w);
    for (unsigned i = 0; i < (all->stride ? count : 1); i++) {
        sum += *all->adders[i].counter;
    }
    *lost = all->adds * count - (uint64_t)sum;
    return (double)w.sum_ns / (double)(all->adds * count);
}

static double window(struct adding *all, unsigned count, bool atomic, uint64_t *lost) {
    bool good = false;
    double ns = 0;
    for (unsigned i = 0; i < BENCH_TRIES && !good; i++) {
        ns = try_window(all, count, atomic, lost, &good);
    }
    all->disturbed += !good;
    return ns;
}

static int falsesharing_body(void *arg) {
    struct adding *all = (struct adding *)arg;
    unsigned threads = (unsigned)bench_value("threads");
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        uint64_t lost[3];
        double alone = window(all, 1, false, &lost[0]);
        double plain = window(all, threads, false, &lost[1]);
        double atomic = window(all, threads, true, &lost[2]);
        if (lost[0] || lost[2] || (all->stride && lost[1])) {
            return bench_error("additions are lost: %llu of one thread, %llu of all, %llu atomic",
                               (unsigned long long)lost[0], (unsigned long long)lost[1],
                               (unsigned long long)lost[2]);
        }
        if (i == 0) {
            continue; /* warms up */
        }
        bench_sample("add_ns", "ns", plain);
        bench_sample("atomic_ns", "ns", atomic);
        bench_sample("alone_ns", "ns", alone);
        bench_sample("slowdown", "ratio", plain / alone);
        if (!all->stride) {
            bench_sample("lost_percent", "percent",
                         100 * (double)lost[1] / (double)(all->adds * threads));
        }
    }
    if (all->disturbed) {
        bench_note("disturbed", "in %u windows not all threads had their CPUs at once",
                   all->disturbed);
    }
    return BENCH_OK;
}

static int falsesharing_run(void) {
    static const char *const names[] = {"none", "false", "true"};
    uint64_t sharing = bench_value("sharing"), threads = bench_value("threads");
    if (threads > bench_cpus()) {
        return bench_error("%llu threads at once need as many CPUs; here are %u",
                           (unsigned long long)threads, bench_cpus());
    }
    struct adding *all = (struct adding *)bench_array(1, sizeof(*all));
    all->adds = bench_value("iterations");
    all->stride = sharing == NONE             ? PAGE
                  : sharing == FALSE_SHARING ? sizeof(int64_t) + bench_value("padding")
                                             : 0;
    all->stride = all->stride / sizeof(int64_t) * sizeof(int64_t);
    char *room = (char *)bench_array(threads + 2, PAGE + PADDING_MAX);
    all->room = room + (PAGE - (uintptr_t)room % PAGE) % PAGE;
    if (sharing == FALSE_SHARING) {
        bench_note("layout", "counters %zu bytes apart: %s in one cache line of %d",
                   all->stride, all->stride < BENCH_LINE ? "two or more" : "never two",
                   BENCH_LINE);
    } else {
        bench_note("layout", "%s sharing", names[sharing]);
    }
    struct subject_setup setup = {(unsigned)threads, 0, true};
    int status = subject_run(&setup, falsesharing_body, all);
    free(room);
    free(all);
    return status;
}

const struct bench_experiment bench_falsesharing = {
    "falsesharing",
    true,
    falsesharing_run,
    {{"sharing", FALSE_SHARING, 0, 2, "none false true"},
     {"padding", 0, 0, PADDING_MAX, NULL},
     {"threads", 2, 1, THREADS_MAX, NULL},
     {"iterations", 100000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
