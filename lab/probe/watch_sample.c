/* SPDX-License-Identifier: MIT */
/* Samples: who has each GIL, what those do that are off their CPU, and which Python code runs.
 *
 * With the kernel's records a thread is looked at once in each span off its CPU: what it waits for
 * does not change before it runs again, and is told again in each sample. A holder is looked at in
 * each sample. Reading a stack is what costs; samples may take 4 % of a CPU (or what two looks
 * take, if that is more), and stacks are left out, and counted, when that is used up.
 *
 * Without records, threads are looked at in turns, and what they do is all that is known: on and
 * off are told when a look finds a change. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe/watch_inside.h"
#include "text.h"

enum { LOOKS_MAX = 32 }; /* in a sample */

static const int64_t budget_most_ns = 4 * 1000 * 1000;
/* The first stack through a file takes far longer than all that follow: that is let pass. */
static const int64_t debt_most_ns = 400 * 1000;
static const uint64_t tick_most_ns = 20 * 1000 * 1000;
static const uint64_t scan_every_ns = 20 * 1000 * 1000;    /* without records */
static const uint64_t sweep_every_ns = 1000 * 1000 * 1000; /* with them */

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool may_spend(struct probe_watch *w, uint64_t begun_cpu_ns) {
    return w->budget_ns - (int64_t)(cpu_ns() - begun_cpu_ns) > 0;
}

/* The stacks of what is looked at: of Python, and of C functions for those who wait. */
static void add_stacks(struct probe_watch *w, struct probe_task *task,
                       const struct probe_call *call, struct probe_event *e, uint64_t cpu) {
    struct probe_process *p = probe_process_find(w, task->pid);
    task->unfinished = false;
    if (!p || (!p->python && !w->o.native))
        return;
    if (!may_spend(w, cpu)) {
        task->unfinished = true;
        w->skipped++;
        return;
    }
    uint64_t torn_before = w->facts.looks_torn;
    if (p->python)
        e->stack = probe_stack_of(w, task);
    /* One that waits is not looked at anew unless it is said here, and may wait for ever. */
    task->unfinished = p->python && !e->stack &&
                       (task->state == 0 || w->facts.looks_torn > torn_before);
    if (!call || call->runs || !w->o.native)
        return;
    bool torn = false;
    if (!p->native && probe_native_open(p->pid, &p->native) != 0)
        p->native = NULL;
    if (p->native)
        e->native = probe_native_stack(p->native, task->tid, call, w->stacks, &torn);
    w->facts.looks_torn += torn;
}

/* Which lock of Python's it is that the thread waits for, if it is one. */
static void add_mutex(struct probe_watch *w, const struct probe_call *call, struct probe_event *e) {
    struct probe_process *p = probe_process_find(w, e->pid);
    struct probe_python_lock lock;
    if (e->doing != PROBE_ON_FUTEX || e->lock != PROBE_NO_LOCK || !e->stack || !p || !p->python ||
        probe_python_lock_find(p->python, e->value, call->sp, &lock) != 0)
        return;
    e->mutex = (uint8_t)probe_mutex_of_python(w->stacks, e->stack, &lock);
    e->object = lock.object;
}

static void look_at(struct probe_watch *w, struct probe_task *task, uint64_t cpu) {
    struct probe_call call;
    struct probe_seen seen = {.doing = PROBE_NOT_KNOWN};
    struct probe_event e = {.ns = probe_now_ns(),
                            .kind = PROBE_LOOK,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = task->cpu,
                            .lock = PROBE_NO_LOCK};
    int error = probe_look(task, &call);
    if (error == -ESRCH)
        return;
    if (error == 0)
        probe_seen_of(&call, w->target.bits32, &seen);
    e.doing = (uint8_t)seen.doing;
    e.value = seen.value;
    if (seen.doing == PROBE_ON_FUTEX)
        e.lock = (int16_t)probe_gil_of_futex(w, task->pid, seen.value);
    add_stacks(w, task, error ? NULL : &call, &e, cpu);
    if (error == 0)
        add_mutex(w, &call, &e);
    task->looked = seen.doing != PROBE_RUNS;
    task->look = e;
    w->facts.looks++;
    probe_tell(w, &e);
}

/* What has not changed is told again, so that samples are as frequent in long spans as in short
 * ones. */
static void look_again(struct probe_watch *w, struct probe_task *task, uint64_t now, uint64_t cpu) {
    bool may_help = task->state != 0 || now >= task->seek_ns; /* else it is no thread of Python's */
    if (task->unfinished && may_help && may_spend(w, cpu)) {
        look_at(w, task, cpu);
        return;
    }
    task->look.ns = now;
    w->facts.looks++;
    probe_tell(w, &task->look);
}

/* ---- GILs ---- */

