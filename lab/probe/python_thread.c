/* SPDX-License-Identifier: MIT */
/* The interpreter's threads and its GILs.
 *
 * From 3.11 on a thread's state has the kernel's number of it. Before, it has only what the C
 * library calls the thread, which is the address of the library's own structure; the kernel's
 * number stands in there, at a place that is found by looking which one has the numbers of this
 * process's threads. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "probe/python_inside.h"
#include "text.h"

enum {
    THREADS_MAX = 1 << 17,    /* a longer list is taken for a loop of garbage */
    INTERPRETERS_MAX = 1024,
    LIBRARY_BYTES = 1024,     /* of the C library's structure that are searched */
    HEAD_MOST = 64,           /* bytes of a GIL that are read at once */
    TIDS_EVERY_NS = 10000000, /* no more often are the process's threads listed anew */
};

/* glibc's, on x86_64 and aarch64: tried first, and where one thread alone is no proof. */
#if defined(__aarch64__)
enum { USUAL_OFFSET = 208 };
#else
enum { USUAL_OFFSET = 720 };
#endif

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- numbers of threads ---- */

/* A thread's number in the innermost namespace: the last of its NSpid line. */
static uint64_t inner_number(pid_t pid, pid_t tid) {
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
    FILE *f = fopen(path, "re");
    uint64_t number = 0;
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "NSpid:", 6) == 0) {
            char *last = strrchr(line, '\t');
            number = last ? strtoull(last, NULL, 10) : 0;
        }
    }
    if (f)
        fclose(f);
    return number;
}

static void list_tids(struct probe_python *p) {
    char path[64];
    p->tid_count = 0;
    p->tids_ns = now_ns();
    snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *x; (x = readdir(d));) {
        pid_t tid = atoi(x->d_name);
        if (tid <= 0)
            continue;
        p->tids = lab_grow_one(p->tids, p->tid_count, sizeof(*p->tids));
        p->tids[p->tid_count++] = (struct python_tid){
            p->other_namespace ? inner_number(p->pid, tid) : (uint64_t)tid, tid};
    }
    closedir(d);
}

static pid_t listed(const struct probe_python *p, uint64_t number) {
    for (size_t i = 0; i < p->tid_count; i++) {
        if (p->tids[i].raw == number)
            return p->tids[i].tid;
    }
    return 0;
}

/* The number here of the thread that its own namespace calls `number`. */
static pid_t outer_tid(struct probe_python *p, uint64_t number) {
    if (!p->other_namespace || number == 0)
        return number <= INT32_MAX ? (pid_t)number : 0;
    pid_t tid = listed(p, number);
    if (!tid && now_ns() - p->tids_ns > TIDS_EVERY_NS) {
        list_tids(p);
        tid = listed(p, number);
    }
    return tid;
}

int python_raw_offset(const struct probe_python *p) {
    return p->layout.thread_native_id >= 0 ? p->layout.thread_native_id : p->layout.thread_id;
}

pid_t python_tid(struct probe_python *p, uint64_t raw) {
    if (p->layout.thread_native_id >= 0)
        return outer_tid(p, raw & UINT32_MAX);
    uint32_t number;
    if (raw == 0 || (p->tid_offset < 0 && !python_tid_calibrate(p)) ||
        probe_read_whole(p->pid, raw + (uint64_t)p->tid_offset, &number, sizeof(number)) != 0)
        return 0;
    return outer_tid(p, number);
}

/* Whether all these structures have, at this place, numbers of threads of the process, each
 * another. */
static bool fits(const struct probe_python *p, unsigned char (*parts)[LIBRARY_BYTES], int count,
                 int offset) {
    for (int i = 0; i < count; i++) {
        int32_t number = python_i32(parts[i], offset);
        if (number <= 0 || !listed(p, (uint64_t)number))
            return false;
        for (int k = 0; k < i; k++) {
            if (python_i32(parts[k], offset) == number)
                return false;
        }
    }
    return count > 0;
}

struct raw_list {
    uint64_t raw[8];
    int count;
};

static int collect_raw(struct probe_python *p, uint64_t interp, uint64_t number, void *arg) {
    struct raw_list *list = arg;
    uint64_t state;
    (void)number;
    int error = probe_read_u64(p->pid, interp + (uint64_t)p->layout.interp_threads, &state);
    while (!error && state && list->count < 8) {
        uint64_t raw = 0;
        if (probe_read_u64(p->pid, state + (uint64_t)p->layout.thread_id, &raw) == 0 && raw)
            list->raw[list->count++] = raw;
        error = probe_read_u64(p->pid, state + (uint64_t)p->layout.thread_next, &state);
    }
    return list->count == 8;
}

