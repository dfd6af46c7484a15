/* SPDX-License-Identifier: MIT */
/* Events for all threads of a target that runs.
 *
 * A thread that has events hands them on to those that it makes, so only those that are there must
 * be found: /proc is read until it shows no thread that is new. One that was made by a thread that
 * had its events by then has them, too; its record says so. Where that is not certain the thread
 * gets its own: it may then have them twice, and the second record of two is left out. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "probe/watch_inside.h"
#include "text.h"

/* Rounds in which a program that makes threads all the time is followed. */
enum { ROUNDS_MAX = 100 };

enum { PAGES_DEFAULT = 128 }; /* 512 KiB, what perf_event_mlock_kb allows as a rule */

/* Files that are kept back for what else is read: interpreters, libraries, /proc. */
enum { FILES_BACK = 512 };

void probe_raise_files(struct probe_watch *w) {
    struct rlimit r;
    w->file_limit = FILES_BACK;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    if (r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) != 0)
            getrlimit(RLIMIT_NOFILE, &r);
    }
    int most = r.rlim_cur > INT_MAX ? INT_MAX : (int)r.rlim_cur;
    w->file_limit = most > 2 * FILES_BACK ? most - FILES_BACK : most / 2;
    probe_tasks_keep_below(w->file_limit);
}

/* What is to be opened for each thread of a process. */
struct cover {
    pid_t pid;
    int kind;
    uint64_t address; /* of a watchpoint */
    struct probe_kind_files *files;
};

static int open_on(struct probe_watch *w, const struct cover *c, pid_t tid, int i) {
    enum probe_reach reach = w->o.follow ? PROBE_REACH_ALL : PROBE_REACH_THREADS;
    int fd = c->kind == PROBE_RECORDS ? probe_perf_records(tid, w->cpu[i], reach)
                                      : probe_perf_watchpoint(tid, w->cpu[i], c->address, reach);
    if (fd < 0)
        return fd;
    if (fd >= w->file_limit) {
        close(fd);
        return -EMFILE;
    }
    int error;
    if (w->ring[i].base) {
        error = probe_ring_add(&w->ring[i], fd);
    } else {
        size_t pages = w->o.buffer_pages ? w->o.buffer_pages : PAGES_DEFAULT;
        error = probe_ring_open(&w->ring[i], fd, w->cpu[i], pages);
    }
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

/* 0; -ESRCH: it has ended; another -errno: it has none now. */
static int cover_one(struct probe_watch *w, const struct cover *c, pid_t tid) {
    struct probe_kind_files *f = c->files;
    size_t before = f->count;
    for (int i = 0; i < w->cpu_count; i++) {
        int fd = open_on(w, c, tid, i);
        if (fd == -ENODEV && w->cpu_count > 1)
            continue; /* the CPU is off line by now */
        if (fd < 0) {
            /* Half of the CPUs is worse than none. What owns a ring must stay open. */
            bool owns = c->kind == PROBE_RECORDS && before == 0;
            while (!owns && f->count > before)
                close(f->fd[--f->count]);
            return fd;
        }
        f->fd = lab_grow_one(f->fd, f->count, sizeof(*f->fd));
        f->fd[f->count++] = fd;
    }
    return f->count > before ? 0 : -ENODEV;
}

/* Covers those of a list that are not. How many that were. */
static int cover_new(struct probe_watch *w, const struct cover *c, const pid_t *list, int count,
                     bool again) {
    struct probe_kind_files *f = c->files;
    int found = 0;
    for (int i = 0; i < count; i++) {
        struct probe_task *task = probe_tasks_find(&w->tasks, list[i]);
        bool is_new = !task;
        if (task && (task->covered[c->kind] || task->ended))
            continue;
        if (is_new)
            task = probe_tasks_add(&w->tasks, c->pid, list[i]);
        int error = cover_one(w, c, list[i]);
        /* Marked where it failed as well, so that it is tried once. */
        task->covered[c->kind] = true;
        task->covered_ns[c->kind] = probe_now_ns();
        if (error == -ESRCH) {
            if (is_new)
                probe_tasks_remove(&w->tasks, task);
            continue;
        }
        found++;
        if (error) {
            f->error = error;
            f->missed++;
            if (f->count == 0)
                return 0;
        } else if (again) {
            task->twice = true;
        }
    }
    return found;
}

static int cover(struct probe_watch *w, const struct cover *c) {
    struct probe_kind_files *f = c->files;
    bool again = f->count > 0;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        pid_t *list;
        int count = probe_tasks_scan(c->pid, &list);
        if (count < 0)
            return f->count > 0 ? 0 : count;
        if (w->records)
            probe_drain(w); /* whose records are there has inherited its events */
        int found = cover_new(w, c, list, count, again || round > 0);
        free(list);
        if (c->kind == PROBE_RECORDS && f->count > 0)
            w->records = true;
        if (found == 0)
            break;
    }
    return f->error && f->count == 0 ? f->error : 0;
}

static void close_files(struct probe_kind_files *f) {
    for (size_t i = 0; i < f->count; i++)
        close(f->fd[i]);
    free(f->fd);
    *f = (struct probe_kind_files){0};
}

int probe_cover_records(struct probe_watch *w, pid_t pid) {
    struct cover c = {.pid = pid, .kind = PROBE_RECORDS, .files = &w->files};
    int error = cover(w, &c);
    return error ? error : w->files.count == 0 ? -ESRCH : 0;
}

int probe_cover_gil(struct probe_watch *w, int i) {
    struct cover c = {.pid = w->watched[i].pid,
                      .kind = w->watched[i].kind,
                      .address = w->gil[i].number_address,
                      .files = &w->watched[i].files};
    return cover(w, &c); /* no file: all threads have inherited it */
}

void probe_uncover_records(struct probe_watch *w) {
    close_files(&w->files);
    for (size_t i = 0; i < w->tasks.count; i++)
        w->tasks.list[i]->covered[PROBE_RECORDS] = false;
    w->records = false;
    for (int i = 0; i < w->cpu_count; i++)
        probe_ring_close(&w->ring[i]);
}

void probe_uncover_gil(struct probe_watch *w, int i) {
    struct probe_watched *g = &w->watched[i];
    close_files(&g->files);
    for (size_t k = 0; g->kind && k < w->tasks.count; k++) {
        if (w->tasks.list[k]->pid == g->pid)
            w->tasks.list[k]->covered[g->kind] = false;
    }
    g->kind = 0;
}
