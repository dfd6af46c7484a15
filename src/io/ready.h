/* SPDX-License-Identifier: MIT */
/* What is known of a descriptor, by its number, and the two ways to wait for it (ready.c). */
#ifndef HD_SRC_IO_READY_H
#define HD_SRC_IO_READY_H

#include "base/base.h"
#include "base/spin.h"
#include "sched/wait.h"

#include <stdatomic.h>

/* Hints: which of two ways that are both right is tried first. The number may be another file's by
 * now. */
enum {
    HD__IO_SOCKET = 1,  /* it was a socket */
    HD__IO_MORE = 2,    /* there may be more to receive: the last call got all that it asked for */
    HD__IO_TCP = 4,     /* it was found to be TCP's, */
    HD__IO_NOT_TCP = 8, /* or not to be */
};

struct hd__io_op;

struct hd__io_place {
    hd__spin lock; /* the object's lock of sched/wait.h */
    _Atomic uint32_t edges;   /* counts the events that were delivered; written under lock */
    _Atomic uint32_t drained; /* `edges` before the last call that took all; any thread's */
    _Atomic uint8_t hint;     /* HD__IO_*; any thread's */
    /* Guarded by lock: */
    uint8_t noise;    /* events in a row that nobody waited for */
    uint8_t closing;  /* so many are between hd__io_close_begin() and end() */
    bool ended : 1;   /* the peer will send no more, an error, urgent data: a short read says
                       * nothing any more */
    bool doubtful : 1; /* somebody waits on the word of `watched` alone, since: */
    uint32_t since;   /* the pass before */
    _Atomic uint32_t watched; /* what the kernel was last told to watch the number for; 0: not
                               * known. Written under lock */
    struct hd__waitq waiters; /* tag: the events */
    struct hd__io_op *ops;    /* that a ring has and that may take long */
    /* Who began to wait last; they may be no more. Only to be prefetched. Written under lock */
    _Atomic uintptr_t last_wait, last_party;
} HD__ALIGNED(HD__CACHE_LINE);
_Static_assert(sizeof(struct hd__io_place) == HD__CACHE_LINE, "one line a descriptor");

/* NULL: there is none, and none is to be made, or could be. */
struct hd__io_place *hd__io_place_of(int fd, bool make);

/* fd is a socket that has just come into being, or was connected: what is sent to it may be there
 * already. */
void hd__io_is_new_socket(int fd);
/* fd has just come into being. */
void hd__io_is_new(int fd);
/* fd is about to be closed: who waits for it is told, with -EBADF; who would begin to wait does so
 * after the end, which must follow when it is closed, if the result is true. */
bool hd__io_close_begin(int fd);
void hd__io_close_end(int fd);

/* An operation that a ring is to run for long, perhaps: before it is handed over, and when its wait
 * is over. If it was closed meanwhile, enter() says nothing, but op->closed is set. 0, -EINTR,
 * -ETIMEDOUT: it is not known, then. */
int hd__io_op_enter(struct hd__io_place *p, struct hd__io_op *op, uint64_t deadline_ns);
void hd__io_op_exit(struct hd__io_place *p, struct hd__io_op *op);

/* Waits until one of the events (or an error) is the case at fd, or was for a moment. 0,
 * -ETIMEDOUT, -EINTR, -EBADF, -EPERM (fd cannot be waited for), -ENOMEM, ... */
int hd__io_ready_wait(int fd, short events, uint64_t deadline_ns, const char *what,
                      const void *site);
/* As hd__io_ready_wait() for POLLIN, unless an event was delivered since p->edges was `edges`; the
 * socket was found empty after that. Mostly without a call into the kernel. 0 also if there was an
 * event. */
int hd__io_ready_wait_drained(int fd, struct hd__io_place *p, uint32_t edges,
                              uint64_t deadline_ns, const char *what, const void *site);

/* Makes those runnable whose descriptors are ready; w is the caller's worker, NULL elsewhere. */
bool hd__io_ready_poll(struct hd__worker *w);
/* hd__poller.check */
uint64_t hd__io_ready_check(uint64_t now_ns);
extern _Atomic uint64_t hd__io_check_every_ns; /* tests change it */
void hd__io_ready_finish(void);

#endif
