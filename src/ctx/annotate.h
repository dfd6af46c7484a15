/* SPDX-License-Identifier: MIT */
/* All that ASan, TSan and Valgrind must be told about stacks, switches and pools. In a normal build
 * every function here is empty and struct hd__annotation has no members that cost anything.
 *
 * ASan keeps a "fake stack" for each stack (use after return) and wants to know the bounds of the
 * one that runs; it is told before and after a switch. TSan keeps a shadow state for each context,
 * made and destroyed with it, and orders what happened before a switch ahead of what follows it.
 * (That hides races between threads that only ever ran on one carrier, and keeps what the scheduler
 * guards by running on that carrier from being reported.) Valgrind wants to know where the stacks
 * are, so that a switch does not look like a huge allocation. */
#ifndef HD_SRC_CTX_ANNOTATE_H
#define HD_SRC_CTX_ANNOTATE_H

#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define HD__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HD__ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define HD__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HD__TSAN 1
#endif
#endif

#ifdef HD__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef HD__TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(HD_VALGRIND) && defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#define HD__VALGRIND 1
#include <valgrind/memcheck.h>
#include <valgrind/valgrind.h>
#endif
#endif

#if defined(HD__ASAN) || defined(HD__TSAN)
#define HD__ANNOTATED 1 /* contexts carry a struct hd__annotation */
#include "os/kthread.h"

struct hd__annotation {
    void (*entry)(void *pass, void *arg); /* what a fresh context really runs */
    void *arg;
    const void *low; /* of the stack that the context runs on */
    size_t size;
    void *fake_stack; /* ASan: what it asked to keep while the context does not run */
    void *fiber;      /* TSan: the context's shadow state */
    void *reap;       /* TSan: the state of the context that ended before this one went on */
};

/* The context has its own stack, and has not run. */
static inline void hd__annotate_make(struct hd__annotation *a, const void *low, size_t size) {
    *a = (struct hd__annotation){ .low = low, .size = size };
#ifdef HD__TSAN
    a->fiber = __tsan_create_fiber(0);
#endif
}

/* The context is the calling kernel thread's own. */
static inline void hd__annotate_adopt(struct hd__annotation *a) {
    *a = (struct hd__annotation){ .low = NULL };
#ifdef HD__ASAN
    void *low, *top;
    if (hd__os_kthread_stack(&low, &top) == 0) {
        a->low = low;
        a->size = (size_t)((char *)top - (char *)low);
    }
#endif
#ifdef HD__TSAN
    a->fiber = __tsan_get_current_fiber();
#endif
}

/* The context that was made never runs again, and does not run now. */
static inline void hd__annotate_discard(struct hd__annotation *a) {
#ifdef HD__TSAN
    if (a->fiber != NULL) {
        __tsan_destroy_fiber(a->fiber);
    }
#endif
    a->fiber = NULL;
}

/* `from` is about to be left for `to`; `dies`: for good. Nothing but the switch may follow. */
static HD__ALWAYS_INLINE void hd__annotate_leave(struct hd__annotation *from,
                                                 struct hd__annotation *to, bool dies) {
#ifdef HD__ASAN
    __sanitizer_start_switch_fiber(dies ? NULL : &from->fake_stack, to->low, to->size);
#endif
#ifdef HD__TSAN
    if (dies) {
        /* Its state is in use until the switch, so the one that follows destroys it. */
        to->reap = from->fiber;
    }
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    (void)from, (void)to, (void)dies;
}

/* `self` goes on after a switch, or for the first time. */
static HD__ALWAYS_INLINE void hd__annotate_arrive(struct hd__annotation *self) {
#ifdef HD__ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
#ifdef HD__TSAN
    if (self->reap != NULL) {
        __tsan_destroy_fiber(self->reap);
        self->reap = NULL;
    }
#endif
    (void)self;
}
#endif /* contexts */

/* A slot of a slab becomes a stack; returns what hd__annotate_stack_gone() wants to have. */
static inline unsigned hd__annotate_stack_new(void *low, void *top) {
#ifdef HD__VALGRIND
    return (unsigned)VALGRIND_STACK_REGISTER(low, (char *)top - 1);
#else
    (void)low, (void)top;
    return 0;
#endif
}

static inline void hd__annotate_stack_gone(unsigned id) {
#ifdef HD__VALGRIND
    VALGRIND_STACK_DEREGISTER(id);
#else
    (void)id;
#endif
}

/* Nothing that is left on the stack has a meaning any more: the thread ended in the middle of its
 * functions, whose red zones would be found by the next one. */
static inline void hd__annotate_stack_idle(void *low, size_t size) {
#ifdef HD__ASAN
    __asan_unpoison_memory_region(low, size);
#endif
#ifdef HD__VALGRIND
    (void)VALGRIND_MAKE_MEM_UNDEFINED(low, size);
#endif
    (void)low, (void)size;
}

/* Somebody is about to read all of a stack, the part below the stack pointer as well. */
static inline void hd__annotate_stack_peek(void *low, size_t size) {
#ifdef HD__VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(low, size);
#endif
    (void)low, (void)size;
}

/* ---- Pools: memory that is handed out in objects ---- */

/* A range becomes objects, all of them free. What they will hold points to other memory. */
static HD__ALWAYS_INLINE void hd__annotate_objects_new(void *p, size_t bytes) {
#ifdef HD__ASAN
    __lsan_register_root_region(p, bytes);
    __asan_poison_memory_region(p, bytes);
#endif
#ifdef HD__VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
#endif
    (void)p, (void)bytes;
}

static HD__ALWAYS_INLINE void hd__annotate_objects_gone(void *p, size_t bytes) {
#ifdef HD__ASAN
    __lsan_unregister_root_region(p, bytes);
    __asan_unpoison_memory_region(p, bytes);
#endif
    (void)p, (void)bytes;
}

/* A free object is handed out; keeps: what it holds has a meaning. */
static HD__ALWAYS_INLINE void hd__annotate_object_take(void *p, size_t bytes, bool keeps) {
#ifdef HD__ASAN
    __asan_unpoison_memory_region(p, bytes);
#endif
#ifdef HD__VALGRIND
    if (keeps)
        (void)VALGRIND_MAKE_MEM_DEFINED(p, bytes);
    else
        (void)VALGRIND_MAKE_MEM_UNDEFINED(p, bytes);
#endif
    (void)p, (void)bytes, (void)keeps;
}

/* An object is given back. ASan reports the access if it was free already. */
static HD__ALWAYS_INLINE void hd__annotate_object_give(void *p, size_t bytes) {
#ifdef HD__ASAN
    (void)*(const volatile char *)p;
    __asan_poison_memory_region(p, bytes);
#endif
#ifdef HD__VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
#endif
    (void)p, (void)bytes;
}

/* Whether a tool is in between that does not know the newest system calls and says so. */
static inline bool hd__annotate_old_kernel(void) {
#ifdef HD__VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

#endif
