/* SPDX-License-Identifier: MIT */
/* The interpreters of watched processes: looked for until they are there (a launched one has not
 * even loaded it), their GILs, who has them, and what their threads run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/watch_inside.h"
#include "text.h"

enum {
    GILS_MAX = 64, /* of a process */
    LOCKS_MAX = 1024,
    THREADS_MAX = 4096
};

static const uint64_t ms = 1000 * 1000;
static const uint64_t begins_ns = UINT64_C(3000) * 1000 * 1000; /* most programs have, by then */
static const uint64_t odd_pause = 50 * 1000 * 1000; /* where the interpreter makes no sense */

/* ---- processes ---- */

struct probe_process *probe_process_find(const struct probe_watch *w, pid_t pid) {
    for (size_t i = 0; i < w->process_count; i++) {
        if (w->process[i].pid == pid)
            return &w->process[i];
    }
    return NULL;
}

struct probe_process *probe_process_add(struct probe_watch *w, pid_t pid) {
    struct probe_process *p = probe_process_find(w, pid);
    if (p)
        return p;
    w->process = lab_grow_one(w->process, w->process_count, sizeof(*w->process));
    p = &w->process[w->process_count++];
    *p = (struct probe_process){.pid = pid, .since_ns = probe_now_ns()};
    return p;
}

void probe_process_add_children(struct probe_watch *w, pid_t pid) {
    pid_t *list;
    int count = probe_tasks_children(pid, &list);
    for (int i = 0; i < count; i++) {
        if (list[i] == getpid() || probe_process_find(w, list[i]))
            continue;
        probe_process_add(w, list[i]);
        probe_process_add_children(w, list[i]);
    }
    free(list);
}

static void forget_gil(struct probe_watch *w, int i) {
    /* What children have inherited would end with the files. */
    if (!w->o.follow)
        probe_uncover_gil(w, i);
    w->watched[i].gone = true;
}

void probe_process_forget(struct probe_watch *w, struct probe_process *p) {
    for (int i = 0; i < w->gil_count; i++) {
        if (w->watched[i].pid == p->pid && !w->watched[i].gone && !w->reader)
            forget_gil(w, i);
    }
    if (p->python && (!w->kept || p->pid == w->target.pid)) {
        probe_python_close(w->kept);
        w->kept = p->python;
    } else {
        probe_python_close(p->python);
    }
    probe_native_close(p->native);
    *p = (struct probe_process){.pid = p->pid, .since_ns = probe_now_ns()};
    for (size_t i = 0; i < w->tasks.count; i++) {
        struct probe_task *task = w->tasks.list[i];
        if (task->pid != p->pid)
            continue;
        task->state = 0;
        for (int kind = PROBE_WATCHPOINTS; kind < PROBE_KINDS; kind++)
            task->covered[kind] = false; /* they end at an exec */
    }
}

void probe_process_remove(struct probe_watch *w, struct probe_process *p) {
    probe_process_forget(w, p);
    *p = w->process[--w->process_count];
}

/* ---- GILs ---- */

int probe_gil_of_futex(const struct probe_watch *w, pid_t pid, uint64_t address) {
    for (int i = 0; i < w->gil_count; i++) {
        if (w->watched[i].pid == pid && !w->watched[i].gone && address >= w->gil[i].address &&
            address - w->gil[i].address < w->gil[i].size)
            return i;
    }
    return PROBE_NO_LOCK;
}

int probe_gil_of_number(const struct probe_watch *w, pid_t pid, uint64_t address) {
    for (int i = 0; i < w->gil_count; i++) {
        if (w->watched[i].pid == pid && !w->watched[i].gone && address != 0 &&
            address == w->gil[i].number_address)
            return i;
    }
    return PROBE_NO_LOCK;
}

