/* SPDX-License-Identifier: MIT */
/* Which CPUs a thread may run on, and which worker it therefore waits for; the idea is in
 * place.c. */
#ifndef HD__SCHED_PLACE_H
#define HD__SCHED_PLACE_H

#include "os/topology.h"
#include "sched/worker.h"

/* The CPUs that the process may use; they change (follow.h). */
void hd__place_allowed(hd_cpuset *out);

/* Whether attributes say more of the place than a set of CPUs: then the topology must have been
 * made, and hd__place_resolve() replaces attr->cpus, with *set as memory. -EINVAL: out of range,
 * there is no such node, or no CPU is left. */
static inline bool hd__place_wanted(const struct hd_attr *attr) {
    return attr->numa_node != 0 || attr->migration > HD_MIGRATE_ALLOWED;
}
int hd__place_resolve(struct hd_attr *attr, hd_cpuset *set);

/* Queues a thread that is restricted to CPUs for a worker that suits. */
void hd__sched_place(hd_thread *t);
/* That worker; *several: whether others would suit as well. */
struct hd__worker *hd__place_choose(hd_thread *t, bool *several);

/* Around the time that such a thread spends in the queue of one worker while others suit: before it
 * is put there; afterwards, when it may be gone already (`set` are its CPUs, w is where it was put,
 * `woken`: and was woken for it); when it is taken out. */
void hd__place_share(hd_thread *t, hd_cpuset *set);
void hd__place_shared(const hd_cpuset *set, const struct hd__worker *w, bool woken);
void hd__place_unshare(hd_thread *t);

/* For a worker w that has nothing to do: a thread that waits for another worker, and suits. any: is
 * there one, as far as w looks? */
hd_thread *hd__place_take(struct hd__worker *w);
bool hd__place_any(const struct hd__worker *w);
bool hd__place_suits(const struct hd__worker *w, const hd_thread *t);

/* Binds w's carrier to the CPUs of t, which runs next (NULL: of any ordinary thread). */
void hd__sched_set_affinity(struct hd__worker *w, hd_thread *t);
/* Whether it is bound to what it is for ordinary threads. */
bool hd__place_is_ordinary(struct hd__worker *w);

/* Changes and reads the CPUs of a living thread; NULL: any. 0, -EINVAL, -ENOMEM. The caller, if it
 * is t, goes on on these CPUs. */
int hd__place_set_cpus(hd_thread *t, const hd_cpuset *cpus);
void hd__place_get_cpus(hd_thread *t, hd_cpuset *out);

#endif
