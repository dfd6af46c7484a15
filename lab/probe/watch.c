/* SPDX-License-Identifier: MIT */
/* A watch: a target, the means, and the stream of its events.
 *
 * Everything happens within probe_watch_step(): it naps until the next sample is due, empties the
 * rings, takes the sample, and hands on what is old enough to be complete. There is no thread of
 * our own, and the kernel wakes nobody for a record: that would be felt by the target. Memory is
 * bounded: the rings are of fixed size, the list that sorts holds some milliseconds, and the table
 * of threads those that live. What the rings cannot hold is counted by the kernel. */
#include "probe/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "probe/watch_inside.h"
#include "subject/interrupt.h"
#include "text.h"

enum { STACK_NODES_MAX = 200 * 1000 };

static const uint64_t second_ns = 1000 * 1000 * 1000;
static const uint64_t nap_most_ns = 10 * 1000 * 1000; /* so that the rings do not fill */
static const uint64_t grace_ns = 1000 * 1000 * 1000;  /* for a launched target, after a signal */

/* ---- beginning ---- */

/* What the records are used for, or why there are none. */
static void say_records(struct probe_watch *w, int error) {
    const struct probe_kind_files *f = &w->files;
    static const enum probe_means_id both[] = {PROBE_MEANS_SWITCHES, PROBE_MEANS_TASKS};
    static const char *const what[] = {"each time that a thread gets or leaves a CPU",
                                       "each beginning and end of a thread"};
    char *why = error || f->missed ? probe_perf_why(error ? error : f->error, false) : NULL;
    for (int i = 0; i < 2; i++) {
        if (w->o.no_perf)
            probe_means_say(w->means, both[i], false, "left out, as asked");
        else if (error)
            probe_means_say(w->means, both[i], false, "%s", why);
        else if (f->missed)
            probe_means_say(w->means, both[i], true, "%s, but for %zu threads: %s", what[i],
                            f->missed, why);
        else
            probe_means_say(w->means, both[i], true, "%s, by the kernel's records", what[i]);
    }
    free(why);
}

static void cover_records(struct probe_watch *w) {
    int error = 0;
    if (!w->o.no_perf) {
        error = probe_cover_records(w, w->target.pid);
        for (size_t i = 1; !error && i < w->process_count; i++)
            probe_cover_records(w, w->process[i].pid);
        if (error)
            probe_uncover_records(w);
    }
    say_records(w, error);
}

static void say_samples(struct probe_watch *w) {
    const char *what = w->records ? "who has the GIL, and what those do that are off their CPU"
                                  : "all that is known of threads, which is an estimate";
    probe_means_say(w->means, PROBE_MEANS_LOOKS, true, "each %.3g ms: %s",
                    (double)w->every_ns * 1e-6, what);
}

/* Without records, or for those that were not covered: every thread that /proc shows. */
static void list_threads(struct probe_watch *w) {
    for (size_t k = 0; k < w->process_count; k++) {
        pid_t *list;
        int count = probe_tasks_scan(w->process[k].pid, &list);
        for (int i = 0; i < count; i++)
            probe_tasks_add(&w->tasks, w->process[k].pid, list[i]);
        free(list);
    }
}

/* Everything is in place: from here on events are handed on. */
static void begin(struct probe_watch *w) {
    struct timespec real;
    list_threads(w);
    probe_drain(w); /* states of the present */
    w->facts.begin_ns = probe_now_ns();
    clock_gettime(CLOCK_REALTIME, &real);
    w->facts.begin_real_ns = (uint64_t)real.tv_sec * second_ns + (uint64_t)real.tv_nsec;
    w->begun = true;
    w->look_count = 0;
    for (size_t i = 0; i < w->tasks.count; i++) {
        struct probe_task *task = w->tasks.list[i];
        task->queued = task->looked = false;
        if (!task->ended)
            probe_introduce(w, task, w->facts.begin_ns);
    }
    for (size_t i = w->tasks.count; i-- > 0;) {
        if (w->tasks.list[i]->ended)
            probe_tasks_remove(&w->tasks, w->tasks.list[i]);
    }
    if (w->o.for_s > 0)
        w->until_ns = w->facts.begin_ns + (uint64_t)(w->o.for_s * 1e9);
    w->process[0].since_ns = w->facts.begin_ns;
    if (!w->o.follow && !w->target.launched) {
        pid_t *list;
        w->facts.children += (uint64_t)probe_tasks_children(w->target.pid, &list);
        free(list);
    }
}

