/* SPDX-License-Identifier: MIT */
/* What preemption costs those that are preempted; heddle alone, whose time slices can be changed
 * while it runs.
 *
 * preempt: twice as many threads as workers add up an array of 16 KiB each, again and again. A
 * foreign kernel thread, which else sleeps, changes the time slice (none, 10 ms, none, 1 ms, ...)
 * and counts the rounds in each window. A ratio is the throughput of the windows without slices
 * before and after over that of the window between them, so that what drifts slowly cancels out.
 * The ratios with `cpu` count rounds a second of CPU time instead: they leave out when a CPU idled
 * or was taken away, and so still say something where the machine has other work (there a thread
 * that was just let go on takes more than its share, and slices may seem to speed things up).
 *
 * alone: as many such threads as workers. Nobody waits, so nobody is preempted, and no signal may
 * be sent. */
#include <heddle/heddle.h>

#include "workloads.h"

#include <errno.h>
#include <time.h>

enum { WORDS = 2048, SLICE_KINDS = 2, MAX_WINDOWS = 1000 };

static const struct {
    uint64_t us;
    const char *ratio, *cpu_ratio, *rate;
} slices[SLICE_KINDS] = {
    {10000, "slice_10ms_ratio", "slice_10ms_cpu_ratio", "preempted_10ms_per_s"},
    {1000, "slice_1ms_ratio", "slice_1ms_cpu_ratio", "preempted_1ms_per_s"},
};

struct adder {
    uint64_t words[WORDS];
    uint64_t rounds; /* atomic; written by its thread */
    uint64_t sum;
    hd_thread *thread;
} __attribute__((aligned(BENCH_LINE)));

static unsigned stop; /* atomic */

static void *add_up(void *arg) {
    struct adder *me = (struct adder *)arg;
    uint64_t rounds = 0, sum = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < WORDS; i++) {
            sum += me->words[i];
        }
        __asm__ volatile("" : "+r"(sum) : : "memory"); /* to be added up again each time */
        __atomic_store_n(&me->rounds, ++rounds, __ATOMIC_RELAXED);
    }
    me->sum = sum;
    return NULL;
}

static void sleep_ms(uint64_t ms) {
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
        continue;
    }
}

static struct hd_metrics metrics_now(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    int err = hd_metrics_get(&m);
    if (err != 0) {
        bench_error("hd_metrics_get: %s", hd_strerror(err));
    }
    return m;
}

static uint64_t rounds_of(const struct adder *adders, unsigned count) {
    uint64_t rounds = 0;
    for (unsigned i = 0; i < count; i++) {
        rounds += __atomic_load_n(&adders[i].rounds, __ATOMIC_RELAXED);
    }
    return rounds;
}

/* Rounds a second, and a second of CPU time. */
struct throughput {
    double wall, cpu;
};

/* One window with this slice. */
static struct throughput throughput(const struct adder *adders, unsigned count,
                                    uint64_t slice_us) {
    int err = hd_slice_set(slice_us);
    if (err != 0) {
        bench_error("hd_slice_set: %s", hd_strerror(err));
    }
    sleep_ms(10); /* what was under way with the former slice is over */
    double cpu_s = bench_cpu_s();
    uint64_t begin = bench_now_ns(), rounds = rounds_of(adders, count);
    sleep_ms(bench_value("window-ms"));
    rounds = rounds_of(adders, count) - rounds;
    double wall_s = (double)(bench_now_ns() - begin) / 1e9;
    return (struct throughput){(double)rounds / wall_s, (double)rounds / (bench_cpu_s() - cpu_s)};
}

