/* SPDX-License-Identifier: MIT */
/* Which condition variable or semaphore is a GIL's: the rules at the head of library.c. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "library.h"

enum {
    LOCKS = PRELOAD_LOCKS,
    TEXTS = 8,
    LOOKS_MAX = 1000, /* for the interpreter, as long as none is known */
    SEMAPHORES = 256,
    SEMAPHORE_SURE = 8, /* times that a thread posted and then awaited the same one */
};

/* From `cond` to `switch_cond` in the GIL's structure: itself, and a mutex. */
#define COND_TO_OTHER (sizeof(pthread_cond_t) + sizeof(pthread_mutex_t))

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* Guarded by `guard`, but for reading: a lock counts once `lock_count` says so, and its addresses
 * may become known later. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct lock locks[LOCKS];
static _Atomic unsigned lock_count;

/* ---- the interpreter's text ---- */

static struct {
    _Atomic uintptr_t begin, end;
} texts[TEXTS];
static _Atomic unsigned text_count;
static _Atomic unsigned looks;

static bool is_python_library(const char *path) {
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, "libpython", 9) == 0;
}

struct search {
    bool libraries; /* look at libpython*, else at the program itself */
    unsigned found;
};

static int look_at_object(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    struct search *s = arg;
    bool program = info->dlpi_name[0] == '\0';
    if (s->libraries ? !is_python_library(info->dlpi_name) : !program || s->found)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && s->found < TEXTS; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        texts[s->found].begin = begin;
        texts[s->found++].end = begin + part->p_memsz;
    }
    return 0;
}

/* Under the guard. The program is the interpreter if no libpython is there (it may be loaded
 * later). */
static void look_for_text(void) {
    struct search s = {.libraries = true};
    dl_iterate_phdr(look_at_object, &s);
    if (s.found == 0) {
        s.libraries = false;
        dl_iterate_phdr(look_at_object, &s);
    }
    atomic_store_explicit(&text_count, s.found, memory_order_release);
}

static bool in_text(uintptr_t caller) {
    unsigned n = atomic_load_explicit(&text_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (caller >= GET(texts[i].begin) && caller < GET(texts[i].end))
            return true;
    }
    return false;
}

static bool from_interpreter(uintptr_t caller) {
    if (in_text(caller))
        return true;
    if (GET(lock_count) || atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed) > LOOKS_MAX)
        return false;
    pthread_mutex_lock(&guard);
    look_for_text();
    pthread_mutex_unlock(&guard);
    return in_text(caller);
}

/* ---- locks by their addresses ---- */

static struct lock *find(uintptr_t address, enum role *role) {
    unsigned n = atomic_load_explicit(&lock_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (GET(locks[i].cond) == address) {
            *role = ROLE_COND;
            return &locks[i];
        }
        if (GET(locks[i].other) == address) {
            *role = ROLE_OTHER;
            return &locks[i];
        }
    }
    *role = ROLE_NONE;
    return NULL;
}

static void publish(struct lock *l) {
    struct preload_lock *out = &rings_memory->lock[l->number];
    atomic_store_explicit(&out->address, GET(l->cond), memory_order_relaxed);
    atomic_store_explicit(&out->other, GET(l->other), memory_order_relaxed);
    atomic_store_explicit(&out->pid, (int)getpid(), memory_order_release);
}

/* Under the guard. */
static struct lock *add(uintptr_t cond, uintptr_t other, bool semaphore) {
    unsigned n = GET(lock_count);
    if (n == LOCKS)
        return NULL;
    unsigned number = atomic_fetch_add_explicit(&rings_memory->locks, 1, memory_order_relaxed);
    if (number >= PRELOAD_LOCKS) {
        atomic_fetch_add_explicit(&rings_memory->lockless, 1, memory_order_relaxed);
        return NULL;
    }
    locks[n] = (struct lock){
        .cond = cond, .other = other, .number = number, .semaphore = semaphore};
    publish(&locks[n]);
    atomic_store_explicit(&lock_count, n + 1, memory_order_release);
    return &locks[n];
}

/* Under the guard: where condition variables are used, what was taken for the GIL of 2.7 is an
 * ordinary lock, of the time before the GIL was made. */
static void forget_semaphore(void) {
    if (!GET(lock_count) || !locks[0].semaphore)
        return;
    atomic_store_explicit(&locks[0].cond, UINTPTR_MAX, memory_order_relaxed);
    atomic_store_explicit(&locks[0].other, UINTPTR_MAX, memory_order_relaxed);
    atomic_store(&rings_memory->lock[locks[0].number].pid, -1);
}

