/* SPDX-License-Identifier: MIT */
/* The I/O layer: calls that park the thread while the kernel, or a helper thread, is at work.
 *
 * Three ways to get something done, from the cheapest on:
 *
 *   try     A system call that does not wait, by the thread itself. What is sent finds room nearly
 *           always, so sending tries first.
 *   ready   The thread parks until a descriptor is ready, and tries again. Nobody but the thread
 *           touches its buffers, so there is nothing to cancel.
 *   run     Somebody else does the whole operation while the thread is parked: the kernel, through
 *           the worker's ring, or a helper thread, for what can only be done by waiting in the
 *           kernel. The thread does not go on before the operation has ended.
 *
 * Being ready is told by an epoll set (ready.c). There are two backends for the rest. With io_uring
 * (uring.c) reading, accepting, connecting and all that concerns files are run by a worker's ring.
 * Without it everything is tried and waited for, and files go to helper threads (helper.c). A
 * foreign kernel thread makes plain system calls, and waits in poll() where there is a deadline.
 *
 * AN OPERATION is a record on the stack of the thread that waits for it. It has a lock of its own,
 * which plays the part that the object's lock plays in sched/wait.h:
 *
 *   thread                          completer (who reaps, or a helper)
 *   ------                          ----------------------------------
 *   takes the lock
 *   makes the operation known
 *   parks: the lock is released     takes the lock; notes the result, sets done; claims;
 *     once the thread waits         releases the lock; wakes the thread, if it won the claim
 *
 *   woken: looks at the result
 *   deadline, interruption:
 *     takes the lock; not done:
 *     cancels, and parks again, deaf
 *
 * No completion is lost: a completer that comes before the thread waits is held up by the lock. One
 * that comes when the thread's wait has just been claimed by the deadline or an interrupter fails
 * to claim, but has set `done` under the lock, and the thread looks at that under the lock before
 * it parks again; and that second wait is ended by nobody else.
 *
 * No record is touched when it is gone: the thread returns only after `done`, that is after the
 * completer's section under the lock. It has seen that section end: either it was claimed by the
 * completer, which then only needs the party to wake, read before; or it took the lock after it.
 * There is one completer for each operation, so nobody comes later.
 *
 * No effect is lost: what the operation did in spite of the cancellation is its result, which the
 * thread returns; an interruption that had ended its wait is then made pending again.
 *
 * hd_close() ends the waits of others at the descriptor, with -EBADF (hd__io_close_begin()): of
 * those that wait until it is ready, and of those whose operation the kernel has, which it leaves
 * to them to cancel. */
#ifndef HD_SRC_IO_IO_H
#define HD_SRC_IO_IO_H

#include "base/base.h"
#include "base/spin.h"
#include "io/ready.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/iocall.h"
#include "os/uring.h"
#include "sched/poller.h"
#include "sched/wait.h"
#include "sched/worker.h"

#include <heddle/io.h>
#include <heddle/metrics.h>

/* ---- Operations ---- */

struct hd__io_ring;

struct hd__io_op {
    struct hd__wait wait; /* slot: HD__IO_OP_MARK */
    hd__spin lock;        /* guards what follows up to the result; handed to hd__wait_park() */
    bool done;
    bool ending;          /* its wait is over, and it is being cancelled */
    bool closed;          /* its descriptor is being closed: hd__io_close_begin() */
    ssize_t result;
    struct hd__io_op *next, *prev; /* of those at the same descriptor; its place's lock */
    struct hd__io_ring *ring; /* the kernel has it from here; NULL: a helper has it */
};

/* What hd__io_finish() knows the waits of operations by. */
extern const char hd__io_op_mark;
#define HD__IO_OP_MARK ((void *)(uintptr_t)&hd__io_op_mark)

static inline void hd__io_op_init(struct hd__io_op *op, struct hd__io_ring *ring, const char *what,
                                  const void *site) {
    hd__wait_init(&op->wait, what, NULL, site);
    op->wait.slot = HD__IO_OP_MARK;
    op->lock = (hd__spin)HD__SPIN_INIT;
    op->done = op->ending = op->closed = false;
    op->result = 0;
    op->ring = ring;
}