static void compare_slices(const struct adder *adders, unsigned count) {
    static double ratios[SLICE_KINDS][MAX_WINDOWS], cpu_ratios[SLICE_KINDS][MAX_WINDOWS];
    uint64_t windows = bench_value("windows"), preempted[SLICE_KINDS] = {0, 0};
    struct hd_metrics first = metrics_now(), before, after = first;
    struct throughput none = throughput(adders, count, HD_SLICE_NONE);
    for (uint64_t i = 0; i < windows; i++) {
        for (unsigned kind = 0; kind < SLICE_KINDS; kind++) {
            before = metrics_now();
            struct throughput sliced = throughput(adders, count, slices[kind].us);
            after = metrics_now();
            struct throughput none_after = throughput(adders, count, HD_SLICE_NONE);
            ratios[kind][i] = (none.wall + none_after.wall) / 2 / sliced.wall;
            cpu_ratios[kind][i] = (none.cpu + none_after.cpu) / 2 / sliced.cpu;
            preempted[kind] += after.preempted_carrier + after.preempted_light -
                               before.preempted_carrier - before.preempted_light;
            none = none_after;
        }
    }
    for (unsigned kind = 0; kind < SLICE_KINDS; kind++) {
        double seconds = (double)(windows * (bench_value("window-ms") + 10)) / 1e3;
        bench_sample(slices[kind].ratio, "ratio", bench_quantile(ratios[kind], windows, 0.5));
        bench_sample(slices[kind].cpu_ratio, "ratio",
                     bench_quantile(cpu_ratios[kind], windows, 0.5));
        bench_sample(slices[kind].rate, "per_s", (double)preempted[kind] / seconds);
    }
    uint64_t times = after.preempted_carrier + after.preempted_light - first.preempted_carrier -
                     first.preempted_light;
    bench_sample("lost_us", "us", times ? (double)(after.preempt_lost_ns - first.preempt_lost_ns) /
                                              (double)times / 1e3
                                        : 0);
}

/* Starts the threads and waits until all have run, or as many as there are workers. */
static int start(struct adder *adders, unsigned count, unsigned workers) {
    int preempt = bench_value("kind") == 0 ? HD_PREEMPT_CARRIER : HD_PREEMPT_LIGHT;
    unsigned running = 0;
    for (unsigned i = 0; i < count; i++) {
        int err = hd_spawn(&adders[i].thread, HD_ATTR(.preempt = preempt), add_up, &adders[i]);
        if (err != 0) {
            return bench_error("hd_spawn: %s", hd_strerror(err));
        }
    }
    for (unsigned tries = 0; running < workers && tries < 1000; tries++) {
        sleep_ms(10);
        running = 0;
        for (unsigned i = 0; i < count; i++) {
            running += __atomic_load_n(&adders[i].rounds, __ATOMIC_RELAXED) > 0;
        }
    }
    return running < workers ? bench_error("%u of %u workers run threads", running, workers)
                             : BENCH_OK;
}

static int run(unsigned threads_per_worker, void (*measure)(const struct adder *, unsigned)) {
    unsigned workers = (unsigned)bench_value("workers");
    workers = workers ? workers : bench_cpus();
    bench_limit_cpus(workers);
    unsigned count = threads_per_worker * workers;
    struct adder *adders = (struct adder *)bench_array(count, sizeof(*adders));
    int err = hd_start(HD_CONFIG(.workers = workers));
    if (err != 0) {
        free(adders);
        return bench_error("hd_start: %s", hd_strerror(err));
    }
    int status = start(adders, count, workers);
    if (status == BENCH_OK) {
        measure(adders, count);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count && adders[i].thread; i++) {
        hd_join(adders[i].thread, NULL);
    }
    hd_stop();
    free(adders);
    return status;
}

static int preempt_run(void) {
    return run(2, compare_slices);
}

static void count_signals(const struct adder *adders, unsigned count) {
    struct hd_metrics before = metrics_now();
    uint64_t begin = bench_now_ns(), rounds = rounds_of(adders, count);
    sleep_ms(bench_value("window-ms"));
    struct hd_metrics after = metrics_now();
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    if (rounds_of(adders, count) == rounds) {
        bench_error("nothing was computed");
    }
    bench_sample("signals", "count", (double)(after.preempt_signals - before.preempt_signals));
    bench_sample("monitor_per_s", "per_s",
                 (double)(after.monitor_wakeups - before.monitor_wakeups) / seconds);
}

static int alone_run(void) {
    return run(1, count_signals);
}

const struct bench_experiment bench_preempt = {
    "preempt",
    true,
    preempt_run,
    {{"workers", 0, 0, 64, NULL},
     {"kind", 0, 0, 1, "carrier light"},
     {"windows", 10, 1, MAX_WINDOWS, NULL},
     {"window-ms", 100, 1, 60000, NULL},
     {NULL, 0, 0, 0, NULL}},
};

const struct bench_experiment bench_alone = {
    "alone",
    false,
    alone_run,
    {{"workers", 0, 0, 64, NULL},
     {"kind", 0, 0, 1, "carrier light"},
     {"window-ms", 1000, 1, 60000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
