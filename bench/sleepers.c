/* SPDX-License-Identifier: MIT */
/* sleepers: very many threads that sleep, each for a random time below --span-ms that begins at a
 * common moment, --lead-ms after the first was started. While a lead is longer than starting takes
 * all are asleep at once (most_asleep tells); 0 lets each sleep from its own start on, so that the
 * first wake while others are started.
 *
 * Lateness is from the deadline to the first instruction after it. Memory is the most that was
 * resident at a time, page tables as they are at the end included, beyond what there was before
 * the first thread; the caller's own arrays are not counted. */
#include "subject.h"
#include "workloads.h"

struct sleepers {
    subject_thread *threads;
    float *late_us;
    uint64_t count, lead_ns, span_ns;
    uint64_t begin_ns;
    uint64_t asleep, most_asleep; /* atomic */
    double start_ms, total_ms;
    uint64_t started;
    struct bench_memory before, after;
    int error;
};

static struct sleepers *all; /* threads get their number as their argument */

/* A number that looks random, the same each time: splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void *sleep_once(void *arg) {
    struct sleepers *s = all;
    uint64_t i = (uint64_t)(uintptr_t)arg;
    uint64_t from = s->lead_ns ? s->begin_ns + s->lead_ns : bench_now_ns();
    uint64_t deadline = from + mix(i) % s->span_ns;
    uint64_t now_asleep = __atomic_add_fetch(&s->asleep, 1, __ATOMIC_RELAXED);
    if (now_asleep > __atomic_load_n(&s->most_asleep, __ATOMIC_RELAXED)) {
        __atomic_store_n(&s->most_asleep, now_asleep, __ATOMIC_RELAXED);
    }
    subject_sleep_until(deadline);
    uint64_t now = bench_now_ns();
    __atomic_sub_fetch(&s->asleep, 1, __ATOMIC_RELAXED);
    s->late_us[i] = now < deadline ? -1 : (float)((double)(now - deadline) / 1e3);
    return NULL;
}

static int sleepers_body(void *arg) {
    struct sleepers *s = (struct sleepers *)arg;
    s->before = bench_memory_now();
    s->begin_ns = bench_now_ns();
    for (s->started = 0; s->started < s->count; s->started++) {
        s->error = subject_spawn(&s->threads[s->started], sleep_once,
                                 (void *)(uintptr_t)s->started);
        if (s->error) {
            break;
        }
    }
    s->start_ms = (double)(bench_now_ns() - s->begin_ns) / 1e6;
    for (uint64_t i = 0; i < s->started; i++) {
        subject_join(&s->threads[i]);
    }
    s->total_ms = (double)(bench_now_ns() - s->begin_ns) / 1e6;
    s->after = bench_memory_now();
    return BENCH_OK;
}

static int report(struct sleepers *s) {
    if (s->error) {
        return bench_error("only %llu of %llu threads could be started: error %d",
                           (unsigned long long)s->started, (unsigned long long)s->count, s->error);
    }
    double *late = (double *)bench_array(s->count, sizeof(*late));
    for (uint64_t i = 0; i < s->count; i++) {
        late[i] = s->late_us[i];
    }
    double p50 = bench_quantile(late, s->count, 0.5);
    if (late[0] < 0) {
        free(late);
        return bench_error("a thread woke early");
    }
    double bytes = s->after.peak_bytes - s->before.resident_bytes;
    bench_sample("start_ms", "ms", s->start_ms);
    bench_sample("total_ms", "ms", s->total_ms);
    bench_sample("most_asleep", "count", (double)s->most_asleep);
    bench_sample("late_p50_us", "us", p50);
    bench_sample("late_p99_us", "us", bench_quantile(late, s->count, 0.99));
    bench_sample("late_most_us", "us", late[s->count - 1]);
    bench_sample("bytes_per_thread", "bytes", bytes > 0 ? bytes / (double)s->count : 0);
    free(late);
    return BENCH_OK;
}

static int sleepers_run(void) {
    struct sleepers s = {};
    s.count = bench_value("threads");
    s.lead_ns = bench_value("lead-ms") * 1000000;
    s.span_ns = bench_value("span-ms") * 1000000;
    s.threads = (subject_thread *)bench_array(s.count, sizeof(*s.threads));
    s.late_us = (float *)bench_array(s.count, sizeof(*s.late_us));
    all = &s;
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    int status = subject_run(&setup, sleepers_body, &s);
    status = status == BENCH_OK ? report(&s) : status;
    free(s.late_us);
    free(s.threads);
    return status;
}

const struct bench_experiment bench_sleepers = {
    "sleepers",
    false,
    sleepers_run,
    {{"threads", 1000000, 1, 100000000, NULL},
     {"span-ms", 2000, 1, 3600000, NULL},
     {"lead-ms", 0, 0, 3600000, NULL},
     {"workers", 0, 0, 1024, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {NULL, 0, 0, 0, NULL}},
};
