/* SPDX-License-Identifier: MIT */
/* The first backend: io_uring, a ring for each worker.
 *
 * A ring belongs to a worker and not to a kernel thread, since a worker changes its carrier. So its
 * two sides have a lock each, and anybody may use them: a thread puts its operation into the ring
 * of the worker that it runs on; whoever looks for work reaps all rings, that of a worker whose
 * thread computes for long among them; the monitor submits for such a worker.
 *
 * Operations are put down, and submitted together: before the worker looks for work elsewhere, and
 * now and then while it has some. One system call begins a batch of them; and what came in while
 * others ran is taken in by a look at memory.
 *
 * The locks. An operation's lock comes before the submission side's: it is held when the operation
 * is put down. Who holds it must not reap: the result could be its own. Results are taken out in
 * batches, and the operations completed after the lock of that side is released.
 *
 * A submission can fail: no memory, or too many results that nobody reaped. What is down then stays
 * down; `stuck` says so, whoever polls submits again, and nobody sleeps long meanwhile. */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/mem.h"

#ifdef HD_HOSTILE
enum { ENTRIES = 4 };
#else
enum { ENTRIES = 256 };
#endif
enum { REAP_BATCH = 64, NO_TAG = 0 };

struct hd__io_ring {
    struct hd__os_uring *os;
    struct hd__io_ring *next; /* in `rings`; written before it is published */
    HD__ALIGNED(HD__CACHE_LINE) hd__spin push_lock; /* guards pushing and submitting */
    _Atomic uint32_t pushed;                        /* not submitted yet; written under push_lock */
    HD__ALIGNED(HD__CACHE_LINE) hd__spin reap_lock; /* guards reaping */
};

static struct hd__io_ring *_Atomic rings;      /* all; grows at its head, under open_lock */
static struct hd__io_ring *_Atomic *of_worker; /* the ring that a worker uses; several may share */
static _Atomic bool stuck;

bool hd__io_uring_stuck(void) {
    return hd__load_relaxed(&stuck);
}

/* ---- Rings ---- */

/* open_lock held. */
static int ring_create(struct hd__io_ring **out) {
    struct hd__io_ring *r = hd__os_alloc_aligned(HD__CACHE_LINE, sizeof *r);
    if (!r) return -ENOMEM;
    *r = (struct hd__io_ring){.next = hd__load_relaxed(&rings)};
    int err = hd__os_uring_create(&r->os, ENTRIES);
    if (!err) {
        err = hd__os_epoll_add(hd__io.set, hd__os_uring_fd(r->os), POLLIN);
        if (err) hd__os_uring_destroy(r->os);
    }
    if (err) {
        hd__os_free(r);
        return err;
    }
    hd__store_release(&rings, r);
    *out = r;
    return 0;
}

/* With open_lock held. */
int hd__io_uring_open(unsigned worker_count) {
    struct hd__io_ring *r;
    struct hd__io_ring *_Atomic *table = hd__os_calloc(worker_count, sizeof *table);
    if (!table) return -ENOMEM;
    int err = ring_create(&r);
    if (err) {
        hd__os_free(table);
        return err;
    }
    struct hd__worker *w = hd__worker_get();
    hd__store_relaxed(&table[w ? w->index : 0], r);
    of_worker = table;
    return 0;
}

/* The worker's first operation. If it cannot have a ring of its own it shares another's. */
static HD__COLD struct hd__io_ring *ring_first(struct hd__worker *w) {
    struct hd__io_ring *r;
    hd__spin_lock(&hd__io.open_lock);
    if (ring_create(&r) != 0) r = hd__load_relaxed(&rings);
    hd__store_release(&of_worker[w->index], r);
    hd__spin_unlock(&hd__io.open_lock);
    return r;
}

static inline struct hd__io_ring *ring_of(struct hd__worker *w) {
    struct hd__io_ring *r = hd__load_acquire(&of_worker[w->index]);
    return HD__LIKELY(r != NULL) ? r : ring_first(w);
}

/* ---- Submitting ---- */

/* push_lock held. */
static void submit(struct hd__io_ring *r) {
    if (HD__UNLIKELY(hd__os_uring_submit(r->os) != 0)) {
        hd__store_relaxed(&stuck, true);
        hd__poller.kick(); /* who sleeps in the poller does so without knowing of it */
    }
    hd__store_release(&r->pushed, hd__os_uring_pushed(r->os));
}

