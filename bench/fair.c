/* SPDX-License-Identifier: MIT */
/* How fairly a policy divides the CPUs; heddle alone, whose policies can be chosen.
 *
 * share: `threads` threads compute without end, many more than there are workers. From the moment
 * at which all have run, the rounds that each does are counted. A thread's share is its rounds over
 * the mean; what is told is how far the shares are from 1, in percent: the farthest, and the 99th
 * percentile. The floor is what the machine allows: the same afterwards, from kernel threads of
 * which each has a CPU, and does the rounds of one after the other for a slice of CPU time.
 *
 * starve: a mixed load, and how long anybody who could run waits until it does. `hogs` threads for
 * each worker compute without end: two looks at the clock that are farther apart than computing
 * takes are a wait. Beside them, threads are spawned that do little, pairs wake each other, and
 * sleepers sleep: from spawn, post and deadline to the first instruction is a wait. Waits are told
 * in time slices: the longest, and how many took more than ten. */
#include <heddle/heddle.h>

#include "workloads.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

static unsigned stop; /* atomic */

static bool stopped(void) {
    return __atomic_load_n(&stop, __ATOMIC_RELAXED) != 0;
}

static void sleep_s(uint64_t seconds) {
    struct timespec t = {(time_t)seconds, 0};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
        continue;
    }
}

static unsigned cpus_used(void) {
    unsigned workers = (unsigned)bench_value("workers");
    return workers ? workers : bench_cpus();
}

static int begin(void) {
    static const char *const policies[] = {"steal", "rr", "priority"};
    unsigned workers = cpus_used();
    bench_limit_cpus(workers);
    int err = hd_start(HD_CONFIG(.workers = workers, .policy = policies[bench_value("policy")],
                                 .slice_us = bench_value("slice-us"),
                                 .preempt = bench_value("kind") ? HD_PREEMPT_LIGHT
                                                                : HD_PREEMPT_CARRIER));
    return err != 0 ? bench_error("hd_start: %s", hd_strerror(err)) : BENCH_OK;
}

/* ---- share ---- */

struct worker_bee {
    uint64_t rounds; /* atomic; written by its thread */
    uint64_t before;
    hd_thread *thread;
} __attribute__((aligned(BENCH_LINE)));

static void *toil(void *arg) {
    struct worker_bee *me = (struct worker_bee *)arg;
    for (uint64_t rounds = 1; !stopped(); rounds++) {
        for (volatile unsigned i = 0; i < 1000; i++) {
        }
        __atomic_store_n(&me->rounds, rounds, __ATOMIC_RELAXED);
    }
    return NULL;
}

static uint64_t rounds_of(struct worker_bee *bee) {
    return __atomic_load_n(&bee->rounds, __ATOMIC_RELAXED);
}

static int wait_until_all_ran(struct worker_bee *bees, size_t count) {
    for (unsigned tries = 0; tries < 60; tries++) {
        size_t ran = 0;
        for (size_t i = 0; i < count; i++) {
            ran += rounds_of(&bees[i]) != 0;
        }
        if (ran == count) {
            return BENCH_OK;
        }
        sleep_s(1);
    }
    return bench_error("some threads did not run within a minute");
}

static void tell_shares(struct worker_bee *bees, size_t count, const char *p99,
                        const char *worst) {
    double *off = (double *)bench_array(count, sizeof(*off)), sum = 0;
    for (size_t i = 0; i < count; i++) {
        off[i] = (double)(rounds_of(&bees[i]) - bees[i].before);
        sum += off[i];
    }
    for (size_t i = 0; i < count; i++) {
        off[i] = 100 * fabs(off[i] * (double)count / sum - 1);
    }
    bench_sample(p99, "percent", bench_quantile(off, count, 0.99));
    bench_sample(worst, "percent", off[count - 1]);
    free(off);
}

static void measure_shares(struct worker_bee *bees, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bees[i].before = rounds_of(&bees[i]);
    }
    sleep_s(bench_value("seconds"));
    tell_shares(bees, count, "share_p99_percent", "share_worst_percent");
}

