/* SPDX-License-Identifier: MIT */
/* The library that a target is launched with. It stands before the C library's functions by which
 * CPython's GIL is taken and let go, and writes down their calls (shared.h).
 *
 * Which calls are about a GIL, nobody tells it; the interpreter may be static and stripped. The
 * rules, from the interpreters' sources:
 *
 * - 3.2 and later: take_gil() waits by pthread_cond_timedwait(cond) with the switch interval for
 *   a time limit, and when it has the GIL, signals `switch_cond`; drop_gil() signals `cond`, and
 *   after a forced release waits by pthread_cond_wait(switch_cond) until somebody has it. The
 *   interpreter itself uses condition variables for nothing else, and the very first signal of each
 *   GIL is of its taking. So: only calls from the interpreter's own text count; an address that was
 *   waited for with a time limit is a `cond`; one that was waited for without, or was signalled
 *   first, a `switch_cond`; the two lie as far from each other as the structure has them (3.7 and
 *   later), or the second comes after the first.
 * - 2.7: the GIL is a semaphore, among those of all locks. It is the one that a thread posts and
 *   then waits for itself, again and again, with no other in between: the evaluation loop does that
 *   each hundred instructions, as long as there is more than one thread. Other locks are tried
 *   first without waiting, or have the GIL let go and taken around them.
 *
 * All of a lock's fields but its addresses are written by who has the GIL, or its mutex. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "library.h"

#define EXPORTED __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

/* ---- the C library's own ---- */

typedef int cond_call(pthread_cond_t *);
typedef int cond_wait_call(pthread_cond_t *, pthread_mutex_t *);
typedef int cond_timedwait_call(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
typedef int sem_call(sem_t *);
typedef int create_call(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static cond_call *real_signal;
static cond_wait_call *real_wait;
static cond_timedwait_call *real_timedwait;
static sem_call *real_sem_wait, *real_sem_trywait, *real_sem_post;
static create_call *real_create;

/* Of functions with two versions the default one: the older takes another structure. */
static void *next(const char *name, const char *version) {
    void *at = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    return at ? at : dlsym(RTLD_NEXT, name);
}

#ifdef __x86_64__
#define COND_VERSION "GLIBC_2.3.2"
#else
#define COND_VERSION NULL /* there is one only */
#endif

/* Before the constructor, too: those of other libraries may come first. Several threads would all
 * write the same. */
static void resolve(void) {
    if (real_create)
        return;
    real_signal = (cond_call *)next("pthread_cond_signal", COND_VERSION);
    real_wait = (cond_wait_call *)next("pthread_cond_wait", COND_VERSION);
    real_timedwait = (cond_timedwait_call *)next("pthread_cond_timedwait", COND_VERSION);
    real_sem_wait = (sem_call *)next("sem_wait", NULL);
    real_sem_trywait = (sem_call *)next("sem_trywait", NULL);
    real_sem_post = (sem_call *)next("sem_post", NULL);
    real_create = (create_call *)next("pthread_create", NULL);
}

/* ---- what stands before it ---- */

EXPORTED int pthread_cond_signal(pthread_cond_t *cond) {
    resolve();
    if (rings_memory) {
        enum role role;
        struct lock *l = locks_signalled((uintptr_t)cond, CALLER, &role);
        if (l && role == ROLE_COND)
            rings_drop(l);
        else if (l)
            rings_got(l);
    }
    return real_signal(cond);
}

EXPORTED int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                    const struct timespec *until) {
    resolve();
    struct lock *l = rings_memory ? locks_awaited((uintptr_t)cond, CALLER, ROLE_COND) : NULL;
    if (!l)
        return real_timedwait(cond, mutex, until);
    rings_want(l);
    uint64_t takes = l->takes;
    int rc = real_timedwait(cond, mutex, until);
    if (rc == ETIMEDOUT)
        rings_force(l, takes);
    return rc;
}

EXPORTED int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    resolve();
    struct lock *l = rings_memory ? locks_awaited((uintptr_t)cond, CALLER, ROLE_OTHER) : NULL;
    if (!l)
        return real_wait(cond, mutex);
    rings_switch_begin();
    int rc = real_wait(cond, mutex);
    rings_switch_end();
    return rc;
}

