/* SPDX-License-Identifier: MIT */
/* Threads that own objects: found by their tokens, each with a queue of objects that others handed
 * to it. The protocol is in ref.c.
 *
 * A thread is registered from its first object to its end, in a hash table of shards, each with a
 * lock and buckets that grow with it. Handing over and unregistering take the shard's lock, so an
 * object is queued while its owner is sure to look again, or its owner is known to have ended.
 *
 * What belongs to a thread hangs on its table of values (thread/tls.h), which ends with it, for
 * foreign kernel threads as well. Threads that own no object and see none die have nothing. */
#include "mem/ref.h"

#include "base/spin.h"
#include "os/mem.h"
#include "sched/look.h"
#include "sched/wait.h"
#include "thread/tls.h"

enum { SHARDS = 64, FEW = 4, FULL = 2 };

struct shard {
    hd__spin lock; /* guards all of it, the links of those in it, and their queues */
    uint32_t count;
    uint32_t size;             /* a power of two; 0: `few`, FEW of them */
    struct hd__refs **buckets;
    struct hd__refs *few[FEW];
} HD__ALIGNED(HD__CACHE_LINE);

static struct shard shards[SHARDS];
_Atomic size_t hd__ref_queued;

/* What discarded threads left. */
static struct {
    hd__spin lock; /* taken last; guards the list */
    struct hd__ref *head;
} orphans;

/* ---- The table; all inside, locks held ---- */

static uint64_t hash_of(uint64_t token) {
    return token * UINT64_C(0x9e3779b97f4a7c15);
}

static struct shard *shard_of(uint64_t token) {
    return &shards[hash_of(token) >> 58];
}

static struct hd__refs **bucket_of(struct shard *s, uint64_t token) {
    uint64_t hash = hash_of(token) >> 26;
    return s->size ? &s->buckets[hash & (s->size - 1)] : &s->few[hash & (FEW - 1)];
}

static struct hd__refs **find(struct shard *s, uint64_t token) {
    struct hd__refs **link = bucket_of(s, token);
    while (*link && (*link)->token != token) link = &(*link)->next;
    return link;
}

/* Without memory the chains become longer. */
static HD__COLD void grow(struct shard *s) {
    struct shard old = {.size = s->size, .buckets = s->buckets};
    uint32_t size = s->size ? s->size : FEW;
    struct hd__refs **buckets = hd__os_calloc(2 * (size_t)size, sizeof *buckets);
    if (!buckets) return;
    for (unsigned i = 0; i < FEW; i++) old.few[i] = s->few[i];
    s->buckets = buckets;
    s->size = 2 * size;
    for (uint32_t i = 0; i < size; i++) {
        struct hd__refs *refs = old.size ? old.buckets[i] : old.few[i];
        while (refs) {
            struct hd__refs *next = refs->next, **link = bucket_of(s, refs->token);
            refs->next = *link;
            *link = refs;
            refs = next;
        }
    }
    hd__os_free(old.buckets);
}

static void insert(struct hd__refs *refs) {
    struct shard *s = shard_of(refs->token);
    hd__spin_lock(&s->lock);
    if (s->count >= FULL * (s->size ? s->size : FEW)) grow(s);
    struct hd__refs **link = bucket_of(s, refs->token);
    refs->next = *link;
    *link = refs;
    s->count++;
    hd__spin_unlock(&s->lock);
}

/* Unregisters unless there is something in the queue that is not to be left; returns that. */
static struct hd__ref *take_out(struct hd__refs *refs, bool leave) {
    struct shard *s = shard_of(refs->token);
    hd__spin_lock(&s->lock);
    struct hd__ref *queue = refs->queue;
    if (!queue || leave) {
        *find(s, refs->token) = refs->next;
        s->count--;
    }
    hd__spin_unlock(&s->lock);
    return queue;
}

/* ---- Ends ---- */

static void leave_behind(struct hd__ref *list, bool queued) {
    while (list) {
        struct hd__ref *r = list;
        list = r->next;
        hd__spin_lock(&orphans.lock);
        r->next = orphans.head;
        orphans.head = r;
        hd__spin_unlock(&orphans.lock);
        if (!queued) atomic_fetch_add_explicit(&hd__ref_queued, 1, memory_order_relaxed);
    }
}