/* Notes the result. The party that the caller has to wake, or NULL: it will look by itself. */
static inline hd_thread *hd__io_op_complete(struct hd__io_op *op, ssize_t result) {
    hd__spin_lock(&op->lock);
    hd_thread *party = op->wait.party;
    op->result = result;
    op->done = true;
    if (!hd__wait_claim(&op->wait)) party = NULL;
    hd__spin_unlock(&op->lock);
    return party;
}

/* ---- Calls ---- */

enum hd__io_kind {
    HD__IO_READ,
    HD__IO_WRITE,
    HD__IO_READV,
    HD__IO_WRITEV,
    HD__IO_PREAD,
    HD__IO_PWRITE,
    HD__IO_RECV,
    HD__IO_SEND,
    HD__IO_RECVMSG,
    HD__IO_SENDMSG,
    HD__IO_ACCEPT,
    HD__IO_OPENAT,
    HD__IO_FSYNC,
    HD__IO_CLOSE,
};

/* A call with its arguments. */
struct hd__io_call {
    enum hd__io_kind kind;
    int fd;
    int flags;
    int count;              /* of iovecs; the mode of an openat */
    void *buf;              /* or the iovecs, the msghdr, the address, the path */
    size_t n;
    off_t offset;
    socklen_t *addr_len;
    uint64_t deadline_ns;
    const void *site;       /* who called us */
};

/* A public call: enters, does it, leaves. The result or -errno. */
ssize_t hd__io_make(struct hd__io_call c);

/* receive.c: receiving from a socket, or reading from what was one. HD__IO_WAITS: it is a file. */
ssize_t hd__io_receive(struct hd__worker *w, const struct hd__io_call *c);
/* Whether the number was a socket's, when something was last known of it. */
bool hd__io_was_socket(int fd);

/* try.c: the system call itself. */
enum { HD__IO_WAITS = -4095 }; /* not an errno: only a call that waits can do it */
/* Waits in the kernel. */
ssize_t hd__io_plain(const struct hd__io_call *c);
/* Does not wait: -EAGAIN, or HD__IO_WAITS. */
ssize_t hd__io_try(const struct hd__io_call *c);
/* The same for reading and writing at the position of a file: what of it is in memory. */
ssize_t hd__io_try_file(const struct hd__io_call *c);
short hd__io_events(enum hd__io_kind kind); /* what to wait for after -EAGAIN; 0: nothing */
const char *hd__io_what(enum hd__io_kind kind);

/* Waits until one of the events (or an error) has happened at fd: 0, -ETIMEDOUT, -EINTR, -EBADF,
 * -EPERM (fd cannot be waited for), -ENOMEM, ... */
int hd__io_wait_ready(struct hd__worker *w, int fd, short events, uint64_t deadline_ns,
                      const char *what, const void *site);
static inline bool hd__io_is_past(uint64_t deadline_ns) {
    if (HD__LIKELY(deadline_ns == HD_FOREVER)) return false;
    return deadline_ns == 0 || deadline_ns <= hd__os_now_ns();
}

/* Sleeps: 0, -EINTR, -ETIMEDOUT if deadline_ns came first. */
int hd__io_pause(uint64_t ns, uint64_t deadline_ns, const char *what, const void *site);

/* ---- Backends ---- */

/* HD_IO_URING or HD_IO_EPOLL; or -errno: there is none, and none could be made. */
int hd__io_open(void);

/* Of a worker, its own: see sleep.c. */
struct hd__io_offers {
    int32_t credit;   /* so many will be made; below 0: so many times none */
    uint32_t before;  /* hd__io.events when the last one was made */
    uint64_t made_ns; /* how long it took, until it is judged; then 0 */
};

struct hd__io_counts {
    _Atomic uint64_t submitted, cancelled, helped, watches, reused;
    struct hd__io_offers offers;
} HD__ALIGNED(HD__CACHE_LINE);

