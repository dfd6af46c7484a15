/* SPDX-License-Identifier: MIT */
/* /proc/self/task/TID/syscall says "running", or the number of the system call that the kernel
 * thread is blocked in. Reading it takes 2 us, a fifth of what the signal costs that it saves. */
#include "os/task.h"

#include "base/check.h"
#include "os/fault.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool hd__os_task_blocked(struct hd__os_task *task, int tid, int64_t *nr) {
    char text[32];
    *nr = -1;
    if (task->refused) {
        return false;
    }
    if (task->fd_plus_1 == 0) {
        char path[64];
        hd__format(path, sizeof path, "/proc/self/task/%d/syscall", tid);
        int fd = HD__FAULT("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        task->fd_plus_1 = fd + 1;
        task->refused = fd < 0;
        if (fd < 0) {
            return false;
        }
    }
    ssize_t n = pread(task->fd_plus_1 - 1, text, sizeof text - 1, 0);
    if (n <= 0 || text[0] == 'r') {
        return false;
    }
    text[n] = '\0';
    char *end;
    long long number = strtoll(text, &end, 10);
    if (end == text) {
        return false; /* not what it should be: somebody has closed our descriptor */
    }
    *nr = number;
    return true;
}

void hd__os_task_close(struct hd__os_task *task) {
    if (task->fd_plus_1 != 0) {
        close(task->fd_plus_1 - 1);
    }
    *task = (struct hd__os_task){ 0, false };
}