EXPORTED int sem_post(sem_t *semaphore) {
    resolve();
    struct lock *l = rings_memory ? locks_posted((uintptr_t)semaphore, CALLER) : NULL;
    if (l)
        rings_drop(l);
    return real_sem_post(semaphore);
}

EXPORTED int sem_wait(sem_t *semaphore) {
    resolve();
    struct lock *l = rings_memory ? locks_semaphore((uintptr_t)semaphore, CALLER) : NULL;
    if (!l)
        return real_sem_wait(semaphore);
    /* sem_wait() begins with the same attempt. */
    int saved = errno, rc = real_sem_trywait(semaphore);
    if (rc != 0) {
        errno = saved;
        rings_want(l);
        rc = real_sem_wait(semaphore);
    }
    if (rc == 0)
        rings_got(l);
    return rc;
}

/* Of Python 2.7's attempts, which take a lock without waiting. */
EXPORTED int sem_trywait(sem_t *semaphore) {
    resolve();
    int rc = real_sem_trywait(semaphore);
    if (rc == 0 && rings_memory) {
        struct lock *l = locks_tried((uintptr_t)semaphore);
        if (l)
            rings_got(l);
    }
    return rc;
}

/* ---- threads ---- */

struct start {
    void *(*function)(void *);
    void *argument;
    int parent;
};

static void ended(void *unused) {
    (void)unused;
    rings_ended();
}

static void *begin(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    void *result;
    rings_born(start.parent);
    pthread_cleanup_push(ended, NULL);
    result = start.function(start.argument);
    pthread_cleanup_pop(1);
    return result;
}

EXPORTED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                            void *(*function)(void *), void *argument) {
    resolve();
    struct start *start = rings_memory ? malloc(sizeof(*start)) : NULL;
    if (!start)
        return real_create(thread, attributes, function, argument);
    *start = (struct start){function, argument, (int)syscall(SYS_gettid)};
    int rc = real_create(thread, attributes, begin, start);
    if (rc != 0)
        free(start);
    return rc;
}

static void forked(void) {
    if (!rings_memory)
        return;
    rings_forked();
    if (!rings_memory->follow) {
        rings_memory = NULL; /* the mapping stays: nothing is written into it */
        return;
    }
    locks_forked();
    atomic_fetch_add(&rings_memory->processes, 1);
}

/* ---- the beginning ---- */

/* Takes this library out of the environment, for the programs that this one starts. */
static void leave_environment(void) {
    unsetenv(PRELOAD_ENVIRONMENT);
    const char *list = getenv("LD_PRELOAD");
    if (!list)
        return;
    size_t first = strcspn(list, ": ");
    size_t name = strlen(PRELOAD_LIBRARY);
    if (first < name || strncmp(list + first - name, PRELOAD_LIBRARY, name) != 0)
        return;
    if (list[first])
        setenv("LD_PRELOAD", list + first + 1, 1);
    else
        unsetenv("LD_PRELOAD");
}

/* Maps the memory that the environment names, if it is what it says; else returns NULL. */
static struct preload_shared *map(const char *where) {
    char *rest;
    uint64_t cookie = strtoull(where, &rest, 16);
    struct stat st;
    if (*rest != ':')
        return NULL;
    int fd = open(rest + 1, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct preload_shared *memory = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(*memory))
        memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return NULL;
    if (memory->cookie == cookie && memory->version == PRELOAD_VERSION
        && memory->bytes == sizeof(*memory)
        && (memory->follow || atomic_load(&memory->launched) == (int)getpid()))
        return memory;
    munmap(memory, sizeof(*memory));
    return NULL;
}

__attribute__((constructor)) static void start(void) {
    resolve();
    const char *where = getenv(PRELOAD_ENVIRONMENT);
    int saved = errno;
    struct preload_shared *memory = where ? map(where) : NULL;
    if (!memory) {
        leave_environment();
        errno = saved;
        return;
    }
    pthread_atfork(NULL, NULL, forked);
    atomic_fetch_add(&memory->processes, 1);
    rings_memory = memory;
    errno = saved;
}
