/* SPDX-License-Identifier: MIT */
/* The subject pthread: the C library's kernel threads, with default attributes but for the size
 * of the stack (see SUBJECT_STACK_BYTES). "Workers" are the CPUs that the process may use. */
#ifndef HEDDLE_BENCH_SUBJECT_PTHREAD_H
#define HEDDLE_BENCH_SUBJECT_PTHREAD_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <time.h>

/* A thread per call or leaf makes sense up to here: all may be alive at once, and a system has
 * room for about 32,000 (pid_max, max_map_count). */
#define SUBJECT_LIMIT 20000

typedef pthread_t subject_thread;
typedef sem_t subject_sem;

/* A read lock that the opener holds for writing until it opens the gate: one system call lets
 * everybody through, without the stampede on a mutex that a condition variable brings. */
typedef pthread_rwlock_t subject_gate;

/* One copy a program, shared by its workloads: defined in subject_pthread.c. */
extern pthread_attr_t subject_pthread_attr;
int subject_pthread_prepare(const struct subject_setup *setup);

static inline int subject_run(const struct subject_setup *setup, int (*body)(void *), void *arg) {
    int error = subject_pthread_prepare(setup);
    return error ? error : body(arg);
}

static inline int subject_spawn(subject_thread *t, void *(*fn)(void *), void *arg) {
    return pthread_create(t, &subject_pthread_attr, fn, arg);
}

static inline int subject_spawn_at(subject_thread *t, unsigned n, void *(*fn)(void *), void *arg) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(bench_cpu(n), &set);
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (!error) {
        error = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
    }
    if (!error) {
        error = pthread_create(t, &attr, fn, arg);
    }
    pthread_attr_destroy(&attr);
    return error;
}

static inline int subject_spawn_high(subject_thread *t, void *(*fn)(void *), void *arg) {
    const struct sched_param high = {.sched_priority = 10};
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (!error) {
        pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
        pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
        pthread_attr_setschedparam(&attr, &high);
        error = pthread_create(t, &attr, fn, arg);
        pthread_attr_destroy(&attr);
    }
    return error;
}

#define SUBJECT_CHOICES

static inline int subject_spawn_as(subject_thread *t, const struct subject_choice *choice,
                                   void *(*fn)(void *), void *arg) {
    if (!choice->pinned) {
        return pthread_create(t, &subject_pthread_attr, fn, arg);
    }
    cpu_set_t set;
    size_t stack;
    CPU_ZERO(&set);
    CPU_SET(bench_cpu(choice->n), &set);
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (!error) {
        pthread_attr_getstacksize(&subject_pthread_attr, &stack);
        pthread_attr_setstacksize(&attr, stack);
        pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
        error = pthread_create(t, &attr, fn, arg);
        pthread_attr_destroy(&attr);
    }
    return error;
}

/* A nice value, which Linux keeps for each thread. */
static inline int subject_priority_take(int priority) {
    return setpriority(PRIO_PROCESS, 0, -5 * priority) == 0 ? 0 : errno;
}

extern pthread_key_t subject_pthread_key; /* lifecycle's, in subject_pthread.c */

static inline int subject_local_init(void) {
    return pthread_key_create(&subject_pthread_key, NULL);
}

static inline void subject_local_set(void *value) {
    pthread_setspecific(subject_pthread_key, value);
}

static inline int subject_fork(subject_thread *t, void *(*fn)(void *), void *arg) {
    return subject_spawn(t, fn, arg);
}

static inline void subject_join(subject_thread *t) {
    pthread_join(*t, NULL);
}

static inline void subject_yield(void) {
    sched_yield();
}

static inline void subject_sleep_us(uint64_t us) {
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
        continue;
    }
}

static inline void subject_sleep_until(uint64_t deadline_ns) {
    struct timespec t = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        continue;
    }
}

static inline void subject_sem_init(subject_sem *s, unsigned n) {
    sem_init(s, 0, n);
}

static inline void subject_sem_wait(subject_sem *s) {
    while (sem_wait(s) != 0) {
        continue;
    }
}

static inline void subject_sem_post(subject_sem *s) {
    sem_post(s);
}

static inline void subject_gate_init(subject_gate *g) {
    pthread_rwlock_init(g, NULL);
    pthread_rwlock_wrlock(g);
}

static inline void subject_gate_wait(subject_gate *g) {
    pthread_rwlock_rdlock(g);
    pthread_rwlock_unlock(g);
}

static inline void subject_gate_open(subject_gate *g) {
    pthread_rwlock_unlock(g);
}

static inline const char *subject_guard(void) {
    return "mprotect";
}

#endif
