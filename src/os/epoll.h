/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors: epoll sets, poll(), and a bell that any kernel thread can ring. Events
 * are those of poll() (EPOLLIN and POLLIN are the same number on all CPUs that we run on). */
#ifndef HD_SRC_OS_EPOLL_H
#define HD_SRC_OS_EPOLL_H

#include "base/base.h"

#include <poll.h>

/* A new, empty set: its descriptor, or -EMFILE, -ENFILE, -ENOMEM. */
int hd__os_epoll_create(void);
/* Among the events: report each change once, and what is the case when this is told. Otherwise
 * what is the case is reported as long as it is. */
#define HD__EPOLL_EDGE (UINT32_C(1) << 31)
/* Has the set report `events` of fd, with fd itself. 0, -EEXIST, -EBADF, -EPERM (fd cannot be
 * waited for: a file), -ENOMEM, -ENOSPC. What is closed leaves the set by itself, unless its file
 * is open under another number. */
int hd__os_epoll_add(int set, int fd, uint32_t events);
/* The same of one that is in the set: 0, -ENOENT, -EBADF. */
int hd__os_epoll_change(int set, int fd, uint32_t events);
int hd__os_epoll_remove(int set, int fd);

struct hd__epoll_event {
    int fd;
    uint32_t events;
};
/* What has happened, without waiting: how many, 0 also when it cannot be told. */
unsigned hd__os_epoll_look(int set, struct hd__epoll_event *out, unsigned max);

/* As poll(), until deadline_ns; HD_FOREVER waits, 0 looks. How many are ready; -EINTR, -ENOMEM,
 * -EINVAL. */
int hd__os_poll(struct pollfd *fds, size_t count, uint64_t deadline_ns);

/* A descriptor that is readable from a ring() on until silence(). */
int hd__os_bell_create(void); /* or -EMFILE, -ENFILE, -ENOMEM */
void hd__os_bell_ring(int bell);
void hd__os_bell_silence(int bell);

#endif
