/* SPDX-License-Identifier: MIT */
/* Read-copy-update: data that is read far more often than it is changed, by readers that take no
 * lock and write to no memory that others look at. A writer makes a new version, publishes it, and
 * frees the old one when nobody can be reading that any more.
 *
 *     struct config *current;                          // a plain pointer
 *
 *     hd_rcu_read_lock();                              // reader
 *     struct config *c = hd_rcu_dereference(current);
 *     use(c);                                          // c stays valid up to here
 *     hd_rcu_read_unlock();
 *
 *     struct config *old = hd_rcu_exchange(current, fresh);   // writer
 *     hd_rcu_synchronize();                            // or hd_rcu_call(&old->rcu, free_config)
 *     free(old);
 *
 * A read section is a section in which its thread is not preempted, and nothing more: it costs a
 * count in memory of the kernel thread's own. It must be short, and must not wait or yield: a debug
 * build of the library aborts when a thread does. A thread that ends within one aborts with a
 * message. Nor should it block in the kernel, for as long as writers had to wait then. Sections
 * nest.
 *
 * Threads of the runtime are readers by themselves. A foreign kernel thread calls hd_rcu_register()
 * before it reads. Writers need no registration.
 *
 * McKenney and Slingwine, Read-Copy Update: Using Execution History to Solve Concurrency Problems
 * (PDCS 1998); for readers without fences Desnoyers, McKenney, Stern, Dagenais and Walpole,
 * User-Level Implementations of Read-Copy Update (TPDS 23(2), 2012). The argument for this
 * implementation is in src/sched/rcu.c. */
#ifndef HEDDLE_RCU_H
#define HEDDLE_RCU_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* Of each kernel thread: how deep it is in read sections, and flags of the library, all in one word
 * (src/sched/rcu_mark.h). Programs do not use it. */
HD_API extern __thread uint32_t hd__rcu_word;

/* What the two below do where it cannot be done inline; and what is left to do for them. */
HD_API void hd__rcu_lock(void);
HD_API void hd__rcu_unlock(void);
HD_API void hd__rcu_locked(void);
HD_API void hd__rcu_unlocked(void);

#if defined(__SANITIZE_THREAD__)
#define HD__RCU_OPAQUE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HD__RCU_OPAQUE 1
#endif
#endif

/* HD__RCU_FIND(at): where this kernel thread's word is. In assembly, since a compiler would keep
 * the address of a thread-local variable, and the thread may go on on another kernel thread. On
 * x86-64 it is the distance from a segment register, the same for all kernel threads. A thread that
 * is preempted between these instructions goes on on the same kernel thread. */
#if defined(HD__RCU_OPAQUE)
#elif defined(__x86_64__) && !defined(__ILP32__)
#define HD__RCU_SEGMENT 1
#define HD__RCU_FIND(at) __asm__("movq hd__rcu_word@gottpoff(%%rip), %0" : "=r"(at))
#elif defined(__aarch64__) && defined(__LP64__)
#define HD__RCU_FIND(at)                                                                           \
    do {                                                                                           \
        uint64_t hd__base;                                                                         \
        __asm__ volatile("adrp %0, :gottprel:hd__rcu_word\n\t"                                     \
                         "ldr %0, [%0, #:gottprel_lo12:hd__rcu_word]\n\t"                          \
                         "mrs %1, tpidr_el0\n\t"                                                   \
                         "add %0, %1, %0"                                                          \
                         : "=&r"(at), "=&r"(hd__base));                                            \
    } while (0)
#elif defined(__riscv) && __riscv_xlen == 64
#define HD__RCU_FIND(at)                                                                           \
    __asm__ volatile("la.tls.ie %0, hd__rcu_word\n\tadd %0, %0, tp" : "=r"(at))
#else
#define HD__RCU_OPAQUE 1
#endif

/* Begins a read section. Never fails, does not block. Not by a foreign kernel thread that has not
 * called hd_rcu_register(): aborts with a message. May be called from a signal handler of the
 * program's. */