/* Says what has become of the watchpoints. */
static void say_watchpoints(struct probe_watch *w, int error) {
    int watched = 0;
    size_t missed = 0;
    for (int i = 0; i < w->gil_count; i++) {
        watched += w->watched[i].kind != 0;
        missed += w->watched[i].files.missed;
    }
    const char *plural = watched == 1 ? "" : "s";
    if (watched > 0 && w->facts.watchpoint_ns == 0)
        w->facts.watchpoint_ns = probe_perf_watchpoint_cost();
    if (watched > 0 && missed == 0 && error == 0) {
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, true,
                        "each hand-over of %d GIL%s, by a hardware watchpoint on the switch "
                        "number, which costs the target %.1f us a time here",
                        watched, plural, (double)w->facts.watchpoint_ns * 1e-3);
        return;
    }
    char *why = probe_perf_why(error ? error : -EMFILE, true);
    if (watched == 0)
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false, "%s", why);
    else
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, true,
                        "hand-overs of %d GIL%s, not of all or not by all threads: %s", watched,
                        plural, why);
    free(why);
}

/* The kind of a watchpoint that a process inherited from its maker, or one that is free in it. */
static int kind_for(const struct probe_watch *w, int i) {
    const struct probe_task *task = probe_tasks_find(&w->tasks, w->watched[i].pid);
    bool taken[PROBE_KINDS] = {false};
    for (int k = 0; k < w->gil_count; k++) {
        const struct probe_watched *g = &w->watched[k];
        if (g->kind && g->pid != w->watched[i].pid && task && task->covered[g->kind] &&
            w->gil[k].number_address == w->gil[i].number_address)
            return g->kind;
        if (g->kind && g->pid == w->watched[i].pid)
            taken[g->kind] = true;
    }
    for (int kind = PROBE_WATCHPOINTS; kind < PROBE_KINDS; kind++) {
        if (!taken[kind] && !(task && task->covered[kind]))
            return kind;
    }
    return 0;
}

static void watch_gil(struct probe_watch *w, int i) {
    if (w->gil[i].number_address == 0) {
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false,
                        "this interpreter's GIL does not number its hand-overs%s",
                        w->preload ? "" : "; launch the program with --preload");
        return;
    }
    if (!w->records) {
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false, "%s",
                        w->means[PROBE_MEANS_SWITCHES].why);
        return;
    }
    int error = -ENOSPC;
    w->watched[i].kind = kind_for(w, i);
    if (w->watched[i].kind) {
        error = probe_cover_gil(w, i);
        if (error)
            probe_uncover_gil(w, i);
    }
    say_watchpoints(w, error);
}

void probe_add_gil(struct probe_watch *w, pid_t pid, const struct probe_gil *g) {
    size_t n = (size_t)w->gil_count;
    w->gil = lab_grow_one(w->gil, n, sizeof(*w->gil));
    w->watched = lab_grow_one(w->watched, n, sizeof(*w->watched));
    w->gil[n] = *g;
    w->watched[n] = (struct probe_watched){.pid = pid};
    w->gil_count++;
    watch_gil(w, (int)n);
}

static bool is_known(const struct probe_watch *w, int i, pid_t pid, const struct probe_gil *g) {
    return !w->watched[i].gone && w->watched[i].pid == pid && w->gil[i].address == g->address &&
           w->gil[i].interpreter == g->interpreter;
}

/* Compares the GILs there are with those known. A new one gets the next number. */
static void look_for_gils(struct probe_watch *w, struct probe_process *p) {
    struct probe_gil now[GILS_MAX];
    pid_t pid = p->pid;
    int count = probe_python_gils(p->python, now, GILS_MAX);
    if (count < 0)
        return;
    if (count > 0) /* sys.setswitchinterval() */
        probe_python_refresh(p->python, &now[0]);
    for (int k = 0; k < w->gil_count; k++) {
        bool there = w->watched[k].pid != pid || w->watched[k].gone;
        for (int i = 0; i < count; i++)
            there = there || is_known(w, k, pid, &now[i]);
        if (!there)
            forget_gil(w, k);
    }
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (int k = 0; k < w->gil_count; k++)
            known = known || is_known(w, k, pid, &now[i]);
        if (!known && w->gil_count < LOCKS_MAX)
            probe_add_gil(w, pid, &now[i]); /* may move the processes: `p` ends here */
    }
    if (w->preload && pid == w->target.pid)
        probe_preload_gils(w->preload, pid, w->gil, w->gil_count);
}

