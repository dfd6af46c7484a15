/* SPDX-License-Identifier: MIT */
/* What both backends share: opening, the way an operation ends, what the scheduler calls; the idea
 * is in io.h.
 *
 * Nothing is made before the first call that has to wait: programs that do no I/O have neither
 * descriptors of ours nor rings. */
#include "io/io.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "ctx/annotate.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/iocall.h"
#include "os/mem.h"
#include "sched/monitor.h"

const char hd__io_op_mark = 0;
struct hd__io hd__io = {.set = -1};

/* ---- Operations ---- */

ssize_t hd__io_op_end(struct hd__io_op *op, int err, void (*cancel)(struct hd__io_op *op)) {
    HD__IO_COUNT(hd__worker_get(), cancelled);
    hd__spin_lock(&op->lock);
    op->ending = true; /* from here on nobody claims but who completes it */
    if (!op->done) {
        hd__spin_unlock(&op->lock);
        cancel(op);
        hd__spin_lock(&op->lock);
    }
    if (op->done)
        hd__spin_unlock(&op->lock);
    else
        (void)hd__wait_park(&op->wait, &op->lock, HD_FOREVER, HD__WAIT_UNINTERRUPTIBLE);
    if (op->result == -ECANCELED || op->result == -EINTR) return err;
    /* It was faster. Then the interruption is for the next wait. */
    if (err == -EINTR) hd__wait_interrupt(op->wait.party);
    return op->result;
}

void hd__io_wake(struct hd__worker *w, hd_thread *party) {
    if (w)
        hd__sched_ready_back(w, party);
    else
        hd__wait_wake_party(party);
}

/* ---- What the scheduler calls ---- */

static bool io_poll(struct hd__worker *w) {
    int backend = hd__load_acquire(&hd__io.backend);
    bool any = false;
    if (backend == HD_IO_URING) any = hd__io_uring_poll(w);
    if (backend != 0) any |= hd__io_ready_poll(w);
    if (any && w) hd__idle_wake_if_needed();
    return any;
}

static void io_flush(struct hd__worker *w) {
    if (hd__load_acquire(&hd__io.backend) == HD_IO_URING) hd__io_uring_flush(w);
}

static void tell_scheduler(void) {
    atomic_store_explicit(&hd__poller.in_flight, 0, memory_order_relaxed);
    hd__poller.poll = io_poll;
    hd__poller.flush = io_flush;
    hd__poller.sleep = hd__io_sleep;
    hd__poller.kick = hd__io_kick;
    hd__poller.offer = hd__io_offer;
    hd__store_relaxed(&hd__poller.check_ns, 0);
    hd__poller.check = hd__io_ready_check;
}

/* ---- Opening ---- */

static void close_if_open(int *fd) {
    if (*fd >= 0) (void)hd__os_close(*fd);
    *fd = -1;
}

/* open_lock held. What HD_IO_AUTO finds wanting it does without. */
static int open_backend(void) {
    if ((hd__io.set = hd__os_epoll_create()) < 0) return hd__io.set;
    /* Valgrind does not see what the kernel writes through a ring. */
    if (hd__io.wanted == HD_IO_EPOLL ||
        (hd__io.wanted == HD_IO_AUTO && hd__annotate_old_kernel()))
        return HD_IO_EPOLL;
    int err = hd__io_uring_open(hd__io.worker_count);
    if (err) return hd__io.wanted == HD_IO_URING ? err : HD_IO_EPOLL;
    return HD_IO_URING;
}

HD__COLD int hd__io_open(void) {
    hd__spin_lock(&hd__io.open_lock);
    int backend = hd__load_relaxed(&hd__io.backend);
    if (backend == 0) {
        backend = open_backend();
        if (backend < 0)
            close_if_open(&hd__io.set);
        else
            hd__store_release(&hd__io.backend, backend);
    }
    hd__spin_unlock(&hd__io.open_lock);
    return backend;
}

/* ---- Start and stop of the runtime ---- */

int hd__io_init(int kind, unsigned worker_count) {
    size_t bytes = worker_count * sizeof *hd__io.counts;
    hd__io.counts = hd__os_alloc_aligned(HD__CACHE_LINE, bytes);
    if (!hd__io.counts) return -ENOMEM;
    memset(hd__io.counts, 0, bytes);
    hd__store_relaxed(&hd__io.foreign.submitted, 0);
    hd__store_relaxed(&hd__io.foreign.cancelled, 0);
    hd__store_relaxed(&hd__io.foreign.helped, 0);
    hd__store_relaxed(&hd__io.foreign.watches, 0);
    hd__store_relaxed(&hd__io.foreign.reused, 0);
    hd__io_sleep_init();
    hd__io.wanted = kind;
    hd__io.worker_count = worker_count;
    tell_scheduler();
    if (kind != HD_IO_URING) return 0;
    /* Who insists on it is told at once. */
    int backend = hd__io_open();
    if (backend > 0) return 0;
    hd__io_finish();
    return backend;
}

void hd__io_finish(void) {
    hd__io_help_finish();
    hd__io_uring_finish();
    hd__io_ready_finish();
    hd__store_relaxed(&hd__io.backend, 0);
    hd__io_sleep_finish();
    close_if_open(&hd__io.set);
    hd__os_free(hd__io.counts);
    hd__io.counts = NULL;
    atomic_store_explicit(&hd__poller.in_flight, 0, memory_order_relaxed);
}

void hd__io_metrics(struct hd_metrics *m) {
    int backend = hd__io_backend(); /* opens it: it cannot be known before */
    m->io_submitted = hd__load_relaxed(&hd__io.foreign.submitted);
    m->io_cancelled = hd__load_relaxed(&hd__io.foreign.cancelled);
    m->io_helped = hd__load_relaxed(&hd__io.foreign.helped);
    m->io_watches = hd__load_relaxed(&hd__io.foreign.watches);
    m->io_reused = hd__load_relaxed(&hd__io.foreign.reused);
    for (unsigned i = 0; i < hd__io.worker_count; i++) {
        m->io_submitted += hd__load_relaxed(&hd__io.counts[i].submitted);
        m->io_cancelled += hd__load_relaxed(&hd__io.counts[i].cancelled);
        m->io_helped += hd__load_relaxed(&hd__io.counts[i].helped);
        m->io_watches += hd__load_relaxed(&hd__io.counts[i].watches);
        m->io_reused += hd__load_relaxed(&hd__io.counts[i].reused);
    }
    m->io_kind = backend == HD_IO_EPOLL ? "epoll" : "io_uring";
}
