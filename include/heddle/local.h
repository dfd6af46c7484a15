/* SPDX-License-Identifier: MIT */
/* For the inline functions of other headers: words of the library that each kernel thread has for
 * itself. Programs do not use them. */
#ifndef HEDDLE_LOCAL_H
#define HEDDLE_LOCAL_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* Which thread runs on this kernel thread: its number, hd_thread_id(). The scheduler writes it in
 * each switch. On a foreign kernel thread: a number that it was given when it needed one, else
 * HD__TOKEN_NONE. */
HD_API extern __thread uint64_t hd__thread_token;
#define HD__TOKEN_NONE UINT64_MAX

/* HD__TOKEN_READ(variable): reads it. Not defined where only an opaque call can.
 *
 * In assembly, since compilers keep the addresses of thread-local variables in registers, and a
 * thread may go on on another kernel thread. The value may be kept: it is the same for as long as
 * the function lives. Where this takes several instructions, a thread that is preempted between
 * them goes on on the same kernel thread. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define HD__TOKEN_READ(token)                                                                      \
    __asm__("movq hd__thread_token@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(token))
#elif defined(__aarch64__) && defined(__LP64__)
#define HD__TOKEN_READ(token)                                                                      \
    do {                                                                                           \
        uint64_t hd__base;                                                                         \
        __asm__("adrp %0, :gottprel:hd__thread_token\n\t"                                          \
                "ldr %0, [%0, #:gottprel_lo12:hd__thread_token]\n\t"                               \
                "mrs %1, tpidr_el0\n\t"                                                            \
                "ldr %0, [%1, %0]"                                                                 \
                : "=&r"(token), "=&r"(hd__base));                                                  \
    } while (0)
#elif defined(__riscv) && __riscv_xlen == 64
#define HD__TOKEN_READ(token)                                                                      \
    __asm__("la.tls.ie %0, hd__thread_token\n\tadd %0, %0, tp\n\tld %0, 0(%0)" : "=&r"(token))
#endif

/* Where in a counter's memory (heddle/counter.h) this kernel thread adds without anybody else: an
 * offset in bytes; negative: it must ask. */
HD_API extern __thread int64_t hd__counter_slot;

HD_END_DECLS
#endif
