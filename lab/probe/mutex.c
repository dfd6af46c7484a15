/* SPDX-License-Identifier: MIT */
/* What kind of lock a thread waits for, who has it, and how long all waits took; mutex.h. */
#include "probe/mutex.h"

#include <stdlib.h>
#include <string.h>

#include "probe/read.h"
#include "probe/threads.h"
#include "text.h"

enum {
    MUTEXES_MAX = 4096,
    TIDS_MAX = 4096,
    C_OWNER = 8, /* of glibc's pthread_mutex_t, where its futex is the first word */
    DEPTH = 6,   /* of functions, from the innermost on */
};

const char *probe_mutex_word(enum probe_mutex_kind kind) {
    static const char *const words[] = {
        [PROBE_MUTEX_NONE] = "no lock",          [PROBE_MUTEX_C] = "mutex",
        [PROBE_MUTEX_RW] = "read-write lock",    [PROBE_MUTEX_OTHER] = "lock",
        [PROBE_MUTEX_PYTHON] = "threading.Lock", [PROBE_MUTEX_RLOCK] = "threading.RLock",
    };
    return words[kind];
}

/* ---- kinds ---- */

enum probe_mutex_kind probe_mutex_of_functions(const struct probe_stacks *stacks, uint32_t native) {
    static const struct {
        const char *function; /* without the underscores that it begins with */
        enum probe_mutex_kind kind;
    } list[] = {
        {"pthread_mutex_lock", PROBE_MUTEX_C},        {"pthread_mutex_lock_full", PROBE_MUTEX_C},
        {"pthread_mutex_timedlock", PROBE_MUTEX_C},   {"pthread_mutex_clocklock", PROBE_MUTEX_C},
        {"pthread_mutex_cond_lock", PROBE_MUTEX_C},   {"pthread_rwlock_rdlock", PROBE_MUTEX_RW},
        {"pthread_rwlock_wrlock", PROBE_MUTEX_RW},
        {"pthread_rwlock_timedrdlock", PROBE_MUTEX_RW},
        {"pthread_rwlock_timedwrlock", PROBE_MUTEX_RW},
    };
    enum probe_mutex_kind kind = PROBE_MUTEX_NONE;
    for (unsigned depth = 0; native && depth < DEPTH; depth++) {
        const char *f = probe_stacks_frame(stacks, native)->function;
        if (strstr(f, "lock_contended")) /* Rust's */
            return PROBE_MUTEX_OTHER;
        f += strspn(f, "_");
        for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            if (strcmp(f, list[i].function) == 0)
                return list[i].kind;
        }
        if (lab_starts_with(f, "lll_lock_wait"))
            kind = PROBE_MUTEX_OTHER; /* unless a function further out says more */
        native = probe_stacks_outer(stacks, native);
    }
    return kind;
}

enum probe_mutex_kind probe_mutex_of_python(const struct probe_stacks *stacks, uint32_t python,
                                            const struct probe_python_lock *lock) {
    static const char *const waits[] = {"wait", "join", "_wait_for_tstate_lock", "_shutdown"};
    if (!python)
        return PROBE_MUTEX_NONE; /* it may be anything */
    const struct probe_frame *f = probe_stacks_frame(stacks, python);
    const char *base = f->file ? strrchr(f->file, '/') : NULL;
    const char *dot = strrchr(f->function, '.'), *name = dot ? dot + 1 : f->function;
    for (size_t i = 0; base && !lock->recursive && i < sizeof(waits) / sizeof(waits[0]); i++) {
        if (strcmp(base, "/threading.py") == 0 && strcmp(name, waits[i]) == 0)
            return PROBE_MUTEX_NONE;
    }
    return lock->recursive ? PROBE_MUTEX_RLOCK : PROBE_MUTEX_PYTHON;
}

pid_t probe_mutex_owner(pid_t pid, struct probe_python *python, enum probe_mutex_kind kind,
                        uint64_t address) {
    int32_t owner = 0;
    if (kind == PROBE_MUTEX_C &&
        probe_read_whole(pid, address + C_OWNER, &owner, sizeof(owner)) == 0)
        return owner > 0 ? owner : 0;
    if (kind == PROBE_MUTEX_RLOCK && python)
        return probe_python_lock_owner(
            python, &(struct probe_python_lock){.object = address, .recursive = true});
    return 0;
}

