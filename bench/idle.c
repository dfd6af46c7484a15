/* SPDX-License-Identifier: MIT */
/* idle: how much CPU the process uses while all of its threads wait, the first one for a timer. */
#include "subject.h"
#include "workloads.h"

struct idle {
    subject_thread *threads;
    uint64_t count, seconds;
    uint64_t arrived; /* atomic */
    subject_gate gate;
    subject_sem all_here;
};

static void *wait_idly(void *arg) {
    struct idle *idle = (struct idle *)arg;
    if (__atomic_add_fetch(&idle->arrived, 1, __ATOMIC_ACQ_REL) == idle->count) {
        subject_sem_post(&idle->all_here);
    }
    subject_gate_wait(&idle->gate);
    return NULL;
}

static int idle_body(void *arg) {
    struct idle *idle = (struct idle *)arg;
    subject_gate_init(&idle->gate);
    subject_sem_init(&idle->all_here, 0);
    uint64_t started = 0;
    int error = 0;
    for (; started < idle->count; started++) {
        error = subject_spawn(&idle->threads[started], wait_idly, idle);
        if (error) {
            break;
        }
    }
    if (!error) {
        subject_sem_wait(&idle->all_here);
        subject_sleep_us(50000); /* whoever spins before resting has come to rest */
        for (uint64_t i = 0; i < bench_value("samples"); i++) {
            double cpu_s = bench_cpu_s();
            uint64_t begin = bench_now_ns();
            subject_sleep_us(idle->seconds * 1000000);
            double wall_s = (double)(bench_now_ns() - begin) / 1e9;
            bench_sample("idle_cpu_percent", "percent", 100 * (bench_cpu_s() - cpu_s) / wall_s);
        }
    }
    subject_gate_open(&idle->gate);
    for (uint64_t i = 0; i < started; i++) {
        subject_join(&idle->threads[i]);
    }
    return error ? bench_error("only %llu of %llu threads could be started: error %d",
                               (unsigned long long)started, (unsigned long long)idle->count, error)
                 : BENCH_OK;
}

static int idle_run(void) {
    struct idle idle = {};
    idle.count = bench_value("threads");
    idle.seconds = bench_value("seconds");
    idle.threads = (subject_thread *)bench_array(idle.count, sizeof(*idle.threads));
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    int status = subject_run(&setup, idle_body, &idle);
    free(idle.threads);
    return status;
}

const struct bench_experiment bench_idle = {
    "idle",
    true,
    idle_run,
    {{"workers", 0, 0, 1024, NULL},
     {"threads", 1000, 1, 1000000, NULL},
     {"seconds", 2, 1, 3600, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"samples", 1, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