static void ring_flush(struct hd__io_ring *r) {
    if (hd__load_relaxed(&r->pushed) == 0) return;
    hd__spin_lock(&r->push_lock);
    submit(r);
    hd__spin_unlock(&r->push_lock);
}

void hd__io_uring_flush_all(void) {
    for (struct hd__io_ring *r = hd__load_acquire(&rings); r; r = r->next) ring_flush(r);
}

void hd__io_uring_flush(struct hd__worker *w) {
    struct hd__io_ring *r = w ? hd__load_acquire(&of_worker[w->index]) : NULL;
    if (r) ring_flush(r);
}

/* False: there is no room, not even after a submission. */
static bool push(struct hd__io_ring *r, const struct hd__uring_op *op, uint64_t tag, bool now) {
    hd__spin_lock(&r->push_lock);
    bool pushed = hd__os_uring_push(r->os, op, tag);
    if (HD__UNLIKELY(!pushed)) {
        submit(r);
        pushed = hd__os_uring_push(r->os, op, tag);
    }
    hd__store_release(&r->pushed, hd__os_uring_pushed(r->os)); /* see ring_reap() */
    if (now) submit(r);
    hd__spin_unlock(&r->push_lock);
    return pushed;
}

/* The ring is full: lets others run and results come. */
static void make_room(void) {
    hd__io_uring_poll(hd__worker_get());
    hd__sched_yield();
}

/* ---- Reaping ---- */

static bool ring_reap(struct hd__worker *w, struct hd__io_ring *r) {
    struct hd__uring_result done[REAP_BATCH];
    bool any = false;
    unsigned n;
    do {
        /* Who holds it takes what is there. What comes after that keeps the ring readable. */
        if (!hd__os_uring_ready(r->os) || !hd__spin_trylock(&r->reap_lock)) break;
        n = hd__os_uring_reap(r->os, done, REAP_BATCH);
        hd__spin_unlock(&r->reap_lock);
        /* The operations were made before they were pushed. The kernel, which stands in between,
         * orders that already, but neither the language nor ThreadSanitizer knows of it. */
        (void)hd__load_acquire(&r->pushed);
        uint32_t ended = 0;
        /* They lie on as many stacks, which nobody has touched for long. */
        for (unsigned i = 0; i < n; i++) {
            const char *op = (const char *)(uintptr_t)done[i].tag;
            __builtin_prefetch(op, 1);
            __builtin_prefetch(op + offsetof(struct hd__io_op, lock), 1);
        }
        for (unsigned i = 0; i < n; i++) {
            if (done[i].tag == NO_TAG) continue; /* of a cancellation */
            ended++;
            struct hd__io_op *op = (struct hd__io_op *)(uintptr_t)done[i].tag;
            hd_thread *party = hd__io_op_complete(op, done[i].result);
            if (party) hd__io_wake(w, party);
        }
        if (ended) {
            atomic_fetch_sub_explicit(&hd__poller.in_flight, ended, memory_order_relaxed);
            any = true;
        }
    } while (n == REAP_BATCH);
    return any;
}

bool hd__io_uring_poll(struct hd__worker *w) {
    bool any = false;
    for (struct hd__io_ring *r = hd__load_acquire(&rings); r; r = r->next)
        any |= ring_reap(w, r);
    if (HD__UNLIKELY(hd__load_relaxed(&stuck))) {
        hd__store_relaxed(&stuck, false);
        for (struct hd__io_ring *r = hd__load_acquire(&rings); r; r = r->next) ring_flush(r);
    }
    return any;
}

/* ---- Operations ---- */

/* Cancels through the ring that has the operation: rings do not know each other's. It may be down
 * there still; both are submitted now. */
static void cancel(struct hd__io_op *op) {
    struct hd__uring_op c = {.code = HD__URING_CANCEL, .fd = -1, .addr = op};
    while (!push(op->ring, &c, NO_TAG, true)) make_room();
}

/* Hands it to the ring, and waits. */
static ssize_t run_op(struct hd__io_op *op, const struct hd__uring_op *what_to_do,
                      uint64_t deadline_ns) {
    atomic_fetch_add_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    op->ring = ring_of(hd__worker_get()); /* the present one: nobody else is certain to submit it */
    hd__spin_lock(&op->lock);
    while (HD__LIKELY(!op->closed) &&
           HD__UNLIKELY(!push(op->ring, what_to_do, (uintptr_t)op, false))) {
        hd__spin_unlock(&op->lock);
        make_room();
        op->ring = ring_of(hd__worker_get());
        hd__spin_lock(&op->lock);
    }
    if (HD__UNLIKELY(op->closed)) { /* and not handed over */
        hd__spin_unlock(&op->lock);
        atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
        return -EBADF;
    }
    int err = hd__wait_park(&op->wait, &op->lock, deadline_ns, 0);
    if (HD__LIKELY(!err)) {
        /* Whoever completes it has set `done`; who closes the descriptor has not. */
        hd__spin_lock(&op->lock);
        if (!op->done) err = -EBADF;
        hd__spin_unlock(&op->lock);
    }
    if (HD__UNLIKELY(err)) return hd__io_op_end(op, err, cancel);
    return op->result == -EINTR ? -ECANCELED : op->result;
}

