/* SPDX-License-Identifier: MIT */
/* What a launched target writes down itself, as a part of a watch. It is asked for, or used where
 * perf is barred or the machine has no watchpoints: then it alone tells each wait. */
#include <stdlib.h>
#include <unistd.h>

#include "probe/watch_inside.h"

/* Whether hand-overs can be watched, tried on ourselves. */
static bool has_watchpoints(const struct probe_watch *w) {
    static uint64_t number;
    enum probe_reach reach = w->o.follow ? PROBE_REACH_ALL : PROBE_REACH_THREADS;
    if (w->o.no_perf)
        return false;
    int records = probe_perf_records(getpid(), w->cpu[0], reach);
    int writes = probe_perf_watchpoint(getpid(), w->cpu[0], (uint64_t)(uintptr_t)&number, reach);
    if (records >= 0)
        close(records);
    if (writes >= 0)
        close(writes);
    return records >= 0 && writes >= 0;
}

void probe_preload_begin(struct probe_watch *w) {
    char *why = NULL;
    if (!w->o.preload && (!w->o.python || has_watchpoints(w)))
        return;
    if (probe_preload_open(w->o.follow, &w->preload, &why) == 0) {
        probe_preload_setenv(w->preload);
        probe_means_say(w->means, PROBE_MEANS_PRELOAD, true,
                        "the program writes down each wait for a GIL itself%s",
                        w->o.preload ? "" : ", as nothing else can see all of them");
    } else {
        w->preload = NULL;
        probe_means_say(w->means, PROBE_MEANS_PRELOAD, false, "%s",
                        why ? why : "it could not be prepared");
    }
    free(why);
}

void probe_preload_begun(struct probe_watch *w, pid_t pid) {
    if (!w->preload)
        return;
    probe_preload_restore(w->preload);
    if (pid > 0)
        probe_preload_launched(w->preload, pid);
}

/* Threads come and go by this record only where there is none of the kernel's; a look at /proc may
 * have been faster. */
static void take(void *arg, const struct probe_event *e) {
    struct probe_watch *w = arg;
    struct probe_task *task = probe_tasks_find(&w->tasks, e->tid);
    if (e->kind == PROBE_THREAD && !task)
        probe_tasks_add(&w->tasks, e->pid, e->tid);
    if (e->kind == PROBE_EXIT) {
        if (!task || task->ended)
            return;
        task->ended = true;
    }
    probe_tell(w, e);
}

void probe_preload_read(struct probe_watch *w, bool last) {
    struct probe_preload_facts f;
    if (!w->preload)
        return;
    bool takes = !w->means[PROBE_MEANS_WATCHPOINT].used;
    w->preload_ns = probe_preload_horizon();
    if (last && w->target.ended)
        probe_preload_finish(w->preload, takes, !w->records, take, w);
    else
        probe_preload_step(w->preload, takes, !w->records, take, w);
    if (!last)
        return;
    w->preload_ns = UINT64_MAX;
    probe_preload_facts(w->preload, &f);
    if (f.processes == 0)
        probe_means_say(w->means, PROBE_MEANS_PRELOAD, false,
                        "the program did not load the library: it is linked statically, has "
                        "rights of its own, or clears its environment");
    else
        probe_means_say(w->means, PROBE_MEANS_PRELOAD, true,
                        "the program wrote down each wait for a GIL itself: taken %llu times, %llu "
                        "of them back at once",
                        (unsigned long long)f.gots, (unsigned long long)f.shorts);
}
