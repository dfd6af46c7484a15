/* SPDX-License-Identifier: MIT */
/* What a thread does, as /proc says without stopping it. */
#include "probe/watch_inside.h"

enum { FUTEX_32 = 240 }; /* in the table of 32-bit programs, of x86 and of arm */

void probe_seen_of(const struct probe_call *call, bool bits32, struct probe_seen *out) {
    *out = (struct probe_seen){.doing = PROBE_NOT_KNOWN};
    if (call->runs || call->number < 0) {
        out->doing = PROBE_RUNS; /* or was preempted, in a fault, or stopped by a signal */
        return;
    }
    uint64_t futex = probe_call_futex(call);
    if (bits32)
        futex = call->number == FUTEX_32 ? call->arg[0] : 0;
    if (futex) {
        out->doing = PROBE_ON_FUTEX;
        out->value = futex;
    } else if (!bits32) { /* the numbers of 32-bit calls are those of another table */
        out->doing = PROBE_IN_CALL;
        out->value = (uint64_t)call->number;
    }
}

int probe_look(struct probe_task *task, struct probe_call *out) {
    char text[256];
    long n = probe_task_read(task, "syscall", &task->call_file, text, sizeof(text));
    return n < 0 ? (int)n : probe_call_parse(text, out);
}
