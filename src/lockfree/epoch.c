/* SPDX-License-Identifier: MIT */
/* Epochs: the public functions. The algorithm and its argument: epoch.h. */
#include "lockfree/epoch.h"

#include <errno.h>

#include "base/check.h"
#include <heddle/time.h>

int hd_epoch_create(hd_epoch **out) {
    HD__CHECK(out != NULL, "hd_epoch_create: out is NULL; pass the address of a pointer");
    hd_epoch *e = hd__lf_alloc(sizeof *e);
    if (!e) return -ENOMEM;
    hd__epoch_init(e);
    *out = e;
    return 0;
}

void hd_epoch_destroy(hd_epoch *e) {
    if (!e) return;
    for (unsigned i = 0; i < HD__EPOCH_LINES; i++)
        for (unsigned phase = 0; phase < HD__EPOCH_PHASES; phase++)
            HD__CHECK(hd__load_acquire(&e->lines[i].inside[phase]) == 0,
                      "hd_epoch_destroy: somebody is in a section; call it when all have ended");
    /* What is freed may retire more. */
    while (hd_epoch_flush(e) != 0) continue;
    hd__lf_free(e, sizeof *e);
}

hd_epoch_section hd_epoch_enter(hd_epoch *e) {
    return (hd_epoch_section){hd__epoch_enter(e, hd__lf_hint())};
}

void hd_epoch_exit(hd_epoch *e, hd_epoch_section s) {
    HD__CHECK(s.cell < HD__EPOCH_LINES * HD__EPOCH_PHASES && hd__epoch_exit(e, s.cell) != 0,
              "hd_epoch_exit: there is no such section; pass what hd_epoch_enter() returned, once");
}

void hd_epoch_retire(hd_epoch *e, hd_retired *r, void *object, void (*free_object)(void *object)) {
    HD__CHECK(e != NULL && r != NULL && free_object != NULL,
              "hd_epoch_retire: an argument is NULL; pass the object, its hd_retired and a "
              "function that frees it");
    hd__epoch_retire(e, hd__lf_hint(), (struct hd__retired *)r, object, free_object);
}

size_t hd_epoch_flush(hd_epoch *e) {
    size_t freed = 0;
    for (unsigned i = 0; i < HD__EPOCH_LINES; i++) freed += hd__epoch_clean(e, &e->lists[i]);
    return freed;
}

enum { TRIES = 16, FIRST_NS = 20 * 1000, LONGEST_NS = 1000 * 1000 };

int hd_epoch_synchronize_until(hd_epoch *e, uint64_t deadline_ns) {
    HD__CHECK(e != NULL, "hd_epoch_synchronize: e is NULL; get it from hd_epoch_create()");
    uint64_t end = hd__epoch_stamp(e) + 2, pause_ns = FIRST_NS;
    for (unsigned turn = 0;; turn++) {
        while (atomic_load_explicit(&e->epoch, memory_order_seq_cst) < end && hd__epoch_advance(e))
            continue;
        if (atomic_load_explicit(&e->epoch, memory_order_seq_cst) >= end) return 0;
        /* Sections are short as a rule: pauses first; a thread that is preempted in one then has
         * its turn while this one sleeps. */
        if (turn < TRIES) {
            hd__lf_wait(0);
            continue;
        }
        uint64_t now = hd_now_ns();
        if (now >= deadline_ns) return -ETIMEDOUT;
        int err = hd_sleep_until(pause_ns < deadline_ns - now ? now + pause_ns : deadline_ns);
        if (err != 0) return err;
        if (pause_ns < LONGEST_NS) pause_ns *= 2;
    }
}

int hd_epoch_synchronize(hd_epoch *e) {
    return hd_epoch_synchronize_until(e, HD_FOREVER);
}