/* The runtime discards a thread, which may have been in a destructor. */
static void discard(struct hd__refs *refs) {
    hd__sched_enter();
    if (refs->registered) leave_behind(take_out(refs, true), true);
    leave_behind(refs->dead, false);
    hd__os_free(refs);
    hd__sched_leave();
}

/* The last that runs on a thread: outside. Its destructors are run as long as there are any. */
static void ends(hd_thread *t, void *own, bool discarded) {
    struct hd__refs *refs = own;
    if (discarded) {
        discard(refs);
        return;
    }
    refs->busy = false; /* a foreign kernel thread may have ended in a destructor */
    hd__sched_enter();
    leave_behind(refs->dead, false);
    hd__sched_leave();
    refs->dead = NULL;
    for (bool more = true; more;) {
        hd__ref_drain(refs, SIZE_MAX);
        hd__sched_enter();
        more = refs->registered && take_out(refs, false) != NULL;
        if (!more && (hd__thread_flags(t) & HD__THREAD_FOREIGN))
            hd__self_set_token(HD__TOKEN_ENDED); /* what it does from now on is a non-owner's */
        hd__sched_leave();
    }
    hd__sched_enter();
    hd__os_free(refs);
    hd__sched_leave();
}

/* ---- A thread's own ---- */

static HD__COLD struct hd__refs *make_mine(void) {
    hd__sched_enter();
    hd_thread *t = hd__wait_self();
    hd__sched_leave();
    if (hd__tls_prepare(t, hd__sched_end_values) != 0) return NULL;
    atomic_store_explicit(&hd__tls_own_ends, ends, memory_order_release);
    hd__sched_enter();
    struct hd__refs *refs = hd__os_calloc(1, sizeof *refs);
    if (refs && hd__tls_own_set(t, refs) != 0) {
        hd__os_free(refs);
        refs = NULL;
    }
    hd__sched_leave();
    return refs;
}

struct hd__refs *hd__ref_mine(bool make) {
    hd__sched_enter();
    struct hd__refs *refs = hd__tls_own(hd__wait_self());
    hd__sched_leave();
    return HD__LIKELY(refs != NULL) || !make ? refs : make_mine();
}

struct hd__refs *hd__ref_owner_mine(void) {
    struct hd__refs *refs = hd__ref_mine(true);
    if (!refs || HD__LIKELY(refs->registered)) return refs;
    hd__sched_enter();
    refs->token = hd__look_token();
    insert(refs);
    refs->registered = true;
    hd__sched_leave();
    return refs;
}

/* ---- Queues ---- */

bool hd__ref_owner_give(uint64_t token, struct hd__ref *r) {
    hd__sched_enter();
    struct shard *s = shard_of(token);
    hd__spin_lock(&s->lock);
    struct hd__refs *owner = *find(s, token);
    if (owner) {
        r->next = owner->queue;
        owner->queue = r;
        atomic_fetch_add_explicit(&hd__ref_queued, 1, memory_order_relaxed);
    }
    hd__spin_unlock(&s->lock);
    hd__sched_leave();
    return owner != NULL;
}

struct hd__ref *hd__ref_owner_take(struct hd__refs *mine) {
    struct hd__ref *r = NULL;
    if (atomic_load_explicit(&hd__ref_queued, memory_order_relaxed) == 0) return NULL;
    hd__sched_enter();
    if (mine && mine->registered) {
        struct shard *s = shard_of(mine->token);
        hd__spin_lock(&s->lock);
        r = mine->queue;
        if (r) mine->queue = r->next;
        hd__spin_unlock(&s->lock);
    }
    if (!r) {
        hd__spin_lock(&orphans.lock);
        r = orphans.head;
        if (r) orphans.head = r->next;
        hd__spin_unlock(&orphans.lock);
    }
    if (r) atomic_fetch_sub_explicit(&hd__ref_queued, 1, memory_order_relaxed);
    hd__sched_leave();
    return r;
}
