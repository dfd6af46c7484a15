/* SPDX-License-Identifier: MIT */
/* lifecycle: many threads that sleep a moment, started in one loop and joined in another.
 *
 * A call that starts a thread also makes it here, so there is no figure of its own for creation
 * (in Python a thread is an object first). How long a thread takes to its first instruction is
 * measured in rounds of its own, since two more looks at the clock for each thread would weigh on
 * the rest. */
#include "subject.h"
#include "workloads.h"

struct sleeper {
    subject_thread thread;
    uint64_t sleep_us;
    uint64_t called_ns, first_ns; /* 0 in rounds that do not look at the clock */
    uint32_t ran;
};

static void *sleep_a_moment(void *arg) {
    struct sleeper *me = (struct sleeper *)arg;
    if (me->called_ns) {
        me->first_ns = bench_now_ns();
    }
    subject_sleep_us(me->sleep_us);
    me->ran++;
    return NULL;
}

struct lifecycle {
    struct sleeper *one;
    double *delays; /* one a thread */
    uint64_t count;
    double start_ms, join_ms, first_ms, switches;
};

static int start_all(struct lifecycle *l, bool look, uint64_t *started) {
    int error = 0;
    for (*started = 0; *started < l->count; ++*started) {
        struct sleeper *s = &l->one[*started];
        s->called_ns = look ? bench_now_ns() : 0;
        error = subject_spawn(&s->thread, sleep_a_moment, s);
        if (error) {
            break;
        }
    }
    return error;
}

/* One round; false after an error. */
static bool live(struct lifecycle *l, bool look) {
    uint64_t started, ran = 0, begin;
    for (uint64_t i = 0; i < l->count; i++) {
        l->one[i].ran = 0;
        l->one[i].sleep_us = bench_value("sleep-us");
    }
    double switches = bench_kernel_switches();
    begin = bench_now_ns();
    int error = start_all(l, look, &started);
    uint64_t middle = bench_now_ns();
    for (uint64_t i = 0; i < started; i++) {
        subject_join(&l->one[i].thread);
    }
    uint64_t end = bench_now_ns();
    l->switches = bench_kernel_switches() - switches;
    for (uint64_t i = 0; i < started; i++) {
        ran += l->one[i].ran;
        l->delays[i] = (double)(l->one[i].first_ns - l->one[i].called_ns) / 1e6;
    }
    if (error) {
        bench_error("only %llu of %llu threads could be started: error %d",
                    (unsigned long long)started, (unsigned long long)l->count, error);
    } else if (ran != l->count) {
        bench_error("%llu of %llu threads ran", (unsigned long long)ran,
                    (unsigned long long)l->count);
    }
    if (error || ran != l->count) {
        return false;
    }
    l->start_ms = (double)(middle - begin) / 1e6;
    l->join_ms = (double)(end - middle) / 1e6;
    l->first_ms = look ? bench_quantile(l->delays, l->count, 0.5) : 0;
    return true;
}

static int lifecycle_body(void *arg) {
    struct lifecycle *l = (struct lifecycle *)arg;
    if (!live(l, false)) {
        return BENCH_CANNOT;
    }
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        if (!live(l, false)) {
            return BENCH_CANNOT;
        }
        bench_sample("start_ms", "ms", l->start_ms);
        bench_sample("join_ms", "ms", l->join_ms);
        bench_sample("total_ms", "ms", l->start_ms + l->join_ms);
        bench_sample("switches_per_thread", "count", l->switches / (double)l->count);
        if (!live(l, true)) {
            return BENCH_CANNOT;
        }
        bench_sample("first_ms", "ms", l->first_ms);
    }
    return BENCH_OK;
}

static int lifecycle_run(void) {
    struct lifecycle l = {NULL, NULL, bench_value("threads"), 0, 0, 0, 0};
    l.one = (struct sleeper *)bench_array(l.count, sizeof(*l.one));
    l.delays = (double *)bench_array(l.count, sizeof(*l.delays));
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    int status = subject_run(&setup, lifecycle_body, &l);
    free(l.delays);
    free(l.one);
    return status;
}

const struct bench_experiment bench_lifecycle = {
    "lifecycle",
    true,
    lifecycle_run,
    {{"threads", 1000, 1, 10000000, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"sleep-us", 1000, 0, 60000000, NULL},
     {"workers", 0, 0, 1024, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
