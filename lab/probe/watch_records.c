/* SPDX-License-Identifier: MIT */
/* From the kernel's records to events. Each is used twice: at once, for what samples want to know
 * of the present (who is off its CPU), and in the order of time, for whoever takes the events. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/watch_inside.h"
#include "text.h"

/* Records this much older than the start of a look into the rings are all there. */
static const uint64_t settled_ns = 4 * 1000 * 1000;

/* Between the moment when a thread inherits its events and the one that its record says. */
static const uint64_t fork_ns = 2 * 1000 * 1000;

/* Two events of one switch, from a thread that has them twice, are this close. */
static const uint64_t same_ns = 50 * 1000;

uint64_t probe_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void probe_tell(struct probe_watch *w, const struct probe_event *e) {
    if (!w->begun || e->ns < w->facts.begin_ns)
        return; /* while attaching */
    probe_order_add(&w->order, e);
}

void probe_queue_look(struct probe_watch *w, struct probe_task *task) {
    if (task->queued || task->looked || task->ended)
        return;
    if (w->look_count == w->look_room) {
        w->look_room = w->look_room ? w->look_room * 2 : 64;
        w->look = lab_grow(w->look, w->look_room, sizeof(*w->look));
    }
    task->queued = true;
    w->look[w->look_count++] = task->tid;
}

static void set_name(struct probe_watch *w, struct probe_task *task, const char *name,
                     uint64_t ns) {
    snprintf(task->name, sizeof(task->name), "%.15s", name);
    struct probe_event e = {.ns = ns,
                            .kind = PROBE_NAME,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = -1,
                            .lock = PROBE_NO_LOCK,
                            .text = task->name};
    probe_tell(w, &e);
}

/* 'R' is a thread on a CPU or one that waits for it. There is one on each, and on ours it is us. */
static bool may_be_on(const struct probe_watch *w, int cpu) {
    if (cpu == sched_getcpu())
        return false;
    for (size_t i = 0; i < w->tasks.count; i++) {
        if (w->tasks.list[i]->known && w->tasks.list[i]->on && w->tasks.list[i]->cpu == cpu)
            return false;
    }
    return true;
}

void probe_introduce(struct probe_watch *w, struct probe_task *task, uint64_t ns) {
    struct probe_event e = {.ns = ns,
                            .kind = PROBE_THREAD,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = -1,
                            .lock = PROBE_NO_LOCK};
    struct probe_task_stat stat;
    bool seen = probe_task_stat(task, &stat) == 0;
    struct probe_process *p = seen ? probe_process_find(w, task->tid) : NULL;
    if (p)
        p->stack = stat.stack;
    probe_tell(w, &e);
    if (seen)
        set_name(w, task, stat.name, ns);
    if (!task->known && !seen)
        return;
    if (!task->known) { /* else a record was faster */
        task->on = stat.state == 'R' && may_be_on(w, stat.cpu);
        task->preempted = stat.state == 'R' && !task->on;
        task->cpu = stat.cpu;
        task->changed_ns = ns;
        task->known = true;
    }
    task->guessed = true;
    e.kind = task->on ? PROBE_ON : PROBE_OFF;
    e.preempted = task->preempted;
    e.cpu = task->cpu;
    probe_tell(w, &e);
    if (!task->on)
        probe_queue_look(w, task);
}

/* ---- records, as they are found in the rings ---- */

static void on_switch(struct probe_watch *w, struct probe_task *task,
                      const struct probe_record *r) {
    struct probe_event e = {.ns = r->ns,
                            .tid = r->tid,
                            .pid = r->pid,
                            .cpu = r->cpu,
                            .lock = PROBE_NO_LOCK,
                            .preempted = r->preempted};
    bool on = r->kind == PROBE_RECORD_ON;
    e.kind = on ? PROBE_ON : PROBE_OFF;
    probe_tell(w, &e);
    if (task->known && r->ns < task->changed_ns)
        return;
    task->known = true;
    task->on = on;
    task->preempted = !on && r->preempted;
    task->cpu = r->cpu;
    task->changed_ns = r->ns;
    task->looked = false;
    if (!on && !r->preempted)
        probe_queue_look(w, task);
}