bool python_tid_calibrate(struct probe_python *p) {
    struct raw_list list = {.count = 0};
    unsigned char parts[8][LIBRARY_BYTES];
    int count = 0;
    list_tids(p);
    python_each_interpreter(p, collect_raw, &list);
    for (int i = 0; i < list.count; i++) {
        if (probe_read_whole(p->pid, list.raw[i], parts[count], LIBRARY_BYTES) == 0)
            count++;
    }
    if (fits(p, parts, count, USUAL_OFFSET)) {
        p->tid_offset = USUAL_OFFSET;
        return true;
    }
    for (int offset = 0; count && offset < LIBRARY_BYTES; offset += 4) {
        if (fits(p, parts, count, offset)) {
            p->tid_offset = offset;
            return true;
        }
    }
    return false;
}

/* ---- interpreters and threads ---- */

int python_each_interpreter(struct probe_python *p,
                            int (*use)(struct probe_python *p, uint64_t interp, uint64_t number,
                                       void *arg),
                            void *arg) {
    uint64_t all[INTERPRETERS_MAX];
    int count = 0;
    uint64_t interp;
    int error = probe_read_u64(p->pid, p->head, &interp);
    while (!error && interp && count < INTERPRETERS_MAX) {
        all[count++] = interp;
        error = probe_read_u64(p->pid, interp + (uint64_t)p->layout.interp_next, &interp);
    }
    if (error && !count)
        return error;
    for (int i = 0; i < count; i++) {
        uint64_t number = (uint64_t)(count - 1 - i); /* the list begins with the newest */
        if (p->layout.interp_id >= 0 &&
            probe_read_u64(p->pid, all[i] + (uint64_t)p->layout.interp_id, &number) != 0)
            continue;
        int result = use(p, all[i], number, arg);
        if (result)
            return result;
    }
    return 0;
}

struct thread_list {
    struct probe_python_thread *out;
    int max, count;
};

static int collect_threads(struct probe_python *p, uint64_t interp, uint64_t number, void *arg) {
    struct thread_list *list = arg;
    const struct python_layout *l = &p->layout;
    uint64_t state, steps = 0;
    int error = probe_read_u64(p->pid, interp + (uint64_t)l->interp_threads, &state);
    while (!error && state && steps++ < THREADS_MAX) {
        uint64_t next = 0, owner = 0, raw = 0;
        const struct probe_piece pieces[] = {
            {state + (uint64_t)l->thread_next, &next, 8},
            {state + (uint64_t)l->thread_interp, &owner, 8},
            {state + (uint64_t)python_raw_offset(p), &raw, 8},
        };
        /* A state that does not belong here any more has just ended; so has what follows it. */
        if (probe_read_pieces(p->pid, pieces, 3) != 3 || owner != interp)
            break;
        pid_t tid = python_tid(p, raw);
        if (tid) { /* else it has not begun to run */
            if (list->count < list->max)
                list->out[list->count] = (struct probe_python_thread){tid, state, number};
            list->count++;
        }
        state = next;
    }
    return 0;
}

int probe_python_threads(struct probe_python *p, struct probe_python_thread *out, int max) {
    struct thread_list list = {out, max, 0};
    int error = python_each_interpreter(p, collect_threads, &list);
    return error < 0 ? error : list.count;
}

struct ident {
    uint64_t ident;
    pid_t tid;
};

static int find_ident(struct probe_python *p, uint64_t interp, uint64_t number, void *arg) {
    struct ident *want = arg;
    const struct python_layout *l = &p->layout;
    uint64_t state, steps = 0;
    (void)number;
    int error = probe_read_u64(p->pid, interp + (uint64_t)l->interp_threads, &state);
    while (!error && state && steps++ < THREADS_MAX) {
        uint64_t next = 0, ident = 0, raw = 0;
        const struct probe_piece pieces[] = {
            {state + (uint64_t)l->thread_next, &next, 8},
            {state + (uint64_t)l->thread_id, &ident, 8},
            {state + (uint64_t)python_raw_offset(p), &raw, 8},
        };
        if (probe_read_pieces(p->pid, pieces, 3) != 3)
            break;
        if (ident == want->ident)
            return (want->tid = python_tid(p, raw)) != 0;
        state = next;
    }
    return 0;
}

pid_t python_tid_of(struct probe_python *p, uint64_t ident) {
    struct ident want = {.ident = ident};
    if (ident && p->layout.thread_id >= 0)
        (void)python_each_interpreter(p, find_ident, &want);
    return want.tid;
}

/* ---- GILs ---- */

