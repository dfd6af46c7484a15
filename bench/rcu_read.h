/* SPDX-License-Identifier: MIT */
/* What readers of every implementation of read-copy-update do, for bench/rcu.c and peers/rcu.c:
 * many sections in a row, each of which finds an object through a protected pointer and adds up
 * two of its members. A writer replaces the object every so often, and waits for a grace period. */
#ifndef HEDDLE_BENCH_RCU_READ_H
#define HEDDLE_BENCH_RCU_READ_H

#include "bench.h"

struct rcu_object {
    uint64_t first, second;
};

extern struct rcu_object *rcu_current;

static inline uint64_t rcu_sum(const struct rcu_object *o) {
    return o->first + o->second;
}

/* READ_MANY(name, begin, find, end): a function that does it n times; aligned, since so short a
 * loop depends on where it lies. */
#define READ_MANY(name, begin, find, end)                                                          \
    static __attribute__((noinline, aligned(64))) uint64_t name(uint64_t n) {                      \
        uint64_t sum = 0;                                                                          \
        for (uint64_t i = 0; i < n; i++) {                                                         \
            begin;                                                                                 \
            sum += rcu_sum(find);                                                                  \
            end;                                                                                   \
        }                                                                                          \
        return sum;                                                                                \
    }

#endif