static inline void hd_rcu_read_lock(void) {
#if defined(HD__RCU_OPAQUE)
    hd__rcu_lock();
#elif defined(HD__RCU_SEGMENT)
    uintptr_t at;
    bool special;
    HD__RCU_FIND(at);
    /* One instruction, so that signals and other threads of this kernel thread come before or
     * after it. Without a lock prefix: nobody else counts here. */
    __asm__ volatile("incl %%fs:(%1)" : "=@ccs"(special) : "r"(at) : "memory");
    if (__builtin_expect(special, 0)) hd__rcu_locked();
#else
    uint32_t *at;
    HD__RCU_FIND(at);
    uint32_t word = __atomic_load_n(at, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(at, word, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect((int32_t)word < 0, 0)) hd__rcu_locked();
#endif
}

/* Ends it. A preemption that fell due meanwhile happens here, in the outermost one. Aborts with a
 * message if no section is open. */
static inline void hd_rcu_read_unlock(void) {
#if defined(HD__RCU_OPAQUE)
    hd__rcu_unlock();
#elif defined(HD__RCU_SEGMENT)
    uintptr_t at;
    bool more;
    HD__RCU_FIND(at);
    /* A release, as every store here. */
    __asm__ volatile("decl %%fs:(%1)" : "=@ccnz"(more) : "r"(at) : "memory");
    if (__builtin_expect(more, 0)) hd__rcu_unlocked();
#else
    uint32_t *at;
    HD__RCU_FIND(at);
    uint32_t word = __atomic_load_n(at, __ATOMIC_RELAXED) - 1;
    __atomic_store_n(at, word, __ATOMIC_RELEASE);
    if (__builtin_expect(word != 0, 0)) hd__rcu_unlocked();
#endif
}

/* Reads a protected pointer, an lvalue of a plain pointer type; within a read section. An acquire:
 * what the writer did to the object before it published it is seen. */
#define hd_rcu_dereference(pointer) __atomic_load_n(&(pointer), __ATOMIC_ACQUIRE)

/* Publishes a new version: a release. Writers keep each other out themselves. */
#define hd_rcu_assign(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELEASE)

/* The same, and yields the old version: of several writers each gets another one. */
#define hd_rcu_exchange(pointer, value) __atomic_exchange_n(&(pointer), (value), __ATOMIC_ACQ_REL)

/* Waits until every read section that was open when it was called has ended (a grace period), so
 * that nobody uses what was unpublished before the call. Several callers at once share grace
 * periods. Not interrupted by hd_interrupt(). Blocks: the thread alone, not its worker. Aborts with
 * a message within a read section. From threads and foreign kernel threads, whether or not a
 * runtime runs. */
HD_API void hd_rcu_synchronize(void);

/* A member of an object that is to be freed. From hd_rcu_call() until fn is called it is the
 * library's. */
typedef struct hd_rcu_head {
    struct hd_rcu_head *next;
    void (*fn)(struct hd_rcu_head *head);
} hd_rcu_head;

/* Has fn(head) called after a grace period, in a thread named "rcu" that is spawned for it while
 * there is something to do; in the order of the calls that one thread makes. fn may free the object
 * that head lies in, and may do what any thread may do, but what it waits for holds up those behind
 * it. hd_run() and hd_stop() return when it has been called. Never fails and does not block; also
 * within read sections. From threads, and from foreign kernel threads: while no runtime runs, or
 * when no thread could be spawned, it is put off until somebody calls this or hd_rcu_barrier(). */
HD_API void hd_rcu_call(hd_rcu_head *head, void (*fn)(hd_rcu_head *head));

/* Waits until all functions have been called and have returned that were given to hd_rcu_call()
 * before; calls them itself if nobody else does. Not interrupted. Aborts with a message within a
 * read section, and within such a function. Blocks. */
HD_API void hd_rcu_barrier(void);

/* Makes the calling foreign kernel thread a reader, until hd_rcu_unregister() or its end; again
 * does nothing, and so does it on a thread of the runtime. 0, -ENOMEM. Does not block.
 * Unregistering within a read section aborts with a message. */
HD_API int hd_rcu_register(void);
HD_API void hd_rcu_unregister(void);

/* Whether the caller is in a read section, for assertions. */
HD_API bool hd_rcu_reading(void);

HD_END_DECLS
#endif
