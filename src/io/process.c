/* SPDX-License-Identifier: MIT */
/* Waiting for children.
 *
 * The end of a given child makes its pidfd readable (Linux 5.3), which is waited for like any
 * descriptor. What else one may wait for (any child, a group, a child that stops) has no
 * descriptor, and SIGCHLD is the host program's. There the thread looks, with pauses that grow to
 * PAUSE_LAST_NS. A helper thread that blocks in waitpid() would hear of it at once, but could not
 * be told to give up: the child that it took after all would be lost. */
#include <errno.h>

#include "io/io.h"
#include "os/iocall.h"
#include "os/process.h"

enum { PAUSE_FIRST_NS = 200 * 1000, PAUSE_LAST_NS = 20 * 1000 * 1000 };

static const char what[] = "end of a child process";

/* 0: look again. */
static int wait_for_change(struct hd__worker *w, int *pidfd, uint64_t *pause_ns,
                           uint64_t deadline_ns, const void *site) {
    if (*pidfd >= 0) {
        int err = hd__io_wait_ready(w, *pidfd, POLLIN, deadline_ns, what, site);
        if (err == 0 || err == -EINTR || err == -ETIMEDOUT) {
            /* It ended, but it may take a moment until it can be waited for (a debugger has it). */
            if (*pause_ns == 0) {
                *pause_ns = PAUSE_FIRST_NS;
                return err;
            }
            if (err) return err;
        }
    }
    if (*pause_ns == 0) *pause_ns = PAUSE_FIRST_NS;
    int err = hd__io_pause(*pause_ns, deadline_ns, what, site);
    if (*pause_ns < PAUSE_LAST_NS) *pause_ns *= 2;
    return err;
}

static pid_t do_wait(struct hd__worker *w, pid_t pid, int *status, int options,
                     uint64_t deadline_ns, const void *site) {
    int nohang = hd__os_wait_nohang(options);
    pid_t r = hd__os_waitpid(pid, status, nohang);
    if (r != 0 || options == nohang) return r;
    int pidfd = pid > 0 && hd__os_wait_ends_only(options) ? hd__os_pidfd_open(pid) : -1;
    uint64_t pause_ns = 0;
    if (w && pidfd >= 0) hd__io_is_new(pidfd);
    for (;;) {
        int err = wait_for_change(w, &pidfd, &pause_ns, deadline_ns, site);
        /* Also after the deadline: the last moment counts, but not against an interruption. */
        r = err == 0 || err == -ETIMEDOUT ? hd__os_waitpid(pid, status, nohang) : err;
        if (r != 0) break;
        if (err) {
            r = err;
            break;
        }
        w = w ? hd__worker_get() : NULL;
    }
    if (pidfd >= 0) (void)hd__os_close(pidfd);
    return r;
}

static pid_t wait_foreign(pid_t pid, int *status, int options) {
    pid_t r;
    do {
        r = hd__os_waitpid(pid, status, options);
    } while (r == -EINTR);
    return r;
}

static pid_t wait_until(pid_t pid, int *status, int options, uint64_t deadline_ns,
                        const void *site) {
    struct hd__worker *w = hd__sched_enter();
    HD__IO_COUNT(w, submitted);
    pid_t r = !w && deadline_ns == HD_FOREVER
                  ? wait_foreign(pid, status, options)
                  : do_wait(w, pid, status, options, deadline_ns, site);
    hd__sched_leave();
    hd__sched_hostile_point();
    return r;
}

pid_t hd_waitpid_until(pid_t pid, int *status, int options, uint64_t deadline_ns) {
    return wait_until(pid, status, options, deadline_ns, __builtin_return_address(0));
}

pid_t hd_waitpid(pid_t pid, int *status, int options) {
    return wait_until(pid, status, options, HD_FOREVER, __builtin_return_address(0));
}
