/* SPDX-License-Identifier: MIT */
/* Locks and waits. All objects are ready when all zero (or by their INIT), need no destruction,
 * and are used alike by threads and by foreign kernel threads. Waiting parks the thread, not its
 * worker. Deadlines are absolute, hd_now_ns() + n; HD_FOREVER never comes; one in the past makes
 * a call that would wait return -ETIMEDOUT at once. None may be used from a signal handler. */
#ifndef HEDDLE_SYNC_H
#define HEDDLE_SYNC_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* ---- mutex: one owner at a time, not recursive. ---- */
typedef struct hd_mutex {
    uint64_t opaque[6];
} hd_mutex;
#define HD_MUTEX_INIT { { 0 } }

/* Waits until the mutex is free and takes it. Not interrupted by hd_interrupt(). */
HD_API void hd_mutex_lock(hd_mutex *m);
/* Takes it if it is free. */
HD_API bool hd_mutex_trylock(hd_mutex *m);
/* As lock; -ETIMEDOUT at the deadline, -EINTR when interrupted; 0 when taken. */
HD_API int hd_mutex_lock_until(hd_mutex *m, uint64_t deadline_ns);
/* Gives it back; by the owner only: everybody else aborts with a message, as does an owner that
 * locks it again. May yield, where others wait that this worker has to run. */
HD_API void hd_mutex_unlock(hd_mutex *m);

/* ---- cond: waits for a condition guarded by a mutex. Wake-ups may be spurious. ---- */
typedef struct hd_cond {
    uint64_t opaque[3];
} hd_cond;
#define HD_COND_INIT { { 0 } }

/* Gives m back, waits for a signal, takes m again, in all cases. 0 or -EINTR. */
HD_API int hd_cond_wait(hd_cond *c, hd_mutex *m);
/* As wait; -ETIMEDOUT at the deadline (m is held again). */
HD_API int hd_cond_wait_until(hd_cond *c, hd_mutex *m, uint64_t deadline_ns);
/* Wakes one waiter, if there is one. With or without m held. */
HD_API void hd_cond_signal(hd_cond *c);
/* Wakes all present waiters. */
HD_API void hd_cond_broadcast(hd_cond *c);

/* ---- sem: a counting semaphore. The count is at most 2^31 - 1; more aborts. ---- */
typedef struct hd_sem {
    uint64_t opaque[4];
} hd_sem;
/* Starts with n permits. */
#define HD_SEM_INIT(n) { { (uint64_t)(n), 0, 0, 0 } }

/* Takes one permit, waiting for it. 0 or -EINTR. */
HD_API int hd_sem_wait(hd_sem *s);
/* Takes one permit if there is one. */
HD_API bool hd_sem_trywait(hd_sem *s);
/* As wait; -ETIMEDOUT at the deadline. */
HD_API int hd_sem_wait_until(hd_sem *s, uint64_t deadline_ns);
/* Adds a permit and wakes a waiter. Never blocks. */
HD_API void hd_sem_post(hd_sem *s);

/* ---- rwlock: any number of readers, or one writer. Readers and writers take turns: neither wait
 * for ever. Not recursive: a reader that reads again while a writer waits would wait for itself.
 * The unlocks are by those who hold it, never block, and abort with a message where the lock is
 * free (or a writer's call comes from another thread). ---- */
typedef struct hd_rwlock {
    uint64_t opaque[9];
} hd_rwlock;
#define HD_RWLOCK_INIT { { 0 } }

/* Waits until no writer has it, nor waits for it, and takes it for reading. Not interrupted by
 * hd_interrupt(). */
