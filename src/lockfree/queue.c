/* SPDX-License-Identifier: MIT */
/* The unbounded queue: the public functions. The algorithm and its argument: queue.h. */
#include "lockfree/queue.h"

#include <errno.h>

#include "base/check.h"
#include "lockfree/hazard_own.h"
#include "sched/self.h"

int hd_queue_create(hd_queue **out) {
    HD__CHECK(out != NULL, "hd_queue_create: out is NULL; pass the address of a pointer");
    hd__hazard_prepare();
    hd_queue *q = hd__lf_alloc(sizeof *q);
    if (q && hd__queue_init(q)) {
        *out = q;
        return 0;
    }
    if (q) hd__lf_free(q, sizeof *q);
    return -ENOMEM;
}

void hd_queue_destroy(hd_queue *q) {
    if (!q) return;
    hd__queue_finish(q);
    hd__lf_free(q, sizeof *q);
}

static HD__NOINLINE bool push_slow(hd_queue *q, void *item, bool own) {
    if (!own) hd__hazard_own_make();
    return hd__queue_push(q, &hd__hazard, hd__lf_hint(), item);
}

static HD__NOINLINE bool pop_slow(hd_queue *q, void **item, bool own) {
    if (!own) hd__hazard_own_make();
    return hd__queue_pop(q, &hd__hazard, hd__lf_hint(), item);
}

int hd_queue_push(hd_queue *q, void *item) {
    HD__CHECK(q != NULL, "hd_queue_push: q is NULL; get it from hd_queue_create()");
    (void)hd__self_enter_brief();
    struct hd_hazard *own = hd__hazard_own;
    bool done = HD__LIKELY(own != NULL) && hd__queue_push_light(q, own, item);
    if (hd__self_leave_brief()) hd__sched_leave_due();
    return HD__LIKELY(done) || push_slow(q, item, own != NULL) ? 0 : -ENOMEM;
}

bool hd_queue_pop(hd_queue *q, void **item) {
    HD__CHECK(q != NULL && item != NULL, "hd_queue_pop: an argument is NULL");
    (void)hd__self_enter_brief();
    struct hd_hazard *own = hd__hazard_own;
    bool done = HD__LIKELY(own != NULL) && hd__queue_pop_light(q, own, item);
    if (hd__self_leave_brief()) hd__sched_leave_due();
    return HD__LIKELY(done) || pop_slow(q, item, own != NULL);
}

bool hd_queue_is_empty(hd_queue *q) {
    HD__CHECK(q != NULL, "hd_queue_is_empty: q is NULL; get it from hd_queue_create()");
    return hd__queue_is_empty(q, &hd__hazard, hd__lf_hint());
}