struct hd__io {
    _Atomic int backend; /* 0: not open yet */
    int wanted;          /* HD_IO_* of the configuration */
    unsigned worker_count;
    hd__spin open_lock;  /* guards the change of backend and set, and the making of rings */
    int set;             /* the epoll set: rings, or the program's own descriptors; -1 */
    struct hd__io_counts *counts; /* of each worker, written by its owner alone */
    _Atomic uint32_t events;      /* waits that ended by an event */
    struct hd__io_counts foreign; /* of foreign kernel threads and helpers */
};
extern struct hd__io hd__io;

static inline int hd__io_backend(void) {
    int backend = atomic_load_explicit(&hd__io.backend, memory_order_acquire);
    return HD__LIKELY(backend != 0) ? backend : hd__io_open();
}

/* Counts one more; w is the calling worker, NULL elsewhere. */
#define HD__IO_COUNT(w, what)                                                             \
    hd__io_count((w), (w) ? &hd__io.counts[(w)->index].what : &hd__io.foreign.what)
static inline void hd__io_count(struct hd__worker *w, _Atomic uint64_t *counter) {
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    if (HD__LIKELY(w != NULL))
        atomic_store_explicit(counter, n + 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* After a park that ended with `err`: waits for the operation's end, after `cancel` has been called
 * if it has not come. The result of the call. */
ssize_t hd__io_op_end(struct hd__io_op *op, int err, void (*cancel)(struct hd__io_op *op));

/* uring.c */
int hd__io_uring_open(unsigned worker_count);
void hd__io_uring_finish(void);
bool hd__io_uring_poll(struct hd__worker *w);
void hd__io_uring_flush(struct hd__worker *w);
void hd__io_uring_flush_all(void); /* what is down in any ring; not under the lock of one */
bool hd__io_uring_stuck(void); /* operations wait for a submission that failed */
/* Has the ring do it, and waits: the result, -ETIMEDOUT or -EINTR. */
ssize_t hd__io_uring_run(const struct hd__uring_op *op, uint64_t deadline_ns, const char *what,
                         const void *site);

/* sleep.c: what hd__poller.sleep and kick are. */
void hd__io_sleep(uint64_t deadline_ns);
void hd__io_kick(void);
void hd__io_sleep_init(void);
void hd__io_sleep_finish(void);
/* w has nothing to do: offers its CPU, perhaps. */
void hd__io_offer(struct hd__worker *w);
/* After the next poll of the worker, which left some events or did not. */
void hd__io_judge_offer(struct hd__io_offers *o, bool more);

/* helper.c */
struct hd__io_job {
    struct hd__io_op op;
    ssize_t (*fn)(struct hd__io_job *job);       /* on the helper thread; waits in the kernel */
    void (*release)(struct hd__io_job *job);     /* NULL: the job is on the waiter's stack */
    struct hd__io_job *next;                     /* in the queue; guarded by the pool's lock */
    bool left;                                   /* nobody waits any more; guarded by op.lock */
};
/* Has a helper thread call job->fn, and waits for its end. If the wait ends before, a job that no
 * helper has begun is taken back. One that runs is waited for to its end, or left to the helper if
 * it has a `release`: then *left is set, and the helper calls release(job) after it. */
ssize_t hd__io_help(struct hd__worker *w, struct hd__io_job *job, uint64_t deadline_ns,
                    const char *what, const void *site, bool *left);
/* The call itself, on a helper thread. */
ssize_t hd__io_help_call(const struct hd__io_call *c);
void hd__io_help_finish(void);

/* Makes a party runnable that was claimed; w is the caller's worker, NULL elsewhere. */
void hd__io_wake(struct hd__worker *w, hd_thread *party);

/* ---- What the start and the stop of the runtime call (api/runtime.c) ---- */

/* Before workers start. kind is one of HD_IO_*. 0, -ENOMEM; for HD_IO_URING also the error of
 * io_uring_setup(). */
int hd__io_init(int kind, unsigned worker_count);
/* After all carriers have ended, before threads' stacks are given back. */
void hd__io_finish(void);
/* The io_* members. */
void hd__io_metrics(struct hd_metrics *m);

#endif