int probe_read_gil(struct probe_watch *w, int i, pid_t *holder, bool *locked, uint64_t *number) {
    *holder = 0;
    *locked = false;
    *number = 0;
    if (w->watched[i].gone)
        return -ESRCH;
    if (w->reader)
        return w->reader(w->reader_arg, &w->gil[i], holder, locked, number);
    const struct probe_process *p = probe_process_find(w, w->watched[i].pid);
    if (!p || !p->python)
        return -ENOENT;
    return probe_python_gil_read(p->python, &w->gil[i], holder, locked, number);
}

/* ---- the interpreter ---- */

static void found(struct probe_watch *w, const struct probe_process *p) {
    const struct probe_python_facts *f = probe_python_facts(p->python);
    if (f->stacks)
        probe_means_say(w->means, PROBE_MEANS_STACKS, true,
                        "read from the memory of Python %d.%d (%s), as often as takes less than "
                        "4 %% of a CPU",
                        f->major, f->minor, f->how);
    else
        probe_means_say(w->means, PROBE_MEANS_STACKS, false,
                        "the layout of Python %d.%d's frames is not known here", f->major,
                        f->minor);
    if (!w->o.python)
        return;
    if (f->free_threaded)
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false,
                        "a free-threaded build: there is no GIL");
    else if (!f->has_gil_number)
        probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false,
                        "Python %d.%d does not number the hand-overs of its GIL%s", f->major,
                        f->minor, w->preload ? "" : "; launch the program with --preload");
}

static void say_nothing_found(struct probe_watch *w, const char *why) {
    if (probe_watch_python(w) || !w->o.python)
        return; /* another process has one, or it had one before */
    probe_means_say(w->means, PROBE_MEANS_WATCHPOINT, false, "%s", why);
    probe_means_say(w->means, PROBE_MEANS_STACKS, false, "%s", why);
}

/* Those that wait have been looked at without it. */
static void look_anew(struct probe_watch *w, pid_t pid) {
    for (size_t i = 0; i < w->tasks.count; i++) {
        if (w->tasks.list[i]->pid == pid && w->tasks.list[i]->looked)
            w->tasks.list[i]->unfinished = true;
    }
}

static void seek(struct probe_watch *w, struct probe_process *p, uint64_t now_ns) {
    char *why = NULL;
    if (now_ns < p->next_ns)
        return;
    int error = probe_python_open(p->pid, &p->python, &why);
    uint64_t end_ns = probe_now_ns();
    if (error == 0) {
        p->gils_ns = end_ns;
        found(w, p);
        look_anew(w, p->pid);
        if (w->o.python)
            look_for_gils(w, p);
    } else {
        /* Looking takes at most a twentieth of the time, and less when it has not helped. */
        uint64_t pause = (end_ns - now_ns) * (w->o.python ? 20 : 100);
        uint64_t least = end_ns - p->since_ns < begins_ns ? ms : 250 * ms;
        p->python = NULL;
        p->next_ns = end_ns + (pause > least ? pause : least);
        /* Anything may be seen of a program that is just being replaced by another one. */
        bool begins = end_ns - p->since_ns < begins_ns;
        if (error == -EPERM || error == -EACCES || (!w->o.python && !begins))
            p->next_ns = UINT64_MAX;
        else if (error != -ENOENT && error != -ESRCH && pause < odd_pause)
            p->next_ns = end_ns + odd_pause;
        say_nothing_found(w, why ? why : "no Python was found in the process");
    }
    free(why);
}

static void seek_more(struct probe_watch *w, struct probe_process *p, uint64_t now_ns) {
    bool has_gil = false;
    for (int i = 0; i < w->gil_count; i++)
        has_gil = has_gil || (w->watched[i].pid == p->pid && !w->watched[i].gone);
    /* Often while it begins, as the first GIL may come after the interpreter. */
    uint64_t pause = has_gil ? 100 * ms : 2 * ms;
    if (probe_python_facts(p->python)->free_threaded || now_ns - p->gils_ns < pause)
        return;
    p->gils_ns = now_ns;
    look_for_gils(w, p);
}

