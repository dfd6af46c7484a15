/* SPDX-License-Identifier: MIT */
/* Data of which each worker has an instance of its own: caches, statistics, free lists.
 *
 *     struct tally { uint64_t hits, misses; };
 *     hd_percpu *tallies;
 *     hd_percpu_create(&tallies, sizeof(struct tally), NULL, NULL);
 *
 *     struct tally *t = hd_percpu_enter(tallies);
 *     t->hits++;                                   // no lock, no atomic instruction
 *     hd_percpu_leave(tallies, t);
 *
 * Between the two the caller is not preempted, so it stays on its worker and nobody else is at that
 * worker's instance: provided that it neither waits nor yields there, nor calls hd_blocking().
 *
 * Instances are numbered like workers and belong to the process, not to the runtime: if another
 * runtime is started, or the number of workers changes, worker i goes on with instance i. Those of
 * workers that are no more keep what is in them, and hd_percpu_each() visits them. */
#ifndef HEDDLE_PERCPU_H
#define HEDDLE_PERCPU_H

#include <heddle/base.h>

HD_BEGIN_DECLS

typedef struct hd_percpu hd_percpu;

/* What is done with one instance. */
typedef void (*hd_percpu_fn)(void *instance, void *arg);

/* Makes data of `size` bytes for each worker, each aligned to, and filling, whole cache lines.
 * An instance is made when its worker first asks for it: it is all zero, and `init`, if not NULL,
 * is called with it and `arg`, under the conditions that hold after hd_percpu_enter(). 0, -EINVAL
 * (size is 0), -ENOMEM. From anywhere but signal handlers; does not block. */
HD_API int hd_percpu_create(hd_percpu **out, size_t size, hd_percpu_fn init, void *arg);

/* Gives the instances back, with what hd_percpu_each() would visit. Nobody may use them any more.
 * NULL: does nothing. */
HD_API void hd_percpu_destroy(hd_percpu *p);

/* Disables preemption and returns the instance of the caller's worker, for the caller alone until
 * it calls hd_percpu_leave() with it. May be nested, of several hd_percpu as well. A foreign kernel
 * thread gets one that all of them share, one at a time: it waits until that is free, and must not
 * nest. So does a thread when there is no memory for its worker's instance. Not from signal
 * handlers. */
HD_API void *hd_percpu_enter(hd_percpu *p);
HD_API void hd_percpu_leave(hd_percpu *p, void *instance);

/* The instance of the worker that the caller is on, without keeping it there: for callers that have
 * disabled preemption themselves (hd_preempt_disable()), or to whom it is a hint, say which of many
 * atomic variables to use. On a foreign kernel thread the shared one. */
HD_API void *hd_percpu_get(hd_percpu *p);

/* Calls fn with each instance that was made, the foreign threads' included. Reading what is written
 * at the same time is for the caller to make right: with atomics, or at rest (when those who wrote
 * have been joined). fn may do what it likes but destroy p. */
HD_API void hd_percpu_each(hd_percpu *p, hd_percpu_fn fn, void *arg);

HD_END_DECLS
#endif