static struct probe_gil gil_at(const struct probe_python *p, uint64_t address, uint64_t number) {
    return (struct probe_gil){number, address, (uint64_t)p->layout.gil_size,
                              address + (uint64_t)(int64_t)p->layout.gil_number};
}

/* Whether a structure there could be a GIL. */
static bool gil_looks_right(struct probe_python *p, uint64_t address) {
    const struct python_layout *l = &p->layout;
    uint64_t interval = 0, holder = 0;
    int32_t locked = 0;
    const struct probe_piece pieces[] = {
        {address + (uint64_t)(int64_t)l->gil_interval, &interval, 8},
        {address + (uint64_t)(int64_t)l->gil_holder, &holder, 8},
        {address + (uint64_t)(int64_t)l->gil_locked, &locked, 4},
    };
    return probe_read_pieces(p->pid, pieces, 3) == 3 && interval > 0 && interval < 1000000000 &&
           (holder & 7) == 0 && (locked == 0 || locked == 1);
}

struct states {
    uint64_t state[64];
    int count;
};

static int collect_states(struct probe_python *p, uint64_t interp, uint64_t number, void *arg) {
    struct states *all = arg;
    uint64_t state;
    (void)number;
    int error = probe_read_u64(p->pid, interp + (uint64_t)p->layout.interp_threads, &state);
    while (!error && state && all->count < 64) {
        all->state[all->count++] = state;
        error = probe_read_u64(p->pid, state + (uint64_t)p->layout.thread_next, &state);
    }
    return 0;
}

/* Patch releases have moved the GIL within the runtime (3.7, 3.8): where it is not at the known
 * place, the one place that has the look of it and a thread of ours as its holder is it. */
static int gil_by_look(struct probe_python *p) {
    struct states all = {.count = 0};
    if (!p->runtime_size || p->runtime_size > 1 << 20)
        return -1;
    python_each_interpreter(p, collect_states, &all);
    unsigned char *bytes = lab_alloc(1, p->runtime_size);
    int found = -1;
    if (probe_read_whole(p->pid, p->runtime, bytes, p->runtime_size) == 0) {
        for (uint64_t at = 0; at + (uint64_t)p->layout.gil_size <= p->runtime_size; at += 8) {
            uint64_t holder = python_u64(bytes, (int)at + p->layout.gil_holder);
            bool known = false;
            for (int i = 0; i < all.count && !known; i++)
                known = all.state[i] == holder;
            if (!known || !gil_looks_right(p, p->runtime + at))
                continue;
            found = found == -1 ? (int)at : -2;
        }
    }
    free(bytes);
    return found;
}

/* 3.7 to 3.11: one for the process, in the runtime. */
static int runtime_gil(struct probe_python *p, struct probe_gil *out, int max) {
    int offset = p->gil_own >= 0 ? p->gil_own : p->layout.runtime_gil;
    if (!gil_looks_right(p, p->runtime + (uint64_t)offset)) {
        offset = gil_by_look(p);
        if (offset < 0)
            return 0;
        p->gil_own = offset;
    }
    if (max > 0)
        *out = gil_at(p, p->runtime + (uint64_t)offset, 0);
    return 1;
}

struct gil_list {
    struct probe_gil *out;
    int max, count;
};

/* 3.12 and later: each interpreter points to the one that it uses. Interpreters that share one
 * have it once, under the smallest number, which comes last. */
static int collect_gil(struct probe_python *p, uint64_t interp, uint64_t number, void *arg) {
    struct gil_list *list = arg;
    uint64_t address = 0;
    if (probe_read_u64(p->pid, interp + (uint64_t)p->layout.interp_gil, &address) != 0 ||
        !address || !gil_looks_right(p, address))
        return 0;
    int32_t enabled = 1;
    if (p->layout.gil_enabled >= 0 &&
        (probe_read_whole(p->pid, address + (uint64_t)p->layout.gil_enabled, &enabled, 4) != 0 ||
         enabled == 0))
        return 0;
    for (int i = 0; i < list->count && i < list->max; i++) {
        if (list->out[i].address == address) {
            if (number < list->out[i].interpreter)
                list->out[i].interpreter = number;
            return 0;
        }
    }
    if (list->count < list->max)
        list->out[list->count++] = gil_at(p, address, number);
    return 0;
}

static int by_interpreter(const void *a, const void *b) {
    const struct probe_gil *x = a, *y = b;
    return (x->interpreter > y->interpreter) - (x->interpreter < y->interpreter);
}