static void sample_gil(struct probe_watch *w, int i, uint64_t cpu) {
    pid_t holder;
    bool locked;
    uint64_t number;
    struct probe_event e = {.ns = probe_now_ns(),
                            .kind = PROBE_HOLDER,
                            .pid = w->watched[i].pid,
                            .cpu = -1,
                            .lock = (int16_t)i};
    if (probe_read_gil(w, i, &holder, &locked, &number) != 0)
        return;
    e.tid = locked ? holder : 0;
    e.value = number;
    probe_tell(w, &e);
    struct probe_task *task = e.tid ? probe_tasks_find(&w->tasks, e.tid) : NULL;
    if (!task || task->ended || w->reader)
        return;
    if (task->known && !task->on && !task->preempted)
        return; /* has it and waits in a call: looked at like others that wait */
    struct probe_event look = {.ns = e.ns,
                               .kind = PROBE_LOOK,
                               .tid = task->tid,
                               .pid = task->pid,
                               .cpu = task->cpu,
                               .lock = PROBE_NO_LOCK,
                               .doing = PROBE_RUNS};
    add_stacks(w, task, NULL, &look, cpu);
    w->facts.looks++;
    probe_tell(w, &look);
}

/* ---- with records ---- */

/* Those that have left their CPU since. */
static size_t look_at_queued(struct probe_watch *w, uint64_t cpu) {
    size_t done = 0, i = 0;
    for (; i < w->look_count && done < LOOKS_MAX; i++) {
        struct probe_task *task = probe_tasks_find(&w->tasks, w->look[i]);
        if (!task || !task->queued)
            continue;
        if (done > 1 && !may_spend(w, cpu))
            break;
        task->queued = false;
        if (task->ended || task->on || task->preempted || task->looked)
            continue; /* it went on by itself */
        look_at(w, task, cpu);
        done++;
    }
    if (i > 0)
        memmove(w->look, w->look + i, (w->look_count - i) * sizeof(*w->look));
    w->look_count -= i;
    return done;
}

static void look_with_records(struct probe_watch *w, uint64_t cpu) {
    uint64_t now = w->drained_ns; /* so long it was certainly off its CPU */
    size_t done = look_at_queued(w, cpu);
    for (size_t i = 0; i < w->tasks.count && done < LOOKS_MAX; i++) {
        struct probe_task *task = w->tasks.list[w->turn++ % w->tasks.count];
        if (task->looked && !task->on && !task->ended && task->look.ns < now) {
            look_again(w, task, now, cpu);
            done++;
        }
    }
}

/* ---- without records ---- */

static void tell_state(struct probe_watch *w, struct probe_task *task, bool on, int cpu,
                       bool preempted) {
    struct probe_event e = {.ns = probe_now_ns(),
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = cpu,
                            .lock = PROBE_NO_LOCK,
                            .preempted = preempted};
    if (task->known && task->on == on && (!on || task->cpu == cpu))
        return;
    if (task->known && on && task->on) { /* it went to another CPU unseen */
        e.kind = PROBE_OFF;
        e.cpu = task->cpu;
        e.preempted = true;
        probe_tell(w, &e);
        e.preempted = false;
        e.cpu = cpu;
    }
    e.kind = on ? PROBE_ON : PROBE_OFF;
    probe_tell(w, &e);
    task->known = true;
    task->on = on;
    task->preempted = preempted;
    task->cpu = cpu;
    task->changed_ns = e.ns;
    task->looked = false;
}

/* Whether a runnable thread has a CPU: schedstat counts its time there, but at ticks only. */
static bool has_run(struct probe_task *task, uint64_t now) {
    char text[128];
    if (probe_task_read(task, "schedstat", &task->sched_file, text, sizeof(text)) < 0)
        return true;
    uint64_t ran = strtoull(text, NULL, 10);
    if (ran != task->ran_ns || task->moved_ns == 0)
        task->moved_ns = now;
    task->ran_ns = ran;
    return now - task->moved_ns < tick_most_ns;
}

static void look_without_records(struct probe_watch *w, struct probe_task *task, uint64_t cpu) {
    struct probe_task_stat stat;
    if (probe_task_stat(task, &stat) != 0)
        return; /* the next scan tells its end */
    if (strcmp(stat.name, task->name) != 0) {
        struct probe_event e = {.ns = probe_now_ns(),
                                .kind = PROBE_NAME,
                                .tid = task->tid,
                                .pid = task->pid,
                                .cpu = -1,
                                .lock = PROBE_NO_LOCK,
                                .text = stat.name};
        memcpy(task->name, stat.name, sizeof(task->name));
        probe_tell(w, &e);
    }
    uint64_t now = probe_now_ns(), moved_ns = task->moved_ns;
    bool has_cpu = has_run(task, now), able = stat.state == 'R';
    tell_state(w, task, able && has_cpu, stat.cpu, able && !has_cpu);
    if (!able && (!task->looked || task->moved_ns != moved_ns))
        look_at(w, task, cpu);
    else if (!able && task->looked)
        look_again(w, task, now, cpu);
}

