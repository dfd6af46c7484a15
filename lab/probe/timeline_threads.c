/* SPDX-License-Identifier: MIT */
/* The threads of a timeline: trackers of those that live, by number, and entries of all that were
 * seen, in order. When the entries are used up, further threads share the last one. */
#include <stdlib.h>
#include <string.h>

#include "probe/timeline_inside.h"
#include "text.h"

static size_t slot_of(const struct probe_timeline_inside *in, pid_t tid) {
    uint64_t h = (uint64_t)(uint32_t)tid * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 32) & (in->table_size - 1);
}

struct probe_tracker *probe_tracker_find(struct probe_timeline *t, pid_t tid) {
    struct probe_timeline_inside *in = t->inside;
    if (in->table_size == 0)
        return NULL;
    for (size_t i = slot_of(in, tid); in->table[i]; i = (i + 1) & (in->table_size - 1)) {
        if (in->table[i]->tid == tid)
            return in->table[i];
    }
    return NULL;
}

static void insert(struct probe_timeline_inside *in, struct probe_tracker *tr) {
    size_t i = slot_of(in, tr->tid);
    while (in->table[i])
        i = (i + 1) & (in->table_size - 1);
    in->table[i] = tr;
}

static void make_room(struct probe_timeline_inside *in) {
    if (in->table_used * 2 < in->table_size)
        return;
    struct probe_tracker **old = in->table;
    size_t size = in->table_size;
    in->table_size = size ? size * 2 : 64;
    in->table = lab_alloc(in->table_size, sizeof(*in->table));
    for (size_t i = 0; i < size; i++) {
        if (old[i])
            insert(in, old[i]);
    }
    free(old);
}

static uint32_t new_entry(struct probe_timeline *t, pid_t tid, pid_t pid) {
    struct probe_timeline_inside *in = t->inside;
    if (t->thread_count == in->threads_max) {
        t->threads_dropped++;
        return (uint32_t)t->thread_count - 1;
    }
    t->thread = lab_grow_one(t->thread, t->thread_count, sizeof(*t->thread));
    in->entry = lab_grow_one(in->entry, t->thread_count, sizeof(*in->entry));
    struct probe_thread *e = &t->thread[t->thread_count];
    memset(e, 0, sizeof(*e));
    memset(&in->entry[t->thread_count], 0, sizeof(*in->entry));
    e->tid = tid;
    e->pid = pid;
    if (t->thread_count + 1 == in->threads_max) {
        e->tid = 0;
        e->name = lab_copy("other threads");
        t->threads_dropped = 1;
    }
    return (uint32_t)t->thread_count++;
}

struct probe_tracker *probe_tracker_get(struct probe_timeline *t, pid_t tid, pid_t pid,
                                        uint64_t ns) {
    struct probe_tracker *tr = probe_tracker_find(t, tid);
    if (tr)
        return tr;
    struct probe_timeline_inside *in = t->inside;
    tr = lab_alloc(1, sizeof(*tr));
    tr->tid = tid;
    tr->pid = pid;
    tr->index = new_entry(t, tid, pid);
    tr->lock = PROBE_NO_LOCK;
    tr->cpu = -1;
    tr->state = PROBE_STATE_BLOCKED;
    tr->since = tr->cpu_ns = tr->look_ns = ns;
    make_room(in);
    insert(in, tr);
    in->table_used++;
    return tr;
}

bool probe_tracker_is_late(struct probe_timeline *t, pid_t tid, uint64_t ns) {
    const struct probe_timeline_inside *in = t->inside;
    for (size_t i = 0; i < ENDED_KEPT; i++) {
        if (in->ended[i].tid == tid && ns < in->ended[i].ns + ENDED_LATE_NS)
            return !probe_tracker_find(t, tid);
    }
    return false;
}

void probe_tracker_end(struct probe_timeline *t, struct probe_tracker *tr, uint64_t ns) {
    struct probe_timeline_inside *in = t->inside;
    in->ended[in->ended_next++ % ENDED_KEPT] = (struct probe_ended){.tid = tr->tid, .ns = ns};
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        if (in->lock[i].last == tr)
            in->lock[i].last = NULL;
    }
    size_t i = slot_of(in, tr->tid);
    while (in->table[i] != tr)
        i = (i + 1) & (in->table_size - 1);
    in->table[i] = NULL;
    in->table_used--;
    /* What follows may have been put there for want of this slot. */
    for (i = (i + 1) & (in->table_size - 1); in->table[i]; i = (i + 1) & (in->table_size - 1)) {
        struct probe_tracker *moved = in->table[i];
        in->table[i] = NULL;
        insert(in, moved);
    }
    free(tr);
}

char *probe_thread_title(const struct probe_timeline *t, size_t index) {
    const struct probe_thread *e = &t->thread[index];
    if (!e->name || !e->name[0])
        return lab_format("thread %d", (int)e->tid);
    for (size_t i = 0; i < t->thread_count; i++) {
        if (i != index && t->thread[i].name && strcmp(t->thread[i].name, e->name) == 0)
            return lab_format("%s (%d)", e->name, (int)e->tid);
    }
    return lab_copy(e->name);
}

char *probe_lock_title(const struct probe_timeline *t, size_t index) {
    size_t same = 0, before = 0;
    char number[32] = "", process[32] = "";
    for (size_t k = 0; k < t->lock_count; k++) {
        same += t->lock[k].pid == t->lock[index].pid;
        before += k < index && t->lock[k].pid == t->lock[index].pid;
    }
    if (same > 1)
        snprintf(number, sizeof(number), " number %zu", before);
    if (same < t->lock_count)
        snprintf(process, sizeof(process), " of process %d", (int)t->lock[index].pid);
    return lab_format("GIL%s%s", number, process);
}
