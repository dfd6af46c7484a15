/* SPDX-License-Identifier: MIT */
/* hd_poll(): looks with poll(), and waits for a change where nothing is ready.
 *
 * One descriptor is waited for by itself. Several are put into an epoll set made for the call, and
 * the set, which is readable when one of them is ready, is waited for: one wait whatever their
 * number, and nothing to be taken back from each of them after it. Who was woken looks again with
 * poll(), which alone tells what the caller is told. */
#include <errno.h>

#include "io/io.h"
#include "os/epoll.h"
#include "os/iocall.h"

static const char what[] = "poll of descriptors";

/* Waits without a descriptor to wait with, looking now and then. */
static int wait_blindly(uint64_t *pause_ns, uint64_t deadline_ns, const void *site) {
    enum { FIRST_NS = 500000, LAST_NS = 16000000 };
    if (*pause_ns < LAST_NS) *pause_ns = *pause_ns ? 2 * *pause_ns : FIRST_NS;
    return hd__io_pause(*pause_ns, deadline_ns, what, site);
}

/* One that is there several times is watched for all of it. */
static int add_again(int set, const struct pollfd *fds, nfds_t count, int fd) {
    uint32_t events = 0;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].fd == fd) events |= (uint16_t)fds[i].events;
    return hd__os_epoll_change(set, fd, events);
}

/* Descriptors that cannot be watched are files, which would be ready if anything was asked of
 * them. */
static int fill(int set, const struct pollfd *fds, nfds_t count) {
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd < 0) continue;
        int err = hd__os_epoll_add(set, fds[i].fd, (uint16_t)fds[i].events);
        if (err == -EEXIST) err = add_again(set, fds, count, fds[i].fd);
        if (err && err != -EPERM) return err;
    }
    return 0;
}

/* 0: look again. */
static int wait_for_several(struct hd__worker *w, const struct pollfd *fds, nfds_t count,
                            uint64_t *pause_ns, uint64_t deadline_ns, const void *site) {
    int set = hd__os_epoll_create();
    int err = set < 0 ? set : fill(set, fds, count);
    if (set >= 0) hd__io_is_new(set);
    if (!err)
        err = hd__io_wait_ready(w, set, POLLIN, deadline_ns, what, site);
    else if (err != -EBADF) /* short of descriptors or memory */
        err = wait_blindly(pause_ns, deadline_ns, site);
    if (err == -EBADF) err = 0; /* closed meanwhile; poll() tells which */
    if (set >= 0) (void)hd__os_close(set);
    return err;
}

static int wait_for_change(struct hd__worker *w, const struct pollfd *fds, nfds_t count,
                           uint64_t *pause_ns, uint64_t deadline_ns, const void *site) {
    nfds_t used = 0, last = 0;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd < 0) continue;
        used++;
        last = i;
    }
    if (used > 1) return wait_for_several(w, fds, count, pause_ns, deadline_ns, site);
    int err = used == 1
                  ? hd__io_wait_ready(w, fds[last].fd, fds[last].events, deadline_ns, what, site)
                  : -EPERM;
    /* There is nothing that could become ready. */
    while (err == -EPERM) {
        err = hd__io_pause(UINT64_C(3600000000000), deadline_ns, what, site);
        if (err == 0) err = -EPERM;
    }
    return err;
}

static int look(struct pollfd *fds, nfds_t count) {
    int n;
    do {
        n = hd__os_poll(fds, count, 0);
    } while (n == -EINTR);
    return n;
}

/* The one that was waited for was closed; its number may be another file's by now. */
static int tell_closed(struct pollfd *fds, nfds_t count) {
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].fd >= 0) fds[i].revents = POLLNVAL;
    return 1;
}

static int do_poll(struct hd__worker *w, struct pollfd *fds, nfds_t count, uint64_t deadline_ns,
                   const void *site) {
    uint64_t pause_ns = 0;
    for (;;) {
        int n = look(fds, count);
        if (n != 0 || deadline_ns == 0) return n;
        int err = wait_for_change(w, fds, count, &pause_ns, deadline_ns, site);
        /* What happened at the last moment counts. */
        if (err == -ETIMEDOUT) return look(fds, count);
        if (err == -EBADF) return tell_closed(fds, count);
        if (err) return err;
        w = hd__worker_get();
    }
}

static int poll_foreign(struct pollfd *fds, nfds_t count, uint64_t deadline_ns) {
    int n;
    do {
        n = hd__os_poll(fds, count, deadline_ns);
    } while (n == -EINTR);
    return n;
}

int hd_poll(struct pollfd *fds, nfds_t count, uint64_t deadline_ns) {
    struct hd__worker *w = hd__sched_enter();
    HD__IO_COUNT(w, submitted);
    int n = w ? do_poll(w, fds, count, deadline_ns, __builtin_return_address(0))
              : poll_foreign(fds, count, deadline_ns);
    hd__sched_leave();
    hd__sched_hostile_point();
    return n;
}
