/* SPDX-License-Identifier: MIT */
/* The table of threads, and what /proc says about each. */
#include "probe/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

static size_t slot(const struct probe_tasks *t, pid_t tid) {
    return ((uint32_t)tid * 2654435761u >> 8) & (t->buckets - 1);
}

struct probe_task *probe_tasks_find(const struct probe_tasks *t, pid_t tid) {
    if (t->buckets == 0)
        return NULL;
    struct probe_task *task = t->bucket[slot(t, tid)];
    while (task && task->tid != tid)
        task = task->chain;
    return task;
}

static void enlarge(struct probe_tasks *t) {
    t->buckets = t->buckets ? t->buckets * 2 : 64;
    free(t->bucket);
    t->bucket = lab_alloc(t->buckets, sizeof(struct probe_task *));
    for (size_t i = 0; i < t->count; i++) {
        struct probe_task *task = t->list[i];
        task->chain = t->bucket[slot(t, task->tid)];
        t->bucket[slot(t, task->tid)] = task;
    }
}

static void close_file(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_files(struct probe_task *task) {
    close_file(&task->call_file);
    close_file(&task->stat_file);
    close_file(&task->sched_file);
}

struct probe_task *probe_tasks_add(struct probe_tasks *t, pid_t pid, pid_t tid) {
    struct probe_task *task = probe_tasks_find(t, tid);
    if (task)
        return task;
    if (t->count >= t->buckets)
        enlarge(t);
    task = lab_alloc(1, sizeof(*task));
    task->pid = pid;
    task->tid = tid;
    task->call_file = task->stat_file = task->sched_file = -1;
    task->cpu = -1;
    task->chain = t->bucket[slot(t, tid)];
    t->bucket[slot(t, tid)] = task;
    t->list = lab_grow_one(t->list, t->count, sizeof(*t->list));
    task->index = t->count;
    t->list[t->count++] = task;
    return task;
}

void probe_task_reset(struct probe_task *task, pid_t pid) {
    struct probe_task *chain = task->chain;
    size_t index = task->index;
    pid_t tid = task->tid;
    bool queued = task->queued; /* it is in the list of those to be looked at */
    bool met = task->met;       /* its end is still to be handed on */
    close_files(task);
    *task = (struct probe_task){.tid = tid,
                                .pid = pid,
                                .chain = chain,
                                .index = index,
                                .queued = queued,
                                .met = met,
                                .cpu = -1,
                                .call_file = -1,
                                .stat_file = -1,
                                .sched_file = -1};
}

void probe_tasks_remove(struct probe_tasks *t, struct probe_task *task) {
    struct probe_task **at = &t->bucket[slot(t, task->tid)];
    while (*at != task)
        at = &(*at)->chain;
    *at = task->chain;
    t->count--;
    t->list[task->index] = t->list[t->count];
    t->list[task->index]->index = task->index;
    close_files(task);
    free(task);
}

void probe_tasks_free(struct probe_tasks *t) {
    for (size_t i = 0; i < t->count; i++) {
        close_files(t->list[i]);
        free(t->list[i]);
    }
    free(t->list);
    free(t->bucket);
    *t = (struct probe_tasks){0};
}

int probe_tasks_scan(pid_t pid, pid_t **out) {
    char path[64];
    int count = 0;
    *out = NULL;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? -ESRCH : -errno;
    for (struct dirent *e; (e = readdir(dir));) {
        int tid = atoi(e->d_name);
        if (tid <= 0)
            continue;
        *out = lab_grow_one(*out, (size_t)count, sizeof(**out));
        (*out)[count++] = tid;
    }
    closedir(dir);
    return count > 0 ? count : -ESRCH;
}

int probe_tasks_children(pid_t pid, pid_t **out) {
    pid_t *list;
    int threads = probe_tasks_scan(pid, &list), count = 0;
    *out = NULL;
    for (int i = 0; i < threads; i++) {
        char path[96];
        int child;
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)list[i]);
        FILE *f = fopen(path, "re");
        while (f && fscanf(f, "%d", &child) == 1) {
            *out = lab_grow_one(*out, (size_t)count, sizeof(**out));
            (*out)[count++] = child;
        }
        if (f)
            fclose(f);
    }
    free(list);
    return count;
}

static int keep_below = 512;

void probe_tasks_keep_below(int fd) {
    keep_below = fd;
}

long probe_task_read(const struct probe_task *task, const char *file, int *fd, char *text,
                     size_t size) {
    if (*fd < 0) {
        char path[96];
        snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)task->pid, (int)task->tid, file);
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (*fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = pread(*fd, text, size - 1, 0);
    int error = n < 0 ? -errno : n == 0 ? -ESRCH : 0;
    text[n < 0 ? 0 : n] = '\0';
    if (*fd >= keep_below)
        close_file(fd);
    return error ? error : (long)n;
}

bool probe_task_stat_parse(char *text, struct probe_task_stat *out) {
    *out = (struct probe_task_stat){.state = '?', .cpu = -1};
    char *first = strchr(text, '('), *last = strrchr(text, ')');
    if (!first || !last || last < first || last[1] != ' ')
        return false;
    *last = '\0';
    strncpy(out->name, first + 1, sizeof(out->name) - 1);
    out->state = last[2];
    /* From the third field, the state, on. */
    const char *at = last + 2;
    for (int field = 3; *at; field++) {
        char *end;
        if (field > 3) {
            unsigned long long n = strtoull(at, &end, 10);
            if (field == 9)
                out->flags = (unsigned)n;
            else if (field == 14)
                out->user_ticks = n;
            else if (field == 15)
                out->system_ticks = n;
            else if (field == 28)
                out->stack = n;
            else if (field == 39)
                out->cpu = (int)n;
        }
        at += strcspn(at, " ");
        at += strspn(at, " ");
        if (field == 39)
            return true;
    }
    return false;
}

int probe_task_stat(struct probe_task *task, struct probe_task_stat *out) {
    char text[1024];
    long n = probe_task_read(task, "stat", &task->stat_file, text, sizeof(text));
    if (n < 0)
        return (int)n;
    return probe_task_stat_parse(text, out) ? 0 : -EPROTO;
}