HD_API void hd_rwlock_rdlock(hd_rwlock *l);
/* Takes it for reading if that needs no wait. */
HD_API bool hd_rwlock_tryrdlock(hd_rwlock *l);
/* As rdlock; -ETIMEDOUT at the deadline, -EINTR when interrupted; 0 when taken. */
HD_API int hd_rwlock_rdlock_until(hd_rwlock *l, uint64_t deadline_ns);
/* Gives it back. */
HD_API void hd_rwlock_rdunlock(hd_rwlock *l);
/* Waits until nobody has it and takes it for writing. Not interrupted by hd_interrupt(). */
HD_API void hd_rwlock_wrlock(hd_rwlock *l);
/* Takes it for writing if nobody has it. */
HD_API bool hd_rwlock_trywrlock(hd_rwlock *l);
/* As wrlock; -ETIMEDOUT at the deadline, -EINTR when interrupted; 0 when taken. */
HD_API int hd_rwlock_wrlock_until(hd_rwlock *l, uint64_t deadline_ns);
/* Gives it back; by the writer only. */
HD_API void hd_rwlock_wrunlock(hd_rwlock *l);

/* ---- barrier: n parties wait for one another, round after round. ---- */
typedef struct hd_barrier {
    uint64_t opaque[4];
} hd_barrier;
/* For n parties, 1 to 2^32 - 1. */
#define HD_BARRIER_INIT(n) { { (uint64_t)(n), 0, 0, 0 } }

/* Waits until n parties have come. True for exactly one of them, the last. Not interrupted by
 * hd_interrupt(). A barrier for none aborts with a message. */
HD_API bool hd_barrier_wait(hd_barrier *b);
/* As wait: 1 for the last party, 0 for the others. -ETIMEDOUT at the deadline, -EINTR when
 * interrupted: then the caller does not count as having come, and the others wait on. */
HD_API int hd_barrier_wait_until(hd_barrier *b, uint64_t deadline_ns);

/* ---- waitgroup: waits until a count of outstanding pieces of work is zero. ---- */
typedef struct hd_waitgroup {
    uint64_t opaque[4];
} hd_waitgroup;
#define HD_WAITGROUP_INIT { { 0 } }

/* Adds n (which may be negative) to the count. A count below zero aborts with a message. */
HD_API void hd_waitgroup_add(hd_waitgroup *wg, int64_t n);
/* Takes one from the count; at zero all waiters go on. */
HD_API void hd_waitgroup_done(hd_waitgroup *wg);
/* Waits for zero. 0 or -EINTR. */
HD_API int hd_waitgroup_wait(hd_waitgroup *wg);
/* As wait; -ETIMEDOUT at the deadline. */
HD_API int hd_waitgroup_wait_until(hd_waitgroup *wg, uint64_t deadline_ns);

/* ---- event: a flag that can be waited for; stays set until reset. ---- */
typedef struct hd_event {
    uint64_t opaque[4];
} hd_event;
#define HD_EVENT_INIT { { 0 } }

/* Sets it and wakes all waiters. */
HD_API void hd_event_set(hd_event *e);
/* Clears it. */
HD_API void hd_event_reset(hd_event *e);
/* Whether it is set. */
HD_API bool hd_event_is_set(const hd_event *e);
/* Waits until it is set. 0 or -EINTR. */
HD_API int hd_event_wait(hd_event *e);
/* As wait; -ETIMEDOUT at the deadline. */
HD_API int hd_event_wait_until(hd_event *e, uint64_t deadline_ns);

/* ---- once: runs a function one time. ---- */
typedef struct hd_once {
    uint64_t opaque[4];
} hd_once;
#define HD_ONCE_INIT { { 0 } }

/* Runs fn(arg) unless it ran already through this object; returns when it has run. A call from
 * within fn on the same object aborts with a message. Not interrupted by hd_interrupt(). */
HD_API void hd_once_call(hd_once *o, void (*fn)(void *arg), void *arg);
/* As call, but waits for another caller's function until the deadline only: 0 when it has run;
 * -ETIMEDOUT, -EINTR when interrupted. A function that this call runs itself is not cut short. */
HD_API int hd_once_call_until(hd_once *o, void (*fn)(void *arg), void *arg, uint64_t deadline_ns);

HD_END_DECLS
#endif