/* What may take as long as it likes is made known at its descriptor, for who closes that. */
static bool takes_long(enum hd__uring_opcode code) {
    return code == HD__URING_READ || code == HD__URING_READV || code == HD__URING_ACCEPT ||
           code == HD__URING_CONNECT;
}

static ssize_t run(const struct hd__uring_op *what_to_do, uint64_t deadline_ns, const char *what,
                   const void *site) {
    struct hd__io_op op;
    bool long_one = takes_long(what_to_do->code);
    struct hd__io_place *p = long_one ? hd__io_place_of(what_to_do->fd, true) : NULL;
    hd__io_op_init(&op, NULL, what, site);
    int err = p ? hd__io_op_enter(p, &op, deadline_ns) : 0;
    if (HD__UNLIKELY(err)) return err;
    ssize_t r = run_op(&op, what_to_do, deadline_ns);
    if (p) hd__io_op_exit(p, &op);
    return r;
}

/* The kernel cancels what a kernel thread has handed to it when that thread ends, as a spare
 * carrier may. Nothing has happened then, and it is begun again. */
ssize_t hd__io_uring_run(const struct hd__uring_op *op, uint64_t deadline_ns, const char *what,
                         const void *site) {
    ssize_t r;
    do {
        r = run(op, deadline_ns, what, site);
    } while (HD__UNLIKELY(r == -ECANCELED));
    return r;
}

/* ---- The end ---- */

struct remaining {
    unsigned ops;
};

/* A thread that was discarded while it waited: the kernel must let go of its buffers. */
static void cancel_wait(hd_thread *t, void *arg) {
    struct remaining *left = arg;
    /* A join does not set the slot. */
    if (!t->wait || t->wait->slot != HD__IO_OP_MARK || strcmp(t->wait->what, "join") == 0) return;
    struct hd__io_op *op = hd__container_of(t->wait, struct hd__io_op, wait);
    if (op->done || !op->ring) return;
    struct hd__uring_op c = {.code = HD__URING_CANCEL, .fd = -1, .addr = op};
    left->ops++;
    for (int i = 0; i < 1000 && !push(op->ring, &c, NO_TAG, true); i++) ring_flush(op->ring);
}

/* Takes results without looking at the operations, whose threads are no more. */
static unsigned drop_results(void) {
    struct hd__uring_result done[REAP_BATCH];
    unsigned ended = 0;
    for (struct hd__io_ring *r = hd__load_relaxed(&rings); r; r = r->next) {
        ring_flush(r);
        while (hd__os_uring_ready(r->os)) {
            unsigned n = hd__os_uring_reap(r->os, done, REAP_BATCH);
            for (unsigned i = 0; i < n; i++) ended += done[i].tag != NO_TAG;
            if (n == 0) break;
        }
    }
    return ended;
}

/* Closing a ring cancels too, but some only after the call. So it is done before, and waited for;
 * a second is long for anything but a disk that does not answer. */
void hd__io_uring_finish(void) {
    enum { PATIENCE_NS = 1000000000, LOOK_NS = 1000000 };
    struct remaining left = {0};
    unsigned ended = drop_results();
    hd__thread_each(cancel_wait, &left);
    uint64_t until_ns = hd__os_now_ns() + PATIENCE_NS;
    struct pollfd p = {hd__io.set, POLLIN, 0};
    while ((ended += drop_results()) < left.ops && hd__os_now_ns() < until_ns)
        (void)hd__os_poll(&p, 1, hd__os_now_ns() + LOOK_NS);
    while (hd__load_relaxed(&rings)) {
        struct hd__io_ring *r = hd__load_relaxed(&rings);
        hd__store_relaxed(&rings, r->next);
        hd__os_uring_destroy(r->os);
        hd__os_free(r);
    }
    hd__os_free((void *)of_worker);
    of_worker = NULL;
    hd__store_relaxed(&stuck, false);
}