static int attach(struct probe_watch *w) {
    uint64_t start_ns = probe_now_ns();
    int error = probe_target_attach(&w->target, w->o.pid);
    if (error)
        return error;
    probe_process_add(w, w->target.pid);
    if (w->o.follow)
        probe_process_add_children(w, w->target.pid);
    cover_records(w);
    probe_seek_python(w, start_ns);
    if (probe_target_has_ended(&w->target)) {
        lab_complain("process %d has just ended", (int)w->o.pid);
        return -ESRCH;
    }
    begin(w);
    w->facts.attach_s = (double)(probe_now_ns() - start_ns) * 1e-9;
    return 0;
}

static int launch(struct probe_watch *w) {
    probe_preload_begin(w);
    int error = probe_target_launch(&w->target, w->o.command);
    probe_preload_begun(w, w->target.pid);
    if (error)
        return error;
    uint64_t start_ns = probe_now_ns();
    probe_raise_files(w);
    probe_process_add(w, w->target.pid);
    cover_records(w);
    begin(w);
    w->facts.attach_s = (double)(probe_now_ns() - start_ns) * 1e-9;
    return probe_target_begin(&w->target, w->o.command[0]);
}

int probe_watch_open(const struct probe_options *o, struct probe_watch **out) {
    struct probe_watch *w = lab_alloc(1, sizeof(*w));
    *out = NULL;
    w->o = *o;
    w->target = (struct probe_target){.pid = -1, .pidfd = -1, .go = -1, .failed = -1, .status = -1};
    w->cpu_count = probe_cpus(&w->cpu);
    w->ring = lab_alloc((size_t)w->cpu_count, sizeof(*w->ring));
    w->stacks = probe_stacks_new(STACK_NODES_MAX);
    w->every_ns = (uint64_t)((o->every_ms > 0 ? o->every_ms : 1.0) * 1e6);
    w->budget_at_ns = probe_now_ns();
    probe_means_fill(w->means);
    for (int i = 0; o->python && i < 2; i++)
        probe_means_say(w->means, i ? PROBE_MEANS_STACKS : PROBE_MEANS_WATCHPOINT, false,
                        "the program ended before it could have begun an interpreter");
    lab_interrupt_install();
    if (!o->command)
        probe_raise_files(w);
    int error = o->command ? launch(w) : attach(w);
    if (error) {
        probe_watch_close(w, NULL);
        return error;
    }
    say_samples(w);
    if (o->native)
        probe_means_say(w->means, PROBE_MEANS_NATIVE, true,
                        "of threads that wait, unwound from their memory without stopping them");
    *out = w;
    return 0;
}

int probe_watch_exit_status(const struct probe_options *o, int error) {
    if (error == -EINVAL)
        return LAB_EXIT_USAGE;
    if (!o->command)
        return LAB_EXIT_UNMEASURED;
    return error == -ENOENT                        ? 127
           : error == -EACCES || error == -ENOEXEC ? 126
                                                   : LAB_EXIT_UNMEASURED;
}

/* ---- a step ---- */

static void nap(struct probe_watch *w, uint64_t until_ns) {
    uint64_t now = probe_now_ns();
    if (until_ns > now + nap_most_ns)
        until_ns = now + nap_most_ns;
    if (now >= until_ns)
        return;
    struct pollfd p = {.fd = w->target.pidfd, .events = POLLIN};
    struct timespec t = {.tv_sec = (time_t)((until_ns - now) / second_ns),
                         .tv_nsec = (long)((until_ns - now) % second_ns)};
    ppoll(&p, 1, &t, NULL);
}

static bool is_over(struct probe_watch *w, uint64_t now) {
    int sig = lab_interrupt_signal();
    if (probe_target_has_ended(&w->target))
        return true;
    if (w->until_ns && now >= w->until_ns)
        return true;
    if (!sig)
        return false;
    if (!w->target.launched)
        return true;
    /* A launched one gets the signal, too, and a moment to end. */
    if (w->told_ns == 0) {
        w->told_ns = now;
        probe_target_tell(&w->target, sig);
    }
    return now - w->told_ns >= grace_ns;
}

