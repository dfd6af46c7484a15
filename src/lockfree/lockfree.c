/* SPDX-License-Identifier: MIT */
/* What the lock-free structures ask of the runtime; see lockfree.h. */
#include "lockfree/lockfree.h"

#include <string.h>

#include "base/spin.h"
#include "ctx/annotate.h"
#include "os/mem.h"
#include "sched/self.h"
#include "sched/worker.h"

/* In the gate: the allocator's lock is not held by a thread that is preempted, and the C library's
 * is not needed, which light threads must not wait for. */
void *hd__lf_alloc(size_t bytes) {
    hd__sched_enter();
    void *p = hd__os_alloc_aligned(HD__CACHE_LINE, bytes);
    if (p) { /* it will hold pointers to the program's objects */
        hd__annotate_objects_new(p, bytes);
        hd__annotate_object_take(p, bytes, true);
    }
    hd__sched_leave();
    return p ? memset(p, 0, bytes) : NULL;
}

void hd__lf_free(void *p, size_t bytes) {
#if defined(HD_HOSTILE) || defined(HD__ASAN)
    memset(p, 0xdb, bytes); /* who still uses it is to notice */
#endif
    hd__sched_enter();
    hd__annotate_objects_gone(p, bytes);
    hd__os_free(p);
    hd__sched_leave();
}

unsigned hd__lf_hint(void) {
    /* Read in one piece. The thread may be on another worker by now; workers stay where they are
     * while threads run. */
    struct hd__worker *w = hd__worker_get();
    if (HD__LIKELY(w != NULL)) return w->index;
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
    return (unsigned)((stack >> 16) * UINT32_C(0x9e3779b1) >> 8);
}

void hd__lf_wait(unsigned turn) {
    hd__spin_turn(turn);
}
