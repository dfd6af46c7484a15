/* SPDX-License-Identifier: MIT */
/* The subject heddle: this library, through its public interface. */
#ifndef HEDDLE_BENCH_SUBJECT_HEDDLE_H
#define HEDDLE_BENCH_SUBJECT_HEDDLE_H

#include <heddle/heddle.h>

#define SUBJECT_LIMIT 0

typedef hd_thread *subject_thread;
typedef hd_sem subject_sem;
typedef hd_event subject_gate;

static inline int subject_run(const struct subject_setup *setup, int (*body)(void *), void *arg) {
    size_t stack = setup->stack_size ? setup->stack_size : SUBJECT_STACK_BYTES;
    int result = hd_run(HD_CONFIG(.workers = setup->workers, .stack_size = stack,
                                  .bind_workers = setup->pinned),
                        body, arg);
    if (result < 0) {
        return bench_error("hd_run: %s", hd_strerror(result));
    }
    return result;
}

static inline int subject_spawn(subject_thread *t, void *(*fn)(void *), void *arg) {
    return -hd_spawn(t, NULL, fn, arg);
}

static inline int subject_spawn_at(subject_thread *t, unsigned n, void *(*fn)(void *), void *arg) {
    hd_cpuset cpus = {{0}};
    hd_cpuset_add(&cpus, bench_cpu(n));
    return -hd_spawn(t, HD_ATTR(.cpus = &cpus), fn, arg);
}

static inline int subject_spawn_high(subject_thread *t, void *(*fn)(void *), void *arg) {
    return -hd_spawn(t, HD_ATTR(.priority = 20), fn, arg);
}

#define SUBJECT_CHOICES

static inline int subject_spawn_as(subject_thread *t, const struct subject_choice *choice,
                                   void *(*fn)(void *), void *arg) {
    hd_cpuset cpus = {{0}};
    hd_cpuset_add(&cpus, bench_cpu(choice->n));
    return -hd_spawn(t, HD_ATTR(.cpus = choice->pinned ? &cpus : NULL,
                                .priority = 10 + 5 * choice->priority),
                     fn, arg);
}

static inline int subject_priority_take(int priority) {
    (void)priority; /* it came with the attributes */
    return 0;
}

extern hd_key subject_heddle_key; /* lifecycle's, in subject_heddle.c */

static inline int subject_local_init(void) {
    return -hd_key_create(&subject_heddle_key, NULL);
}

static inline void subject_local_set(void *value) {
    hd_set(subject_heddle_key, value);
}

static inline int subject_fork(subject_thread *t, void *(*fn)(void *), void *arg) {
    return -hd_spawn(t, NULL, fn, arg);
}

static inline void subject_join(subject_thread *t) {
    hd_join(*t, NULL);
}

static inline void subject_yield(void) {
    hd_yield();
}

static inline void subject_sleep_us(uint64_t us) {
    hd_sleep_for(us * 1000);
}

static inline void subject_sleep_until(uint64_t deadline_ns) {
    hd_sleep_until(deadline_ns);
}

static inline void subject_sem_init(subject_sem *s, unsigned n) {
    *s = (hd_sem)HD_SEM_INIT(n);
}

static inline void subject_sem_wait(subject_sem *s) {
    hd_sem_wait(s);
}

static inline void subject_sem_post(subject_sem *s) {
    hd_sem_post(s);
}

static inline void subject_gate_init(subject_gate *g) {
    *g = (hd_event)HD_EVENT_INIT;
}

static inline void subject_gate_wait(subject_gate *g) {
    hd_event_wait(g);
}

static inline void subject_gate_open(subject_gate *g) {
    hd_event_set(g);
}

static inline const char *subject_guard(void) {
    return hd_stack_guard_kind();
}

#endif
