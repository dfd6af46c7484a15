/* SPDX-License-Identifier: MIT */
/* A counter that many threads add to at once, each in a cache line of its own. Adding costs an
 * addition to memory that no other CPU writes; reading it costs a look at all the lines.
 *
 *     static hd_counter requests = HD_COUNTER_INIT;
 *     hd_counter_add(&requests, 1);                  // any thread, anywhere
 *     printf("%lld\n", (long long)hd_counter_sum(&requests));
 *
 * Threads of the runtime and foreign kernel threads may add, wherever they are preempted; signal
 * handlers may not. The idea, its source and what was rejected are in src/mem/counter.c. */
#ifndef HEDDLE_COUNTER_H
#define HEDDLE_COUNTER_H

#include <heddle/local.h>

HD_BEGIN_DECLS

/* All zero is a counter of 0. A busy one takes memory of its own, a line for each kernel thread
 * that may add at the same time (2 KiB with 2 CPUs, 16 KiB with 64), which hd_counter_finish()
 * gives back; one that is hardly used takes none. Not to be copied. */
typedef struct hd_counter {
    char *slots;
    int64_t base;
} hd_counter;
#define HD_COUNTER_INIT { NULL, 0 }

/* What hd_counter_add() does where it cannot be done inline. */
HD_API void hd__counter_add(hd_counter *c, int64_t n);

/* Adds n, which may be negative. The sum is that of all additions modulo 2^64. Never fails: without
 * memory the counter is only slower. Does not block. */
static inline void hd_counter_add(hd_counter *c, int64_t n) {
#if defined(__x86_64__) && !defined(__ILP32__)
    /* A slot belongs to one kernel thread, and a thread does not change its kernel thread between
     * these lines: one that is preempted goes on on the same one. Another thread may run there
     * meanwhile, which is why it is one instruction that adds. */
    int64_t slot;
    char *slots = __atomic_load_n(&c->slots, __ATOMIC_ACQUIRE);
    __asm__ volatile("movq hd__counter_slot@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=r"(slot)
                     :
                     : "memory");
    if (__builtin_expect(slots != NULL && slot >= 0, 1)) {
        __asm__ volatile("addq %0, (%1,%2)"
                         :
                         : "er"(n), "r"(slots), "r"(slot)
                         : "memory", "cc");
        return;
    }
#endif
    hd__counter_add(c, n);
}

/* The sum. Exact at rest: additions that happened before the call are in it (those of threads that
 * were joined, say), each once; others may be or not. Does not block. */
HD_API int64_t hd_counter_sum(const hd_counter *c);

/* Gives the counter's memory back and makes it 0. Nobody else may use it meanwhile. */
HD_API void hd_counter_finish(hd_counter *c);

HD_END_DECLS
#endif