void probe_seek_python(struct probe_watch *w, uint64_t now_ns) {
    if (!w->o.python && !w->o.lines)
        return;
    for (size_t i = 0; i < w->process_count; i++) {
        struct probe_process *p = &w->process[i];
        if (p->python && w->o.python)
            seek_more(w, p, now_ns);
        else if (!p->python)
            seek(w, p, now_ns);
    }
}

/* ---- stacks ---- */

static void look_for_threads(struct probe_watch *w, const struct probe_process *p) {
    struct probe_python_thread *list = lab_alloc(THREADS_MAX, sizeof(*list));
    int count = probe_python_threads(p->python, list, THREADS_MAX);
    for (int i = 0; i < count && i < THREADS_MAX; i++) {
        struct probe_task *task = probe_tasks_find(&w->tasks, list[i].tid);
        if (task) {
            task->state = list[i].state;
            task->interpreter = list[i].interpreter;
        }
    }
    free(list);
}

/* Names that threading gives where the program gives none say less than the function that runs. */
static bool is_given(const char *name) {
    const char *number = lab_starts_with(name, "Thread-") ? name + 7
                         : lab_starts_with(name, "Dummy-") ? name + 6 : NULL;
    if (!number || *number < '0' || *number > '9')
        return true;
    number += strspn(number, "0123456789");
    return *number != '\0' && *number != ' ';
}

/* What the program calls a thread: looked for until it is known, and rarely from then on. */
static void look_for_name(struct probe_watch *w, struct probe_process *p, struct probe_task *task,
                          const struct probe_python_thread *t, uint64_t now) {
    char name[sizeof(task->called)];
    if (task->tid == task->pid || now < task->name_ns)
        return;
    int error = probe_python_thread_name(p->python, t, name, sizeof(name));
    /* Threads change their names, if at all, soon after they have begun. */
    task->name_pause_ns = task->name_pause_ns * 2 + 50 * ms;
    if (task->name_pause_ns > 5000 * ms)
        task->name_pause_ns = 5000 * ms;
    task->name_ns = now + task->name_pause_ns;
    if (error || !is_given(name) || strcmp(name, task->called) == 0)
        return;
    memcpy(task->called, name, sizeof(name));
    struct probe_event e = {.ns = probe_now_ns(),
                            .kind = PROBE_NAME,
                            .tid = task->tid,
                            .pid = task->pid,
                            .cpu = -1,
                            .lock = PROBE_NO_LOCK,
                            .text = task->called};
    probe_tell(w, &e);
}

uint32_t probe_stack_of(struct probe_watch *w, struct probe_task *task) {
    struct probe_process *p = probe_process_find(w, task->pid);
    if (!p || !p->python || !probe_python_facts(p->python)->stacks)
        return 0;
    uint64_t now = probe_now_ns();
    uint64_t age = now - p->threads_ns;
    bool seeks = task->state == 0 && now >= task->seek_ns && age > 10 * ms;
    if (age > 200 * ms + p->threads_cost_ns * 50 || seeks) {
        look_for_threads(w, p);
        p->threads_ns = now;
        p->threads_cost_ns = probe_now_ns() - now;
    }
    if (task->state == 0) {
        if (seeks) { /* a thread that runs no Python is looked for ever more rarely */
            task->seek_pause_ns = task->seek_pause_ns * 2 + 10 * ms;
            task->seek_ns = now + task->seek_pause_ns;
        }
        return 0;
    }
    struct probe_python_thread t = {
        .tid = task->tid, .state = task->state, .interpreter = task->interpreter};
    bool torn = false;
    uint32_t stack = probe_python_stack(p->python, &t, w->stacks, &torn);
    w->facts.looks_torn += torn;
    if (stack)
        look_for_name(w, p, task, &t, now);
    return torn ? 0 : stack;
}
