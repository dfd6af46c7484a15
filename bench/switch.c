/* SPDX-License-Identifier: MIT */
/* switch: threads that do nothing but yield to each other.
 *
 * A yield need not switch: the kernel may let the caller go on. So with one worker each thread
 * looks after every yield whether somebody else ran meanwhile, and the time is divided by the
 * switches that took place. The look is a load, a compare and a store, the same for everybody.
 * With several workers threads run at once and such a look would measure cache misses: the time
 * is then divided by the yields, and what is printed is the time of one worker. */
#include "subject.h"
#include "workloads.h"

struct yielder {
    subject_thread thread;
    struct yielders *all;
    uint64_t yields, switches;
    uint64_t begin_ns, end_ns;
} __attribute__((aligned(BENCH_LINE)));

struct yielders {
    subject_gate gate;
    bool look;
    struct yielder *last; /* who ran last: plain, since all look only on a single worker */
    struct yielder *one;
    unsigned count;
};

static void *yield_and_look(void *arg) {
    struct yielder *me = (struct yielder *)arg;
    struct yielders *all = me->all;
    subject_gate_wait(&all->gate);
    me->begin_ns = bench_now_ns();
    uint64_t n = me->yields, switches = 0;
    if (all->look) {
        for (uint64_t i = 0; i < n; i++) {
            __atomic_store_n(&all->last, me, __ATOMIC_RELAXED);
            subject_yield();
            switches += __atomic_load_n(&all->last, __ATOMIC_RELAXED) != me;
        }
    } else {
        for (uint64_t i = 0; i < n; i++) {
            subject_yield();
        }
        switches = n;
    }
    me->end_ns = bench_now_ns();
    me->switches = switches;
    return NULL;
}

/* One round; the nanoseconds of a switch, or a negative number on failure. */
static double round_of(struct yielders *all, uint64_t yields, uint64_t *switches) {
    subject_gate_init(&all->gate);
    unsigned started = 0;
    int error = 0;
    for (; started < all->count; started++) {
        struct yielder *y = &all->one[started];
        y->all = all;
        y->yields = yields / all->count;
        error = subject_spawn(&y->thread, yield_and_look, y);
        if (error) {
            break;
        }
    }
    subject_gate_open(&all->gate);
    uint64_t begin = UINT64_MAX, end = 0;
    *switches = 0;
    for (unsigned i = 0; i < started; i++) {
        struct yielder *y = &all->one[i];
        subject_join(&y->thread);
        begin = y->begin_ns < begin ? y->begin_ns : begin;
        end = y->end_ns > end ? y->end_ns : end;
        *switches += y->switches;
    }
    if (error) {
        bench_error("thread %u of %u cannot be started: error %d", started + 1, all->count, error);
        return -1;
    }
    return *switches ? (double)(end - begin) / (double)*switches : 0;
}

static int switch_body(void *arg) {
    struct yielders *all = (struct yielders *)arg;
    uint64_t yields = bench_value("iterations"), workers = bench_value("workers"), switches;
    uint64_t at_once = workers < all->count ? workers : all->count;
    round_of(all, yields / 10 + 1, &switches);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        double ns = round_of(all, yields, &switches);
        if (ns < 0) {
            return BENCH_CANNOT;
        }
        if (switches < yields / all->count) {
            return bench_error("%llu yields made only %llu switches", (unsigned long long)yields,
                               (unsigned long long)switches);
        }
        bench_sample("yield_ns", "ns", ns * (double)at_once);
    }
    if (all->look) {
        bench_note("switches", "%.1f %% of the yields switched",
                   100.0 * (double)switches / (double)(yields / all->count * all->count));
    }
    return BENCH_OK;
}

static int switch_run(void) {
    struct yielders all = {};
    all.count = (unsigned)bench_value("threads");
    all.look = bench_value("workers") == 1 && all.count > 1;
    all.one = (struct yielder *)bench_array(all.count, sizeof(*all.one));
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    int status = subject_run(&setup, switch_body, &all);
    free(all.one);
    return status;
}

const struct bench_experiment bench_switch = {
    "switch",
    true,
    switch_run,
    {{"workers", 1, 1, 1024, NULL},
     {"threads", 2, 1, 100000, NULL},
     {"iterations", 2000000, 1, 10000000000u, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
