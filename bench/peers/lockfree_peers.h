/* SPDX-License-Identifier: MIT */
/* The peers of the lock-free structures: Concurrency Kit's ring, liburcu's queues. For lockfree.c
 * alone, which includes it in its middle. */
#ifndef HEDDLE_BENCH_LOCKFREE_PEERS_H
#define HEDDLE_BENCH_LOCKFREE_PEERS_H

#include <ck_ring.h>

#define _LGPL_SOURCE /* what may be inline is */
#include <urcu.h>

#include <urcu-call-rcu.h>
#include <urcu/rculfqueue.h>
#include <urcu/wfcqueue.h>

/* ---- Concurrency Kit ---- */

static ck_ring_t ck HD_CACHE_ALIGNED;
static ck_ring_buffer_t *ck_buffer;

#define CK_RING_PUSH(item) ck_ring_enqueue_mpmc(&ck, ck_buffer, item)
#define CK_RING_POP(item) ck_ring_dequeue_mpmc(&ck, ck_buffer, &(item))
#define CK_SPSC_PUSH(item) ck_ring_enqueue_spsc(&ck, ck_buffer, item)
#define CK_SPSC_POP(item) ck_ring_dequeue_spsc(&ck, ck_buffer, &(item))

LOOPS(ck_ring, false, , CK_RING_PUSH, CK_RING_POP, , NUMBER_ITEM, NUMBER_VALUE)
LOOPS(ck_spsc, false, , CK_SPSC_PUSH, CK_SPSC_POP, , NUMBER_ITEM, NUMBER_VALUE)

static unsigned ck_size;

static void ck_begin(void) {
    ck_ring_init(&ck, ck_size);
}

/* ---- liburcu: the queue with a lock for consumers, and without it, for one ---- */

static struct cds_wfcq_head wf_head HD_CACHE_ALIGNED;
static struct cds_wfcq_tail wf_tail HD_CACHE_ALIGNED;

static inline bool wf_push(void *item) {
    struct cds_wfcq_node *node = (struct cds_wfcq_node *)item;
    cds_wfcq_node_init(node);
    cds_wfcq_enqueue(&wf_head, &wf_tail, node);
    return true;
}

#define WF_POP(item) (((item) = cds_wfcq_dequeue_blocking(&wf_head, &wf_tail)) != NULL)
#define WF_ONE_POP(item) (((item) = __cds_wfcq_dequeue_blocking(&wf_head, &wf_tail)) != NULL)

LOOPS(wfcqueue, false, , wf_push, WF_POP, , object_item, OBJECT_VALUE)
LOOPS(wfcqueue_one, false, , wf_push, WF_ONE_POP, , object_item, OBJECT_VALUE)

static void wf_begin(void) {
    cds_wfcq_init(&wf_head, &wf_tail);
}

static void wf_end(void) {
    cds_wfcq_destroy(&wf_head, &wf_tail);
}

/* ---- liburcu: the lock-free queue ---- */

static struct cds_lfq_queue_rcu lf HD_CACHE_ALIGNED;

static inline bool lf_push(void *item) {
    struct cds_lfq_node_rcu *node = (struct cds_lfq_node_rcu *)item;
    rcu_read_lock();
    cds_lfq_node_init_rcu(node);
    cds_lfq_enqueue_rcu(&lf, node);
    rcu_read_unlock();
    return true;
}

static inline void *lf_pop(void) {
    rcu_read_lock();
    void *item = cds_lfq_dequeue_rcu(&lf);
    rcu_read_unlock();
    return item;
}
#define LF_POP(item) (((item) = lf_pop()) != NULL)

LOOPS(lfqueue, false, rcu_register_thread(), lf_push, LF_POP, rcu_unregister_thread(), object_item,
      OBJECT_VALUE)

static void lf_begin(void) {
    cds_lfq_init_rcu(&lf, call_rcu);
}

/* The objects are used again: nobody may look at them any more. */
static void lf_end(void) {
    cds_lfq_destroy_rcu(&lf);
    synchronize_rcu();
}

_Static_assert(sizeof(struct cds_lfq_node_rcu) <= sizeof(void *[2]) &&
                   sizeof(struct cds_wfcq_node) <= sizeof(void *[2]),
               "the links of an object");

static int peers_init(void) {
    for (ck_size = 2; ck_size < bench_value("capacity");) ck_size *= 2;
    ck_buffer = (ck_ring_buffer_t *)bench_array(ck_size, sizeof *ck_buffer);
    return 0;
}
#define PEERS_INIT() peers_init()

#define PEERS_KINDS                                                                                \
    {"ck_spsc", true, false, ck_begin, ck_spsc_produce, ck_spsc_consume, nothing},                 \
        {"ck_ring", false, false, ck_begin, ck_ring_produce, ck_ring_consume, nothing},            \
        {"wfcqueue", false, false, wf_begin, wfcqueue_produce, wfcqueue_consume, wf_end},          \
        {"wfcqueue_one", true, false, wf_begin, wfcqueue_one_produce, wfcqueue_one_consume,        \
         wf_end},                                                                                  \
        {"lfqueue", false, false, lf_begin, lfqueue_produce, lfqueue_consume, lf_end},

#endif
