/* SPDX-License-Identifier: MIT */
/* rcu: what a read section costs, on one thread; and how long a grace period takes while another
 * thread does nothing but read. See rcu_read.h; peers/rcu.c is the same for liburcu.
 *
 *     read_ns      one section, and the two loads in it
 *     plain_ns     the two loads alone
 *     period_us    hd_rcu_synchronize()
 *     idle_us      the same while nobody reads */
#include <heddle/heddle.h>

#include "rcu_read.h"
#include "workloads.h"

struct rcu_object *rcu_current;

READ_MANY(read_sections, hd_rcu_read_lock(), hd_rcu_dereference(rcu_current), hd_rcu_read_unlock())
READ_MANY(read_plainly, (void)0, hd_rcu_dereference(rcu_current), (void)0)

static double time_reads(uint64_t (*read)(uint64_t), uint64_t n) {
    uint64_t begin = bench_now_ns();
    uint64_t sum = read(n);
    uint64_t end = bench_now_ns();
    if (sum != 3 * n) {
        bench_error("%llu sections read a sum of %llu", (unsigned long long)n,
                    (unsigned long long)sum);
        exit(BENCH_CANNOT);
    }
    return (double)(end - begin) / (double)n;
}

static bool stop;

static void *read_on(void *arg) {
    uint64_t *reads = (uint64_t *)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        read_sections(1000);
        __atomic_fetch_add(reads, 1000, __ATOMIC_RELAXED);
    }
    return NULL;
}

static double time_periods(uint64_t n) {
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        hd_rcu_synchronize();
    }
    return (double)(bench_now_ns() - begin) / (double)n / 1000;
}

/* While a thread on the other worker reads: only what was measured while it did counts. */
static int measure_periods(void) {
    uint64_t reads = 0;
    hd_thread *reader;
    hd_cpuset own = {{0}}, other = {{0}};
    hd_cpuset_add(&own, bench_cpu(0));
    hd_cpuset_add(&other, bench_cpu(1));
    int err = hd_thread_set_cpus(hd_self(), &own);
    if (err == 0) {
        err = hd_spawn(&reader, HD_ATTR(.cpus = &other), read_on, &reads);
    }
    if (err != 0) {
        return bench_error("a thread on a worker of its own: %s", hd_strerror(err));
    }
    for (uint64_t i = 0; i < bench_value("samples");) {
        uint64_t before = __atomic_load_n(&reads, __ATOMIC_RELAXED);
        double us = time_periods(100);
        if (__atomic_load_n(&reads, __ATOMIC_RELAXED) > before) {
            bench_sample("period_us", "us", us);
            i++;
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    hd_join(reader, NULL);
    return BENCH_OK;
}

static int rcu_body(void *arg) {
    static struct rcu_object object = {1, 2};
    uint64_t n = bench_value("iterations");
    (void)arg;
    hd_rcu_assign(rcu_current, &object);
    time_reads(read_sections, n);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        bench_sample("read_ns", "ns", time_reads(read_sections, n));
        bench_sample("plain_ns", "ns", time_reads(read_plainly, n));
        bench_sample("idle_us", "us", time_periods(100));
    }
    return bench_value("workers") > 1 ? measure_periods() : BENCH_OK;
}

static int rcu_run(void) {
    unsigned workers = (unsigned)bench_value("workers");
    int result = hd_run(HD_CONFIG(.workers = workers, .bind_workers = true), rcu_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_rcu = {
    "rcu",
    true,
    rcu_run,
    {{"workers", 2, 1, 64, NULL},
     {"iterations", 10000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