static void on_fork(struct probe_watch *w, const struct probe_record *r) {
    struct probe_event e = {.ns = r->ns,
                            .tid = (pid_t)r->value,
                            .pid = r->parent,
                            .cpu = r->cpu,
                            .lock = PROBE_NO_LOCK,
                            .kind = PROBE_FORK,
                            .value = (uint64_t)r->tid};
    if (r->pid != r->parent) {
        probe_tell(w, &e);
        w->facts.children += !w->o.follow;
        if (!w->o.follow)
            return;
    }
    struct probe_task *maker = probe_tasks_find(&w->tasks, (pid_t)r->value);
    struct probe_task *task = probe_tasks_find(&w->tasks, r->tid);
    if (task && task->ended)
        probe_task_reset(task, r->pid);
    else if (!task)
        task = probe_tasks_add(&w->tasks, r->pid, r->tid);
    for (int k = 0; maker && k < PROBE_KINDS; k++) {
        if (maker->covered[k] && !task->covered[k] && maker->covered_ns[k] + fork_ns < r->ns) {
            task->covered[k] = true;
            task->covered_ns[k] = r->ns;
        }
    }
    e.kind = PROBE_THREAD;
    e.pid = r->pid;
    e.tid = r->tid;
    e.value = r->value;
    probe_tell(w, &e);
    /* It is called like its maker until a record says otherwise. */
    if (maker && !task->name[0])
        set_name(w, task, maker->name, r->ns);
    if (r->pid != r->parent)
        probe_process_add(w, r->pid);
    struct probe_process *p = probe_process_find(w, r->pid);
    if (p)
        p->threads_ns = 0;
}

void probe_exec(struct probe_watch *w, struct probe_task *task, const char *name, uint64_t ns) {
    struct probe_event e = {.ns = ns,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = task->cpu,
                            .lock = PROBE_NO_LOCK,
                            .kind = PROBE_EXEC,
                            .text = name};
    struct probe_process *p = probe_process_find(w, task->pid);
    if (p)
        probe_process_forget(w, p);
    if (task->ended) { /* another thread than the main one did it, and takes its number */
        struct probe_event t = e;
        probe_task_reset(task, task->pid);
        t.kind = PROBE_THREAD;
        t.text = NULL;
        probe_tell(w, &t);
    }
    if (task->pid == w->target.pid && w->target.launched && !w->started)
        w->started = true; /* becoming the command is no event of it */
    else
        probe_tell(w, &e);
    set_name(w, task, name, ns);
}

static void on_lost(struct probe_watch *w, const struct probe_record *r) {
    struct probe_event e = {.ns = r->ns,
                            .kind = PROBE_LOST,
                            .cpu = r->cpu,
                            .pid = w->target.pid,
                            .lock = PROBE_NO_LOCK,
                            .value = r->value};
    probe_tell(w, &e);
    /* Nobody's state is certain any more: all are looked at anew. */
    for (size_t i = 0; i < w->tasks.count; i++) {
        w->tasks.list[i]->looked = false;
        probe_queue_look(w, w->tasks.list[i]);
    }
}

static void on_record(void *arg, const struct probe_record *r) {
    struct probe_watch *w = arg;
    struct probe_event e = {
        .ns = r->ns, .tid = r->tid, .pid = r->pid, .cpu = r->cpu, .lock = PROBE_NO_LOCK};
    if (w->target.launched && r->ns < w->facts.begin_ns)
        return; /* before it begins */
    if (r->kind == PROBE_RECORD_LOST) {
        on_lost(w, r);
        return;
    }
    if (r->kind == PROBE_RECORD_FORK) {
        if (w->o.follow || r->parent == w->target.pid)
            on_fork(w, r);
        return;
    }
    if (r->pid != w->target.pid && !w->o.follow)
        return;
    struct probe_task *task = probe_tasks_find(&w->tasks, r->tid);
    if (task ? task->ended && r->kind != PROBE_RECORD_EXEC : r->kind == PROBE_RECORD_EXIT)
        return;
    if (!task) { /* the record of its beginning was lost, or will come from another ring */
        task = probe_tasks_add(&w->tasks, r->pid, r->tid);
        task->covered[PROBE_RECORDS] = true;
        task->covered_ns[PROBE_RECORDS] = r->ns;
    }
    switch (r->kind) {
    case PROBE_RECORD_ON:
    case PROBE_RECORD_OFF:
        on_switch(w, task, r);
        break;
    case PROBE_RECORD_WRITE: {
        int lock = probe_gil_of_number(w, r->pid, r->value);
        e.kind = PROBE_TAKE;
        e.lock = (int16_t)lock;
        if (lock != PROBE_NO_LOCK)
            probe_tell(w, &e);
        break;
    }
    case PROBE_RECORD_EXIT:
        task->ended = true;
        e.kind = PROBE_EXIT;
        probe_tell(w, &e);
        break;
    case PROBE_RECORD_NAME:
        set_name(w, task, r->text, r->ns);
        break;
    case PROBE_RECORD_EXEC:
        task->pid = r->pid;
        task->cpu = r->cpu;
        probe_exec(w, task, r->text, r->ns);
        break;
    default:
        break;
    }
}

