/* SPDX-License-Identifier: MIT */
/* The functions that -fsanitize=thread has gcc and clang call, in place of ThreadSanitizer's own
 * library: here each access becomes an event of the exploration. Outside of it they do what the
 * instruction would have done. */
#include "core.h"

#include <string.h>

/* Their prototypes are the compilers' business. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define PC __builtin_return_address(0)

/* ---- Sites: an operation's place in the code, where a mutant may have another order ---- */

static unsigned order_at(const void *pc, unsigned kind, unsigned role, unsigned order) {
    struct checker *c = model__c;
    for (int i = 0; i < c->sites; i++) {
        struct site *s = &c->site[i];
        if (s->pc != pc || s->kind != kind || s->role != role) continue;
        s->seen++;
        return s->instead;
    }
    if (c->sites < SITES) {
        struct site *s = &c->site[c->sites++];
        *s = (struct site){.pc = pc, .kind = (uint8_t)kind, .role = (uint8_t)role,
                           .order = (uint8_t)order, .instead = (uint8_t)order, .seen = 1};
    }
    return order;
}

/* ---- Atomics ---- */

static bool exploring(void) {
    return model__c && model__c->phase == THREADS;
}

static uint64_t perform(enum op_kind kind, enum rmw rmw, volatile void *p, unsigned bytes,
                        uint64_t operand, uint64_t expected, int order, int fail_order,
                        const void *pc) {
    struct op op = {.kind = kind, .rmw = rmw, .bytes = (uint8_t)bytes, .addr = (uintptr_t)p,
                    .operand = operand, .expected = expected, .pc = pc};
    op.order = (uint8_t)order_at(pc, kind, 0, (unsigned)order & 7);
    if (kind == OP_CAS) op.fail_order = (uint8_t)order_at(pc, kind, 1, (unsigned)fail_order & 7);
    if (kind == OP_FENCE && op.order == ORDER_NONE) return 0;
    return model__perform(&op);
}

#define RMW_FUNCTION(bits, name, rmw, native)                                               \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, \
                                                int order) {                                \
        if (!exploring()) return native;                                                    \
        return (uint##bits##_t)perform(OP_RMW, rmw, p, bits / 8, v, 0, order, 0, PC);       \
    }

#define FUNCTIONS(bits)                                                                     \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order) { \
        if (!exploring()) return *p;                                                        \
        return (uint##bits##_t)perform(OP_LOAD, RMW_SET, (volatile void *)(uintptr_t)p,     \
                                       bits / 8, 0, 0, order, 0, PC);                       \
    }                                                                                       \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order) { \
        if (exploring())                                                                    \
            perform(OP_STORE, RMW_SET, p, bits / 8, v, 0, order, 0, PC);                    \
        else                                                                                \
            *p = v;                                                                         \
    }                                                                                       \
    RMW_FUNCTION(bits, exchange, RMW_SET, __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))      \
    RMW_FUNCTION(bits, fetch_add, RMW_ADD, __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))      \
    RMW_FUNCTION(bits, fetch_sub, RMW_SUB, __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST))      \
    RMW_FUNCTION(bits, fetch_and, RMW_AND, __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))      \
    RMW_FUNCTION(bits, fetch_or, RMW_OR, __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))         \
    RMW_FUNCTION(bits, fetch_xor, RMW_XOR, __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST))      \
    RMW_FUNCTION(bits, fetch_nand, RMW_NAND, __atomic_fetch_nand(p, v, __ATOMIC_SEQ_CST))   \
    static bool cas##bits(volatile uint##bits##_t *p, uint##bits##_t *expected,             \
                          uint##bits##_t v, int order, int fail_order, const void *pc) {    \
        uint##bits##_t old, wanted = *expected;                                             \
        if (!exploring())                                                                   \
            old = __sync_val_compare_and_swap(p, wanted, v);                                \
        else                                                                                \
            old = (uint##bits##_t)perform(OP_CAS, RMW_SET, p, bits / 8, v, wanted, order,   \
                                          fail_order, pc);                                  \
        *expected = old;                                                                    \
        return old == wanted;                                                               \
    }                                                                                       \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t *p,           \
                                                      uint##bits##_t *expected,             \
                                                      uint##bits##_t v, int order, int fail) { \
        return cas##bits(p, expected, v, order, fail, PC);                                  \
    }                                                                                       \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t *p,             \
                                                    uint##bits##_t *expected,               \
                                                    uint##bits##_t v, int order, int fail) { \
        return cas##bits(p, expected, v, order, fail, PC);                                  \
    }                                                                                       \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                              \
        volatile uint##bits##_t *p, uint##bits##_t expected, uint##bits##_t v, int order,   \
        int fail) {                                                                         \
        cas##bits(p, &expected, v, order, fail, PC);                                        \
        return expected;                                                                    \
    }

FUNCTIONS(8)
FUNCTIONS(16)
FUNCTIONS(32)
FUNCTIONS(64)

void __tsan_atomic_thread_fence(int order) {
    if (exploring() && order != memory_order_relaxed)
        perform(OP_FENCE, RMW_SET, NULL, 0, 0, 0, order, 0, PC);
}

void __tsan_atomic_signal_fence(int order) {
    (void)order;
}

/* ---- Plain accesses ---- */

static void plain(const volatile void *p, size_t bytes, bool write, const void *pc) {
    if (exploring()) model__access((uintptr_t)p, (unsigned)bytes, write, pc);
}

#define PLAIN(name, bytes)                                                       \
    void __tsan_read##name(void *p) { plain(p, bytes, false, PC); }              \
    void __tsan_write##name(void *p) { plain(p, bytes, true, PC); }              \
    void __tsan_read_write##name(void *p) { plain(p, bytes, true, PC); }         \
    void __tsan_volatile_read##name(void *p) { plain(p, bytes, false, PC); }     \
    void __tsan_volatile_write##name(void *p) { plain(p, bytes, true, PC); }     \
    void __tsan_unaligned_read##name(void *p) { plain(p, bytes, false, PC); }    \
    void __tsan_unaligned_write##name(void *p) { plain(p, bytes, true, PC); }    \
    void __tsan_unaligned_read_write##name(void *p) { plain(p, bytes, true, PC); }

PLAIN(1, 1)
PLAIN(2, 2)
PLAIN(4, 4)
PLAIN(8, 8)
PLAIN(16, 16)

void __tsan_read_range(void *p, size_t bytes) { plain(p, bytes, false, PC); }
void __tsan_write_range(void *p, size_t bytes) { plain(p, bytes, true, PC); }

void *__tsan_memset(void *p, int value, size_t bytes) {
    plain(p, bytes, true, PC);
    return memset(p, value, bytes);
}

void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    plain(from, bytes, false, PC);
    plain(to, bytes, true, PC);
    return memcpy(to, from, bytes);
}

void *__tsan_memmove(void *to, const void *from, size_t bytes) {
    plain(from, bytes, false, PC);
    plain(to, bytes, true, PC);
    return memmove(to, from, bytes);
}

void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void) {}
void *__tsan_create_fiber(unsigned flags) { (void)flags; return NULL; }
void *__tsan_get_current_fiber(void) { return NULL; }
void __tsan_destroy_fiber(void *fiber) { (void)fiber; }
void __tsan_switch_to_fiber(void *fiber, unsigned flags) { (void)fiber, (void)flags; }
