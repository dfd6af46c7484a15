/* SPDX-License-Identifier: MIT */
/* spawn: starting threads that do next to nothing, and joining them: one at a time, and in
 * batches. Each thread counts itself, so that one which did not run is noticed. */
#include "subject.h"
#include "workloads.h"

static void *count_me(void *arg) {
    ++*(uint32_t *)arg;
    return NULL;
}

/* Both return the nanoseconds of one thread, or a negative number on failure. */
static double one_at_a_time(uint64_t n) {
    uint32_t ran = 0;
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        subject_thread t;
        int error = subject_spawn(&t, count_me, &ran);
        if (error) {
            bench_error("thread %llu cannot be started: error %d", (unsigned long long)i, error);
            return -1;
        }
        subject_join(&t);
    }
    double ns = (double)(bench_now_ns() - begin) / (double)n;
    if (ran != (uint32_t)n) {
        bench_error("%u of %llu threads ran", ran, (unsigned long long)n);
        return -1;
    }
    return ns;
}

struct batch {
    subject_thread *threads;
    uint32_t *ran; /* one a thread: they may run at once */
    uint64_t count;
};

static int run_batch(const struct batch *b) {
    uint64_t started = 0;
    int error = 0;
    for (; started < b->count; started++) {
        error = subject_spawn(&b->threads[started], count_me, &b->ran[started]);
        if (error) {
            break;
        }
    }
    for (uint64_t i = 0; i < started; i++) {
        subject_join(&b->threads[i]);
    }
    if (error) {
        bench_error("thread %llu of a batch of %llu cannot be started: error %d",
                    (unsigned long long)started + 1, (unsigned long long)b->count, error);
    }
    return error;
}

static double in_batches(uint64_t n) {
    struct batch b = {NULL, NULL, bench_value("count")};
    uint64_t rounds = n / b.count ? n / b.count : 1, ran = 0;
    b.threads = (subject_thread *)bench_array(b.count, sizeof(*b.threads));
    b.ran = (uint32_t *)bench_array(b.count, sizeof(*b.ran));
    int error = 0;
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < rounds && !error; i++) {
        error = run_batch(&b);
    }
    double ns = (double)(bench_now_ns() - begin) / (double)(rounds * b.count);
    for (uint64_t i = 0; i < b.count; i++) {
        ran += b.ran[i];
    }
    free(b.ran);
    free(b.threads);
    if (!error && ran != rounds * b.count) {
        error = bench_error("%llu of %llu threads ran", (unsigned long long)ran,
                            (unsigned long long)(rounds * b.count));
    }
    return error ? -1 : ns;
}

static int spawn_body(void *arg) {
    (void)arg;
    uint64_t n = bench_value("iterations");
    if (one_at_a_time(n / 10 + 1) < 0 || in_batches(n / 10 + 1) < 0) {
        return BENCH_CANNOT;
    }
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        double single = one_at_a_time(n), batch = single < 0 ? -1 : in_batches(n);
        if (batch < 0) {
            return BENCH_CANNOT;
        }
        bench_sample("single_ns", "ns", single);
        bench_sample("batch_ns", "ns", batch);
    }
    return BENCH_OK;
}

static int spawn_run(void) {
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    return subject_run(&setup, spawn_body, NULL);
}

const struct bench_experiment bench_spawn = {
    "spawn",
    true,
    spawn_run,
    {{"workers", 1, 1, 1024, NULL},
     {"count", 1000, 1, 1000000, NULL},
     {"iterations", 1000000, 1, 4000000000u, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
