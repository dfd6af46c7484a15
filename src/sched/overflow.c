/* SPDX-License-Identifier: MIT */
#include "sched/overflow.h"

#include <errno.h>

#include "base/check.h"
#include "os/signal.h"
#include "sched/worker.h"

/* In the signal handler, on the carrier's alternate stack. The thread whose stack lies above the
 * guard is the one that runs here: nobody else touches a guard but by a wild pointer, and then the
 * line still names where it went. */
static bool on_fault(void *addr, void *ucontext) {
    (void)ucontext;
    struct hd__stack_hit hit;
    if (!hd__stack_find(addr, &hit) || !hit.in_guard || !hit.stack) return false;
    struct hd__worker *w = hd__worker_get();
    hd_thread *t = w ? w->current : NULL;
    if (t && t->stack == hit.stack)
        hd__fatal("stack overflow: thread %llu '%s' ran over the end of its stack of %zu bytes; "
                  "give it a larger one: hd_spawn(&t, HD_ATTR(.stack_size = %zu), ...), or "
                  "hd_config.stack_size for all",
                  (unsigned long long)t->id, hd_thread_name(t), hit.slot_bytes,
                  hit.slot_bytes * 2);
    hd__fatal("a wild access to %p hit the guard of another thread's stack, from thread '%s'",
              addr, t ? hd_thread_name(t) : "(none)");
}

int hd__overflow_init(void) {
    return hd__os_fault_handler_install(on_fault);
}

void hd__overflow_finish(void) {
    hd__os_fault_handler_restore();
}
