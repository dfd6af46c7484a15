/* SPDX-License-Identifier: MIT */
/* C11 atomics with a delay of random length before any of them, for stress tests that compile an
 * algorithm of src/ over it: include this first. Most delays are none, some are long enough for the
 * other CPU to do something, a few give the CPU away; so that what takes place between two
 * instructions once in a million times takes place all the time. */
#ifndef HEDDLE_TEST_DELAYED_ATOMIC_H
#define HEDDLE_TEST_DELAYED_ATOMIC_H

#include <stdatomic.h>

#include <sched.h>
#include <stdint.h>

/* Shared by all threads: what it gives is random enough. */
static uint32_t delay_state = 1;

static inline void delay_some(void) {
    uint32_t x = __atomic_load_n(&delay_state, __ATOMIC_RELAXED) * 1664525u + 1013904223u;
    __atomic_store_n(&delay_state, x, __ATOMIC_RELAXED);
    x >>= 16;
    if ((x & 15) == 0) {
        for (volatile uint32_t i = 0; i < (x >> 4 & 255); i++) {
        }
    } else if ((x & 255) == 1) {
        sched_yield();
    }
}

#ifdef __clang__
#define DELAYED(name, ...) (delay_some(), __c11_atomic_##name(__VA_ARGS__))
#define DELAYED_LOAD(p, o) DELAYED(load, p, o)
#define DELAYED_STORE(p, v, o) DELAYED(store, p, v, o)
#define DELAYED_EXCHANGE(p, v, o) DELAYED(exchange, p, v, o)
#define DELAYED_CAS(p, e, v, w, s, f)                                                              \
    (delay_some(), (w) ? __c11_atomic_compare_exchange_weak(p, e, v, s, f)                         \
                       : __c11_atomic_compare_exchange_strong(p, e, v, s, f))
#else
#define DELAYED(name, ...) (delay_some(), __atomic_##name(__VA_ARGS__))
#define DELAYED_LOAD(p, o) DELAYED(load_n, p, o)
#define DELAYED_STORE(p, v, o) DELAYED(store_n, p, v, o)
#define DELAYED_EXCHANGE(p, v, o) DELAYED(exchange_n, p, v, o)
#define DELAYED_CAS(p, e, v, w, s, f) DELAYED(compare_exchange_n, p, e, v, w, s, f)
#endif

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#define atomic_load_explicit(p, o) DELAYED_LOAD(p, o)
#define atomic_store_explicit(p, v, o) DELAYED_STORE(p, v, o)
#define atomic_exchange_explicit(p, v, o) DELAYED_EXCHANGE(p, v, o)
#define atomic_fetch_add_explicit(p, v, o) DELAYED(fetch_add, p, v, o)
#define atomic_fetch_sub_explicit(p, v, o) DELAYED(fetch_sub, p, v, o)
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f) DELAYED_CAS(p, e, v, 0, s, f)
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f) DELAYED_CAS(p, e, v, 1, s, f)

#endif