static void keep(void *arg, const struct probe_record *r) {
    struct probe_watch *w = arg;
    if (w->record_count == w->record_room) {
        w->record_room = w->record_room ? w->record_room * 2 : 256;
        w->record = lab_grow(w->record, w->record_room, sizeof(*w->record));
    }
    w->record[w->record_count++] = *r;
}

static int earlier(const void *a, const void *b) {
    const struct probe_record *x = a, *y = b;
    return x->ns < y->ns ? -1 : x->ns > y->ns;
}

/* What came while the rings were emptied one after the other is left for the next time: else the
 * end of a thread could be seen before its beginning, which another ring has. */
void probe_drain(struct probe_watch *w) {
    uint64_t now = probe_now_ns();
    bool sorted = true;
    for (int i = 0; i < w->cpu_count; i++) {
        if (w->ring[i].base)
            probe_ring_drain(&w->ring[i], keep, w);
    }
    for (size_t i = 1; i < w->record_count && sorted; i++)
        sorted = w->record[i - 1].ns <= w->record[i].ns;
    if (!sorted)
        qsort(w->record, w->record_count, sizeof(*w->record), earlier);
    size_t n = 0;
    while (n < w->record_count && w->record[n].ns <= now)
        on_record(w, &w->record[n++]);
    if (n > 0)
        memmove(w->record, w->record + n, (w->record_count - n) * sizeof(*w->record));
    w->record_count -= n;
    w->drained_ns = now;
}

/* ---- in order, to whoever wants them ---- */

/* Whether an event is the second of two that say the same thing. */
static bool is_repeated(struct probe_task *task, const struct probe_event *e) {
    if (e->kind == PROBE_TAKE) {
        bool again = task->twice && e->ns - task->took_ns < same_ns;
        task->took_ns = e->ns;
        return again;
    }
    if (e->kind != PROBE_ON && e->kind != PROBE_OFF)
        return false;
    bool again = task->told == e->kind &&
                 (task->guessed || (task->twice && e->ns - task->told_ns < same_ns));
    if (task->told != 0)
        task->guessed = false;
    task->told = e->kind;
    task->told_ready = e->preempted;
    task->told_ns = e->ns;
    return again;
}

/* It was guessed to wait for a CPU, and had one: it leaves it. */
static void mend_guess(struct probe_watch *w, struct probe_task *task,
                       const struct probe_event *e) {
    struct probe_event on = *e;
    if (e->kind != PROBE_OFF || !task->guessed || task->told != PROBE_OFF || !task->told_ready)
        return;
    task->guessed = false;
    task->told = on.kind = PROBE_ON;
    on.preempted = false;
    w->sink(w->sink_arg, &on);
}

/* The number is read together with the clock, so takes are counted between two readings. */
static void count(struct probe_watched *g, const struct probe_event *e) {
    if (e->kind == PROBE_HOLDER) {
        if (!g->counts)
            g->first = e->value;
        g->last = e->value;
        g->counts = true;
        g->takes = g->takes_now;
    }
    if (e->kind == PROBE_TAKE && g->counts)
        g->takes_now++;
}

static void hand_on(void *arg, const struct probe_event *e) {
    struct probe_watch *w = arg;
    bool of_thread = e->tid && e->kind != PROBE_HOLDER;
    struct probe_task *task = of_thread ? probe_tasks_find(&w->tasks, e->tid) : NULL;
    if (task)
        mend_guess(w, task, e);
    if (task && (is_repeated(task, e) || (e->kind == PROBE_THREAD && task->met)))
        return;
    if (task && !task->met && e->kind != PROBE_THREAD) {
        struct probe_event t = {.ns = e->ns,
                                .kind = PROBE_THREAD,
                                .tid = e->tid,
                                .pid = e->pid,
                                .cpu = -1,
                                .lock = PROBE_NO_LOCK};
        w->sink(w->sink_arg, &t);
    }
    if (task)
        task->met = true;
    if (e->kind == PROBE_LOST)
        w->facts.lost += e->value;
    if (e->lock >= 0 && e->lock < w->gil_count)
        count(&w->watched[e->lock], e);
    w->sink(w->sink_arg, e);
    if (e->kind == PROBE_EXIT && task && task->ended)
        probe_tasks_remove(&w->tasks, task);
    else if (e->kind == PROBE_EXIT && task)
        task->met = false; /* there is another one of this number by now */
}

void probe_hand_on(struct probe_watch *w, uint64_t until_ns) {
    if (until_ns != UINT64_MAX)
        until_ns -= settled_ns;
    if (w->preload && until_ns > w->preload_ns)
        until_ns = w->preload_ns;
    probe_order_release(&w->order, until_ns, hand_on, w);
}
