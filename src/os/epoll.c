/* SPDX-License-Identifier: MIT */
/* epoll sets, poll() and eventfds; see epoll.h. */
#include "os/epoll.h"

#include "os/clock.h"
#include "os/fault.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
                   EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
               "the events of epoll are those of poll");
_Static_assert(HD__EPOLL_EDGE == (uint32_t)EPOLLET, "as <sys/epoll.h> has it");

int hd__os_epoll_create(void) {
    int saved = errno;
    if (HD__FAULT("epoll_create")) {
        return -ENOMEM;
    }
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int err = fd < 0 ? -errno : 0;
    errno = saved;
    return err != 0 ? err : fd;
}

/* Where nobody waits any more the program may close the file while what is watched there changes:
 * the kernel says so, and no harm is done. ThreadSanitizer would call it a race, if it saw it. */
static int ask(int set, int operation, int fd, struct epoll_event *event) {
#if defined(__SANITIZE_THREAD__)
    if (operation == EPOLL_CTL_MOD) {
        return (int)syscall(SYS_epoll_ctl, set, operation, fd, event);
    }
#endif
    return epoll_ctl(set, operation, fd, event);
}

static int control(int set, int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = (uint32_t)fd};
    int saved = errno;
    if (HD__FAULT("epoll_ctl")) {
        return -ENOMEM;
    }
    int err = ask(set, operation, fd, &event) != 0 ? -errno : 0;
    errno = saved;
    return err;
}

int hd__os_epoll_add(int set, int fd, uint32_t events) {
    return control(set, EPOLL_CTL_ADD, fd, events);
}

int hd__os_epoll_change(int set, int fd, uint32_t events) {
    return control(set, EPOLL_CTL_MOD, fd, events);
}

int hd__os_epoll_remove(int set, int fd) {
    return control(set, EPOLL_CTL_DEL, fd, 0);
}

unsigned hd__os_epoll_look(int set, struct hd__epoll_event *out, unsigned max) {
    enum { BATCH = 64 };
    struct epoll_event events[BATCH];
    int saved = errno;
    int n = HD__FAULT("epoll_wait")
                ? -1
                : epoll_wait(set, events, max < (unsigned)BATCH ? (int)max : (int)BATCH, 0);
    errno = saved;
    for (int i = 0; i < n; i++) {
        out[i].fd = (int)events[i].data.u64;
        out[i].events = events[i].events;
    }
    return n < 0 ? 0 : (unsigned)n;
}

int hd__os_poll(struct pollfd *fds, size_t count, uint64_t deadline_ns) {
    struct timespec left = {0, 0};
    if (deadline_ns != 0 && deadline_ns != HD_FOREVER) {
        uint64_t now_ns = hd__os_now_ns();
        uint64_t ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        left.tv_sec = (time_t)(ns / 1000000000u);
        left.tv_nsec = (long)(ns % 1000000000u);
    }
    int saved = errno;
    if (HD__FAULT("poll")) {
        return -ENOMEM;
    }
    int n = ppoll(fds, count, deadline_ns == HD_FOREVER ? NULL : &left, NULL);
    int err = n < 0 ? -errno : 0;
    errno = saved;
    return err != 0 ? err : n;
}

int hd__os_bell_create(void) {
    int saved = errno;
    if (HD__FAULT("eventfd")) {
        return -ENOMEM;
    }
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = fd < 0 ? -errno : 0;
    errno = saved;
    return err != 0 ? err : fd;
}

void hd__os_bell_ring(int bell) {
    int saved = errno;
    /* Fails only when it was rung 2^64 - 2 times before. */
    if (eventfd_write(bell, 1) != 0) {
        errno = saved;
    }
}

void hd__os_bell_silence(int bell) {
    eventfd_t rung;
    int saved = errno;
    if (eventfd_read(bell, &rung) != 0) { /* it was silent */
        errno = saved;
    }
}