static void tell_end(struct probe_watch *w, struct probe_task *task, uint64_t ns) {
    struct probe_event e = {.ns = ns,
                            .kind = PROBE_EXIT,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = -1,
                            .lock = PROBE_NO_LOCK};
    task->ended = true;
    probe_tell(w, &e);
}

static void tell_beginning(struct probe_watch *w, pid_t pid, pid_t tid, uint64_t ns) {
    struct probe_task *task = probe_tasks_add(&w->tasks, pid, tid);
    struct probe_event e = {.ns = ns,
                            .kind = PROBE_THREAD,
                            .tid = tid,
                            .pid = pid,
                            .cpu = -1,
                            .lock = PROBE_NO_LOCK,
                            .value = (uint64_t)pid};
    if (task->ended)
        probe_task_reset(task, pid);
    task->changed_ns = ns;
    probe_tell(w, &e);
}

/* Threads that came and went. With records this is for those whose record was lost. False if the
 * process is gone. */
static bool scan_process(struct probe_watch *w, pid_t pid, bool adds) {
    pid_t *list;
    uint64_t now = probe_now_ns();
    int count = probe_tasks_scan(pid, &list);
    for (int i = 0; i < count; i++) {
        struct probe_task *task = probe_tasks_find(&w->tasks, list[i]);
        if ((!task || task->ended) && adds) {
            tell_beginning(w, pid, list[i], now);
            task = probe_tasks_find(&w->tasks, list[i]);
        }
        if (task)
            task->scanned_ns = now;
    }
    free(list);
    for (size_t i = 0; i < w->tasks.count; i++) {
        struct probe_task *task = w->tasks.list[i];
        bool fresh = w->records && now - task->changed_ns < sweep_every_ns;
        if (task->pid == pid && task->scanned_ns < now && !task->ended && !fresh)
            tell_end(w, task, now);
    }
    return count != -ESRCH;
}

/* Without records, an exec is seen by the stack's having moved. */
static void look_for_exec(struct probe_watch *w, struct probe_process *p) {
    struct probe_task *task = probe_tasks_find(&w->tasks, p->pid);
    struct probe_task_stat stat;
    if (!task || probe_task_stat(task, &stat) != 0 || stat.stack == 0 || stat.stack == p->stack)
        return;
    bool another = p->stack != 0;
    if (another)
        probe_exec(w, task, stat.name, probe_now_ns());
    p->stack = stat.stack;
}

static void scan(struct probe_watch *w) {
    bool adds = !w->records || w->facts.lost != w->scan_lost;
    w->scan_lost = w->facts.lost;
    for (size_t i = 0; adds && w->o.follow && i < w->process_count; i++)
        probe_process_add_children(w, w->process[i].pid);
    for (size_t i = 0; !w->records && i < w->process_count; i++)
        look_for_exec(w, &w->process[i]);
    for (size_t i = w->process_count; i-- > 0;) {
        if (!scan_process(w, w->process[i].pid, adds) && i > 0)
            probe_process_remove(w, &w->process[i]);
    }
}

static void look_in_turns(struct probe_watch *w, uint64_t cpu) {
    size_t n = w->tasks.count < LOOKS_MAX ? w->tasks.count : LOOKS_MAX;
    for (size_t i = 0; i < n && (i < 2 || may_spend(w, cpu)); i++) {
        struct probe_task *task = w->tasks.list[w->turn++ % w->tasks.count];
        if (!task->ended)
            look_without_records(w, task, cpu);
    }
}

void probe_tell_ends(struct probe_watch *w) {
    uint64_t now = probe_now_ns();
    for (size_t i = 0; i < w->tasks.count; i++) {
        if (!w->tasks.list[i]->ended)
            tell_end(w, w->tasks.list[i], now);
    }
}

void probe_sample(struct probe_watch *w) {
    uint64_t now = probe_now_ns(), cpu = cpu_ns();
    w->budget_ns += (int64_t)((now - w->budget_at_ns) / 25);
    if (w->budget_ns > budget_most_ns)
        w->budget_ns = budget_most_ns;
    w->budget_at_ns = now;
    if (now - w->scan_ns >= (w->records ? sweep_every_ns : scan_every_ns)) {
        w->scan_ns = now;
        scan(w);
    }
    for (int i = 0; i < w->gil_count; i++)
        sample_gil(w, i, cpu);
    if (w->records)
        look_with_records(w, cpu);
    else
        look_in_turns(w, cpu);
    w->budget_ns -= (int64_t)(cpu_ns() - cpu);
    if (w->budget_ns < -debt_most_ns)
        w->budget_ns = -debt_most_ns;
}
