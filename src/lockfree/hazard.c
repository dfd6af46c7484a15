/* SPDX-License-Identifier: MIT */
/* Hazard pointers: the public functions. The algorithm and its argument: hazard.h. */
#include "lockfree/hazard_own.h"

#include "base/check.h"
#include "os/cpu.h"
#include "os/kthread.h"
#include "sched/self.h"

struct hd__hazard_domain hd__hazard;

/* ---- records of kernel threads ---- */

__thread struct hd_hazard *hd__hazard_own __attribute__((tls_model("initial-exec")));

enum { UNKNOWN, THERE, MISSING };
static _Atomic int barrier; /* whether the kernel has membarrier() */

void hd__hazard_prepare(void) {
    if (hd__load_acquire(&barrier) != UNKNOWN) return;
    int found = hd__os_membarrier_register() == 0 ? THERE : MISSING, unknown = UNKNOWN;
    /* Once MISSING, it stays so: nobody has a record of its own then. */
    atomic_compare_exchange_strong_explicit(&barrier, &unknown, found, memory_order_acq_rel,
                                            memory_order_acquire);
}

void hd__lf_barrier(void) {
    if (hd__load_acquire(&barrier) == THERE) hd__os_membarrier();
}

/* The kernel thread ends. */
static HD__NOINLINE void own_give(void *record) {
    hd__hazard_own = NULL;
    hd__hazard_give(record);
}

static HD__NOINLINE bool own_set(struct hd_hazard *h) {
    hd__sched_enter();
    bool mine = hd__hazard_own == NULL;
    if (mine) hd__hazard_own = h;
    hd__sched_leave();
    return mine;
}

/* Another thread of this kernel thread may do the same at the same time: one record is given back
 * then, and the hook is told of the one that stays, by whoever comes last or first. */
void hd__hazard_own_make(void) {
    static struct hd__os_exit_hook hook;
    if (hd__load_acquire(&barrier) != THERE) return;
    struct hd__hazard_chunk *c = hd__hazard_more(&hd__hazard.first);
    struct hd_hazard *h = c ? hd__hazard_take(c, hd__lf_hint(), HD__HAZARD_IDLE) : NULL;
    if (!h) return;
    if (hd__os_kthread_at_exit(&hook, own_give, h) != 0 || !own_set(h)) hd__hazard_give(h);
}

/* ---- the public functions ---- */

hd_hazard *hd_hazard_acquire(void) {
    struct hd__hazard_chunk *c = hd__hazard_more(&hd__hazard.first);
    return c ? hd__hazard_take(c, hd__lf_hint(), HD__HAZARD_IDLE) : NULL;
}

void hd_hazard_release(hd_hazard *h) {
    if (!h) return;
    HD__CHECK(hd__load_relaxed(&h->word) != 0,
              "hd_hazard_release: this hazard pointer was released before; release each once");
    hd__hazard_give(h);
}

static void check(hd_hazard *h, const char *call) {
    HD__CHECK(h != NULL && hd__load_relaxed(&h->word) != 0,
              "%s: h is not in use; get it from hd_hazard_acquire()", call);
}

void *hd_hazard_protect(hd_hazard *h, const void *source) {
    check(h, "hd_hazard_protect");
    return hd__hazard_again(h, source);
}

void hd_hazard_set(hd_hazard *h, const void *object) {
    check(h, "hd_hazard_set");
    atomic_store_explicit(&h->word, object ? (uintptr_t)object : HD__HAZARD_IDLE,
                          memory_order_seq_cst);
}

void hd_hazard_retire(hd_retired *r, void *object, void (*free_object)(void *object)) {
    HD__CHECK(r != NULL && object != NULL && free_object != NULL,
              "hd_hazard_retire: an argument is NULL; pass the object, its hd_retired and a "
              "function that frees it");
    hd__hazard_retire(&hd__hazard, hd__lf_hint(), (struct hd__retired *)r, object, free_object);
}

size_t hd_hazard_flush(void) {
    size_t freed = hd__hazard_clean(&hd__hazard, &hd__hazard.large);
    for (unsigned i = 0; i < HD__HAZARD_LISTS; i++)
        freed += hd__hazard_clean(&hd__hazard, &hd__hazard.lists[i]);
    return freed;
}