/* ---- sums ---- */

static void add_thread(struct probe_mutex *m, pid_t tid) {
    for (size_t i = 0; i < m->threads; i++) {
        if (m->tid[i] == tid)
            return;
    }
    if (m->threads == TIDS_MAX)
        return;
    m->tid = lab_grow_one(m->tid, m->threads, sizeof(*m->tid));
    m->tid[m->threads++] = tid;
}

static void add_way(struct probe_mutex *m, const struct probe_mutex_wait *wait, uint64_t ns) {
    size_t least = 0;
    for (size_t i = 0; i < PROBE_MUTEX_STACKS; i++) {
        struct probe_mutex_way *w = &m->way[i];
        if (w->ns && w->python == wait->python && w->native == wait->native) {
            w->ns += ns;
            return;
        }
        if (w->ns < m->way[least].ns)
            least = i;
    }
    if (m->way[least].ns < ns) /* the longer ones stay */
        m->way[least] = (struct probe_mutex_way){wait->python, wait->native, ns};
}

struct probe_mutex *probe_mutexes_add(struct probe_mutexes *m, pid_t pid,
                                      const struct probe_mutex_wait *wait, uint64_t ns) {
    size_t i = 0;
    while (i < m->count && !(m->list[i].address == wait->address && m->list[i].pid == pid &&
                             m->list[i].kind == wait->kind))
        i++;
    if (i == MUTEXES_MAX)
        return NULL;
    if (i == m->count) {
        m->list = lab_grow_one(m->list, m->count, sizeof(*m->list));
        m->list[m->count++] =
            (struct probe_mutex){.kind = wait->kind, .pid = pid, .address = wait->address};
    }
    struct probe_mutex *one = &m->list[i];
    one->ns += ns;
    one->count++;
    one->max_ns = ns > one->max_ns ? ns : one->max_ns;
    add_thread(one, wait->tid);
    add_way(one, wait, ns);
    return one;
}

static int by_ns(const void *a, const void *b) {
    const struct probe_mutex *x = a, *y = b;
    if (x->ns != y->ns)
        return x->ns > y->ns ? -1 : 1;
    return (x->address > y->address) - (x->address < y->address);
}

void probe_mutexes_sort(struct probe_mutexes *m) {
    if (m->count)
        qsort(m->list, m->count, sizeof(*m->list), by_ns);
}

void probe_mutexes_free(struct probe_mutexes *m) {
    for (size_t i = 0; i < m->count; i++) {
        free(m->list[i].name);
        free(m->list[i].tid);
    }
    free(m->list);
    *m = (struct probe_mutexes){0};
}

const struct probe_mutex_way *probe_mutex_main_way(const struct probe_mutex *m) {
    size_t most = 0;
    for (size_t i = 1; i < PROBE_MUTEX_STACKS; i++) {
        if (m->way[i].ns > m->way[most].ns)
            most = i;
    }
    return &m->way[most];
}

/* ---- words ---- */

char *probe_mutex_text(enum probe_mutex_kind kind, uint64_t address, const char *name) {
    const char *word = probe_mutex_word(kind);
    if (name && *name)
        return lab_format("the %s %s", word, name);
    return lab_format("the %s at 0x%llx", word, (unsigned long long)address);
}

char *probe_mutex_line(const struct probe_stacks *stacks, uint32_t python, uint32_t native) {
    const struct probe_frame *f = NULL;
    for (uint32_t node = python; node; node = probe_stacks_outer(stacks, node)) {
        const struct probe_frame *one = probe_stacks_frame(stacks, node);
        const char *base = one->file ? strrchr(one->file, '/') : NULL;
        f = f ? f : one;
        if (!base || (strcmp(base, "/threading.py") != 0 && strcmp(base, "/queue.py") != 0)) {
            f = one; /* the program's own line */
            break;
        }
    }
    if (!f)
        return probe_stack_words(stacks, native, 4);
    const char *base = f->file ? strrchr(f->file, '/') : NULL;
    char *text = lab_format("%s:%d (%s)", base ? base + 1 : f->file ? f->file : "?", f->line,
                            f->function);
    lab_make_printable(text);
    return text;
}
