/* SPDX-License-Identifier: MIT */
/* heddle-bench-urcu: the reads of bench/rcu.c with liburcu, its read sides inline.
 *
 *     read_ns        QSBR, a quiescent state after each section: as with heddle, no grace period
 *                    waits for longer than the section that is open
 *     read_100_ns    QSBR, a quiescent state after each hundred sections
 *     memb_ns        the flavour that needs no quiescent states: membarrier()
 *     plain_ns       the two loads alone */
#include "rcu_read.h"

#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu-qsbr.h>

struct rcu_object *rcu_current;

uint64_t peer_read_memb(uint64_t n); /* rcu_memb.c */
void peer_memb_start(void);
void peer_memb_stop(void);

static unsigned until_quiet;

static inline void after(unsigned sections) {
    if (sections == 1) {
        rcu_quiescent_state();
    } else if (--until_quiet == 0) {
        until_quiet = sections;
        rcu_quiescent_state();
    }
}

READ_MANY(read_1, rcu_read_lock(), rcu_dereference(rcu_current), rcu_read_unlock(); after(1))
READ_MANY(read_100, rcu_read_lock(), rcu_dereference(rcu_current), rcu_read_unlock(); after(100))
READ_MANY(read_plainly, (void)0, rcu_dereference(rcu_current), (void)0)

static void measure(const char *metric, uint64_t (*read)(uint64_t), uint64_t n) {
    uint64_t begin = bench_now_ns();
    uint64_t sum = read(n);
    uint64_t end = bench_now_ns();
    if (sum != 3 * n) {
        bench_error("%llu sections read a sum of %llu", (unsigned long long)n,
                    (unsigned long long)sum);
        exit(BENCH_CANNOT);
    }
    bench_sample(metric, "ns", (double)(end - begin) / (double)n);
}

static int rcu_run(void) {
    static struct rcu_object object = {1, 2};
    uint64_t n = bench_value("iterations");
    rcu_assign_pointer(rcu_current, &object);
    rcu_register_thread();
    until_quiet = 100;
    read_1(n);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        measure("read_ns", read_1, n);
        measure("read_100_ns", read_100, n);
        measure("plain_ns", read_plainly, n);
    }
    rcu_unregister_thread();
    peer_memb_start();
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        measure("memb_ns", peer_read_memb, n);
    }
    peer_memb_stop();
    return BENCH_OK;
}

static const struct bench_experiment bench_peer_rcu = {
    "rcu",
    true,
    rcu_run,
    {{"iterations", 10000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};

int main(int argc, char **argv) {
    static const struct bench_experiment *const experiments[] = {&bench_peer_rcu, NULL};
    return bench_main(argc, argv, experiments);
}
