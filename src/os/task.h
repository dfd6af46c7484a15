/* SPDX-License-Identifier: MIT */
/* What another kernel thread of this process does right now. */
#ifndef HD_SRC_OS_TASK_H
#define HD_SRC_OS_TASK_H

#include "base/base.h"

/* All zero: closed. */
struct hd__os_task {
    int fd_plus_1;
    bool refused; /* the kernel does not tell */
};

/* Whether it is blocked in the kernel; *nr is then the number of its system call, or -1 (a page
 * fault, say). False as well where the kernel does not tell. Opens the task at first use and keeps
 * it open. One caller at a time. */
bool hd__os_task_blocked(struct hd__os_task *task, int tid, int64_t *nr);
void hd__os_task_close(struct hd__os_task *task);

#endif