struct in_turns {
    struct worker_bee *bees;
    size_t count;
    uint64_t turns; /* atomic; of all */
    uint64_t slice_ns, end_ns;
};

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct in_turns in_turns; /* of the kernel threads, whose argument is their CPU's number */

static void *take_turns(void *arg) {
    struct in_turns *all = &in_turns;
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(bench_cpu((unsigned)(uintptr_t)arg), &cpu);
    sched_setaffinity(0, sizeof(cpu), &cpu);
    while (bench_now_ns() < all->end_ns) {
        uint64_t turn = __atomic_fetch_add(&all->turns, 1, __ATOMIC_RELAXED), rounds = 0;
        for (uint64_t end = cpu_ns() + all->slice_ns; cpu_ns() < end; rounds++) {
            for (volatile unsigned i = 0; i < 1000; i++) {
            }
        }
        __atomic_fetch_add(&all->bees[turn % all->count].rounds, rounds, __ATOMIC_RELAXED);
    }
    return NULL;
}

static int measure_floor(struct worker_bee *bees, size_t count, unsigned workers) {
    pthread_t *threads = (pthread_t *)bench_array(workers, sizeof(*threads));
    unsigned started = 0;
    for (size_t i = 0; i < count; i++) {
        bees[i].before = rounds_of(&bees[i]);
    }
    in_turns = (struct in_turns){bees, count, 0, bench_value("slice-us") * 1000,
                                 bench_now_ns() + bench_value("seconds") * 1000000000};
    while (started < workers &&
           pthread_create(&threads[started], NULL, take_turns, (void *)(uintptr_t)started) == 0) {
        started++;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    if (started < workers) {
        return bench_error("only %u of %u kernel threads could be started", started, workers);
    }
    tell_shares(bees, count, "floor_p99_percent", "floor_worst_percent");
    return BENCH_OK;
}

static int share_run(void) {
    size_t count = bench_value("threads"), started = 0;
    int status = begin();
    if (status != BENCH_OK) {
        return status;
    }
    struct worker_bee *bees = (struct worker_bee *)bench_array(count, sizeof(*bees));
    while (started < count && status == BENCH_OK) {
        int err = hd_spawn(&bees[started].thread, NULL, toil, &bees[started]);
        if (err != 0) {
            status = bench_error("hd_spawn: %s", hd_strerror(err));
        } else {
            started++;
        }
    }
    if (status == BENCH_OK) {
        status = wait_until_all_ran(bees, count);
    }
    if (status == BENCH_OK) {
        measure_shares(bees, count);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < started; i++) {
        hd_join(bees[i].thread, NULL);
    }
    hd_stop();
    if (status == BENCH_OK) {
        status = measure_floor(bees, count, cpus_used());
    }
    free(bees);
    return status;
}

/* ---- starve ---- */

enum { PAIRS = 4, SLEEPERS = 4, SPAWNERS = 2, HOGS_MAX = 64 * 16 };

static struct waits {
    uint64_t count, over;
    uint64_t most_ns;
} waits; /* each member atomic */

static uint64_t slice_ns;

static void note_wait(uint64_t ns) {
    uint64_t most = __atomic_load_n(&waits.most_ns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&waits.count, 1, __ATOMIC_RELAXED);
    if (ns > 10 * slice_ns) {
        __atomic_fetch_add(&waits.over, 1, __ATOMIC_RELAXED);
    }
    while (ns > most && !__atomic_compare_exchange_n(&waits.most_ns, &most, ns, true,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void note_since(uint64_t then_ns) {
    uint64_t now = bench_now_ns();
    note_wait(now > then_ns ? now - then_ns : 0);
}

static void *hog(void *arg) {
    for (uint64_t last = bench_now_ns(); !stopped();) {
        uint64_t now = bench_now_ns();
        if (now - last > 100 * 1000) {
            note_wait(now - last);
        }
        last = now;
    }
    return arg;
}

static void *do_little(void *arg) {
    note_since(*(uint64_t *)arg);
    return NULL;
}

static void *spawner(void *arg) {
    while (!stopped()) {
        hd_thread *t[8];
        uint64_t spawned_ns = bench_now_ns();
        for (int i = 0; i < 8; i++) {
            if (hd_spawn(&t[i], NULL, do_little, &spawned_ns) != 0) {
                t[i] = NULL;
            }
        }
        for (int i = 0; i < 8; i++) {
            if (t[i]) {
                hd_join(t[i], NULL);
            }
        }
        hd_sleep_for(1000000);
    }
    return arg;
}

static void *sleeper(void *arg) {
    while (!stopped()) {
        uint64_t until_ns = hd_now_ns() + 3000000;
        hd_sleep_until(until_ns);
        note_since(until_ns);
    }
    return arg;
}

static struct pair {
    hd_sem sem[2];
    uint64_t posted_ns;
} pairs[PAIRS];

static void *ping(void *arg) {
    struct pair *p = (struct pair *)arg;
    while (!stopped()) {
        p->posted_ns = bench_now_ns();
        hd_sem_post(&p->sem[0]);
        hd_sem_wait(&p->sem[1]);
        note_since(p->posted_ns);
    }
    p->posted_ns = 0;
    hd_sem_post(&p->sem[0]);
    return NULL;
}

static void *pong(void *arg) {
    struct pair *p = (struct pair *)arg;
    for (;;) {
        hd_sem_wait(&p->sem[0]);
        if (p->posted_ns == 0) {
            return NULL;
        }
        note_since(p->posted_ns);
        p->posted_ns = bench_now_ns();
        hd_sem_post(&p->sem[1]);
    }
}

static int starve_run(void) {
    static hd_thread *threads[HOGS_MAX + 2 * PAIRS + SLEEPERS + SPAWNERS];
    unsigned count = 0;
    int err = begin();
    if (err != BENCH_OK) {
        return err;
    }
    slice_ns = hd_slice_get() * 1000;
    for (unsigned i = 0; i < bench_value("hogs") * hd_worker_count() && err == 0; i++) {
        err = hd_spawn(&threads[count++], NULL, hog, NULL);
    }
    for (unsigned i = 0; i < PAIRS && err == 0; i++) {
        err = hd_spawn(&threads[count++], NULL, ping, &pairs[i]);
        err = err ? err : hd_spawn(&threads[count++], NULL, pong, &pairs[i]);
    }
    for (unsigned i = 0; i < SLEEPERS && err == 0; i++) {
        err = hd_spawn(&threads[count++], NULL, sleeper, NULL);
    }
    for (unsigned i = 0; i < SPAWNERS && err == 0; i++) {
        err = hd_spawn(&threads[count++], NULL, spawner, NULL);
    }
    if (err == 0) {
        sleep_s(bench_value("seconds"));
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        if (threads[i]) {
            hd_join(threads[i], NULL);
        }
    }
    hd_stop();
    if (err != 0) {
        return bench_error("hd_spawn: %s", hd_strerror(err));
    }
    bench_sample("waits", "count", (double)waits.count);
    bench_sample("waits_over_10_slices", "count", (double)waits.over);
    bench_sample("longest_wait_slices", "ratio", (double)waits.most_ns / (double)slice_ns);
    return BENCH_OK;
}

const struct bench_experiment bench_share = {
    "share",
    false,
    share_run,
    {{"workers", 0, 0, 64, NULL},
     {"threads", 1000, 2, 100000, NULL},
     {"policy", 1, 0, 2, "steal rr priority"},
     {"kind", 0, 0, 1, "carrier light"},
     {"slice-us", 500, 100, 1000000, NULL},
     {"seconds", 10, 1, 600, NULL},
     {NULL, 0, 0, 0, NULL}},
};

const struct bench_experiment bench_starve = {
    "starve",
    false,
    starve_run,
    {{"workers", 0, 0, 64, NULL},
     {"hogs", 4, 1, 16, NULL},
     {"policy", 0, 0, 2, "steal rr priority"},
     {"kind", 0, 0, 1, "carrier light"},
     {"slice-us", 10000, 100, 1000000, NULL},
     {"seconds", 60, 1, 600, NULL},
     {NULL, 0, 0, 0, NULL}},
};