/* Under the guard: the lock whose other half an address is; NULL: of none. */
static struct lock *half(uintptr_t address, enum role role) {
    struct lock *newest = NULL;
    for (unsigned i = 0; i < GET(lock_count); i++) {
        struct lock *l = &locks[i];
        uintptr_t cond = GET(l->cond), other = GET(l->other);
        if (role == ROLE_COND ? cond != 0 : other != 0)
            continue;
        if (role == ROLE_COND ? address + COND_TO_OTHER == other
                              : cond + COND_TO_OTHER == address)
            return l;
        newest = l;
    }
    return newest;
}

/* Under the guard: an address that is not known yet, in a role. */
static struct lock *learn(uintptr_t address, enum role role) {
    forget_semaphore();
    struct lock *l = half(address, role);
    if (!l)
        return role == ROLE_COND ? add(address, 0, false) : add(0, address, false);
    atomic_store_explicit(role == ROLE_COND ? &l->cond : &l->other, address, memory_order_relaxed);
    publish(l);
    return l;
}

struct lock *locks_signalled(uintptr_t address, uintptr_t caller, enum role *role) {
    struct lock *l = find(address, role);
    if (l || !from_interpreter(caller))
        return l;
    pthread_mutex_lock(&guard);
    l = find(address, role);
    if (!l) {
        /* The first that is signalled of a GIL tells that it was taken. */
        *role = half(address, ROLE_COND) ? ROLE_COND : ROLE_OTHER;
        l = learn(address, *role);
    }
    pthread_mutex_unlock(&guard);
    return l;
}

struct lock *locks_awaited(uintptr_t address, uintptr_t caller, enum role role) {
    enum role known;
    struct lock *l = find(address, &known);
    if ((l && known == role) || !from_interpreter(caller))
        return known == role ? l : NULL;
    pthread_mutex_lock(&guard);
    l = find(address, &known);
    if (!l) {
        l = learn(address, role);
    } else if (known != role) {
        /* What it was taken for, from the order of the signals, was the wrong way round. */
        uintptr_t cond = GET(l->cond), other = GET(l->other);
        atomic_store_explicit(&l->cond, other, memory_order_relaxed);
        atomic_store_explicit(&l->other, cond, memory_order_relaxed);
        publish(l);
    }
    pthread_mutex_unlock(&guard);
    return l;
}

/* ---- 2.7 ---- */

static struct {
    _Atomic uintptr_t address;
    _Atomic unsigned count;
} semaphores[SEMAPHORES];
static __thread uintptr_t posted; /* by this thread, with no other semaphore since; or 0 */

/* Where condition variables are known it is a GIL of 3.2 or later, and semaphores are ordinary
 * locks. */
static struct lock *known_semaphore(uintptr_t semaphore, bool *other_kind) {
    unsigned n = atomic_load_explicit(&lock_count, memory_order_acquire);
    *other_kind = false;
    if (n == 0)
        return NULL;
    *other_kind = GET(locks[0].cond) != semaphore;
    return *other_kind ? NULL : &locks[0];
}

struct lock *locks_posted(uintptr_t semaphore, uintptr_t caller) {
    bool other_kind;
    struct lock *l = known_semaphore(semaphore, &other_kind);
    if (!l && !other_kind)
        posted = from_interpreter(caller) ? semaphore : 0;
    return l;
}

struct lock *locks_tried(uintptr_t semaphore) {
    bool other_kind;
    posted = 0;
    return known_semaphore(semaphore, &other_kind);
}

struct lock *locks_semaphore(uintptr_t semaphore, uintptr_t caller) {
    bool other_kind;
    struct lock *l = known_semaphore(semaphore, &other_kind);
    if (l || other_kind)
        return l;
    bool again = posted == semaphore && from_interpreter(caller);
    posted = 0;
    if (!again)
        return NULL;
    unsigned at = ((unsigned)(semaphore >> 4) * 2654435761u) >> 24;
    uintptr_t none = 0;
    if (!atomic_compare_exchange_strong(&semaphores[at].address, &none, semaphore)
        && none != semaphore)
        return NULL; /* another one has the place: this one is not looked for */
    if (atomic_fetch_add(&semaphores[at].count, 1) + 1 < SEMAPHORE_SURE)
        return NULL;
    pthread_mutex_lock(&guard);
    l = GET(lock_count) ? known_semaphore(semaphore, &other_kind) : add(semaphore, 0, true);
    pthread_mutex_unlock(&guard);
    return l;
}

/* The child has the parent's locks at the same places, under numbers of its own. */
void locks_forked(void) {
    unsigned n = GET(lock_count), kept = 0;
    pthread_mutex_init(&guard, NULL);
    for (unsigned i = 0; i < n; i++) {
        unsigned number = atomic_fetch_add_explicit(&rings_memory->locks, 1, memory_order_relaxed);
        if (number >= PRELOAD_LOCKS) {
            atomic_fetch_add_explicit(&rings_memory->lockless, 1, memory_order_relaxed);
            break;
        }
        locks[i].number = number;
        locks[i].last = NULL;
        publish(&locks[i]);
        kept++;
    }
    atomic_store(&lock_count, kept);
}