/* The last events, all of them. */
static void finish(struct probe_watch *w) {
    if (!w->target.ended)
        probe_sample(w);
    probe_drain(w);
    w->facts.end_ns = probe_now_ns();
    probe_drain(w); /* what came during the first time */
    probe_preload_read(w, true);
    if (w->target.ended)
        probe_tell_ends(w);
    w->over = true;
    probe_hand_on(w, UINT64_MAX);
    if (w->skipped && w->means[PROBE_MEANS_STACKS].used) {
        char *why = lab_copy(w->means[PROBE_MEANS_STACKS].why);
        probe_means_say(w->means, PROBE_MEANS_STACKS, true,
                        "%s: %llu of %llu looks came without one", why,
                        (unsigned long long)w->skipped, (unsigned long long)w->facts.looks);
        free(why);
    }
}

int probe_watch_step(struct probe_watch *w, int wait_ms, probe_sink *sink, void *arg) {
    uint64_t now = probe_now_ns();
    uint64_t until_ns = now + (wait_ms > 0 ? (uint64_t)wait_ms : 0) * 1000000;
    if (w->over)
        return 0;
    w->sink = sink;
    w->sink_arg = arg;
    do {
        nap(w, w->next_ns < until_ns ? w->next_ns : until_ns);
        now = probe_now_ns();
        if (is_over(w, now)) {
            finish(w);
            return 0;
        }
        probe_drain(w);
        probe_preload_read(w, false);
        if (now >= w->next_ns) {
            probe_seek_python(w, now);
            probe_sample(w);
            w->next_ns += w->every_ns;
            if (w->next_ns <= now)
                w->next_ns = now + w->every_ns; /* late: samples are not made up for */
        }
        probe_hand_on(w, now);
    } while (now < until_ns);
    return 1;
}

/* ---- the end, and what there is to know ---- */

void probe_watch_close(struct probe_watch *w, int *status) {
    if (!w)
        return;
    for (int i = 0; i < w->gil_count; i++)
        probe_uncover_gil(w, i);
    probe_uncover_records(w);
    int ended = probe_target_leave(&w->target);
    if (status)
        *status = ended;
    probe_preload_close(w->preload);
    while (w->process_count > 0)
        probe_process_remove(w, w->process);
    probe_python_close(w->kept);
    probe_tasks_free(&w->tasks);
    probe_order_free(&w->order);
    probe_means_free(w->means);
    probe_stacks_free(w->stacks);
    free(w->cpu);
    free(w->ring);
    free(w->look);
    free(w->record);
    free(w->gil);
    free(w->watched);
    free(w->process);
    free(w);
}

const struct probe_means *probe_watch_means(const struct probe_watch *w) {
    return w->means;
}

struct probe_python *probe_watch_python(const struct probe_watch *w) {
    for (size_t i = 0; i < w->process_count; i++) {
        if (w->process[i].python)
            return w->process[i].python;
    }
    return w->kept;
}

struct probe_python *probe_watch_python_of(const struct probe_watch *w, pid_t pid) {
    const struct probe_process *p = probe_process_find(w, pid);
    return p ? p->python : NULL;
}

int probe_watch_gils(const struct probe_watch *w, const struct probe_gil **out) {
    *out = w->gil;
    return w->gil_count;
}

struct probe_stacks *probe_watch_stacks(const struct probe_watch *w) {
    return w->stacks;
}

pid_t probe_watch_pid(const struct probe_watch *w) {
    return w->target.pid;
}

void probe_watch_facts(const struct probe_watch *w, struct probe_watch_facts *out) {
    const struct probe_watched *best = NULL;
    *out = w->facts;
    out->ended = w->target.ended;
    out->status = w->target.status;
    /* The main GIL: the target's own, of the program that it is now, or a child's. */
    for (int i = 0; i < w->gil_count; i++) {
        const struct probe_watched *g = &w->watched[i];
        bool better = !best || (best->pid != w->target.pid && g->pid == w->target.pid) ||
                      (best->pid == g->pid && best->gone && w->gil[i].interpreter == 0);
        if (g->counts && w->gil[i].interpreter == 0 && better)
            best = g;
    }
    if (best) {
        out->number_first = best->first;
        out->number_last = best->last;
        out->takes = best->takes;
    }
    if (out->end_ns == 0)
        out->end_ns = probe_now_ns();
}