/* 3.6 and 2.7 have none before a second thread is made. */
static int old_gil(struct probe_python *p, struct probe_gil *out, int max) {
    if (p->layout.major == 3) {
        if (!p->gil_begin || !gil_looks_right(p, p->gil_begin))
            return 0;
        if (max > 0)
            *out = gil_at(p, p->gil_begin, 0);
        return 1;
    }
    uint64_t lock = 0;
    if (!p->lock || probe_read_u64(p->pid, p->lock, &lock) != 0 || !lock)
        return 0;
    if (max > 0)
        *out = (struct probe_gil){.address = lock, .size = 32};
    return 1;
}

int probe_python_gils(struct probe_python *p, struct probe_gil *out, int max) {
    uint64_t first;
    int error = probe_read_u64(p->pid, p->head, &first);
    if (error)
        return error == -EFAULT ? -ESRCH : error;
    if (!p->runtime)
        return old_gil(p, out, max);
    if (p->layout.runtime_gil >= 0)
        return runtime_gil(p, out, max);
    struct gil_list list = {out, max, 0};
    error = python_each_interpreter(p, collect_gil, &list);
    if (error < 0)
        return error;
    qsort(out, (size_t)list.count, sizeof(*out), by_interpreter);
    return list.count;
}

/* Who a state belongs to. What was read of the last one, and what it led to, comes with the same
 * call as the GIL itself; when another thread has it, that takes another one. */
static pid_t holder_tid(struct probe_python *p, uint64_t state, uint64_t raw_now,
                        uint32_t number_now) {
    if (!state)
        return 0;
    bool native = p->layout.thread_native_id >= 0;
    if (state == p->holder && raw_now == p->holder_raw && raw_now)
        return outer_tid(p, native ? raw_now & UINT32_MAX : number_now);
    uint64_t raw = raw_now;
    if (state != p->holder &&
        probe_read_u64(p->pid, state + (uint64_t)python_raw_offset(p), &raw) != 0)
        return 0;
    if (!native && p->tid_offset < 0 && !python_tid_calibrate(p))
        return 0;
    p->holder = state;
    p->holder_raw = raw;
    return python_tid(p, raw);
}

int probe_python_gil_read(struct probe_python *p, const struct probe_gil *g, pid_t *holder,
                          bool *locked, uint64_t *number) {
    const struct python_layout *l = &p->layout;
    uint64_t state = 0, count = 0, raw = 0;
    int32_t taken = 0;
    uint32_t tid = 0;
    struct probe_piece pieces[5];
    unsigned char head[HEAD_MOST];
    int wanted = 0;
    /* From 3.7 on what is asked for lies together, which is one piece. */
    bool together = l->major == 3 && l->gil_number > l->gil_holder &&
                    l->gil_locked > l->gil_holder && l->gil_locked < l->gil_number &&
                    l->gil_number + 8 - l->gil_holder <= HEAD_MOST;
    uint64_t first = g->address + (uint64_t)(int64_t)l->gil_holder;
    if (l->major == 2) {
        pieces[wanted++] = (struct probe_piece){p->current, &state, 8};
        pieces[wanted++] = (struct probe_piece){g->address, &taken, 4}; /* the semaphore's value */
    } else if (together) {
        pieces[wanted++] =
            (struct probe_piece){first, head, (size_t)(l->gil_number + 8 - l->gil_holder)};
    } else {
        pieces[wanted++] = (struct probe_piece){first, &state, 8};
        pieces[wanted++] = (struct probe_piece){g->address + (uint64_t)(int64_t)l->gil_locked,
                                                &taken, 4};
        pieces[wanted++] = (struct probe_piece){g->number_address, &count, 8};
    }
    int all = wanted;
    if (p->holder) {
        pieces[all++] = (struct probe_piece){p->holder + (uint64_t)python_raw_offset(p), &raw, 8};
        if (l->thread_native_id < 0 && p->tid_offset >= 0)
            pieces[all++] =
                (struct probe_piece){p->holder_raw + (uint64_t)p->tid_offset, &tid, 4};
    }
    int got = probe_read_pieces(p->pid, pieces, all);
    if (got < wanted)
        return got < 0 ? got : -EFAULT;
    if (got < all)
        p->holder = 0; /* its state is gone */
    if (together) {
        state = python_u64(head, 0);
        taken = python_i32(head, l->gil_locked - l->gil_holder);
        count = python_u64(head, l->gil_number - l->gil_holder);
    }
    *locked = l->major == 2 ? taken == 0 : taken == 1;
    *number = count;
    *holder = holder_tid(p, state, raw, tid);
    /* The last holder may have ended, and its state stand there yet. */
    if (*holder && syscall(SYS_tgkill, p->pid, *holder, 0) != 0 && errno == ESRCH)
        *holder = 0;
    return 0;
}
