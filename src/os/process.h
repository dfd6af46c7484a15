/* SPDX-License-Identifier: MIT */
/* This process and its children. */
#ifndef HD_SRC_OS_PROCESS_H
#define HD_SRC_OS_PROCESS_H

#include "base/base.h"

#include <sys/types.h>

/* As waitpid(), or -errno. */
pid_t hd__os_waitpid(pid_t pid, int *status, int options);
/* The same options, with WNOHANG. */
int hd__os_wait_nohang(int options);
/* Whether only the end of a child is asked for, which makes its descriptor readable. */
bool hd__os_wait_ends_only(int options);

/* A descriptor of a process, which is readable from its end on; or -ENOSYS, -EMFILE, -ESRCH, ... */
int hd__os_pidfd_open(pid_t pid);

/* Has fn() called when the process ends by exit() or a return from main(). 0 or -ENOMEM. Cannot be
 * undone. */
int hd__os_at_exit(void (*fn)(void));

#endif
