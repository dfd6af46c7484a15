/* SPDX-License-Identifier: MIT */
/* Writing into the rings. Each thread takes one with the first thing that it has to say. */
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "library.h"

/* A wait for the GIL that begins so soon after the wait for a forced switch is the same wait: in
 * between there is the mutex only, which who got the GIL still has for a moment. */
#define SAME_WAIT_NS 100000

struct preload_shared *rings_memory;

static __thread struct {
    struct preload_ring *ring;
    bool tried;   /* there was no ring for it */
    bool wanting; /* has said that it wants the lock */
    uint64_t switch_begin_ns, switch_end_ns;
    uint64_t forced_at; /* takes of the lock, plus 1, when it last said that it waited in vain */
    uint64_t born_ns;
    int parent; /* 0: unknown, or told */
} self;

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

static void put(struct preload_ring *r, uint64_t ns, enum preload_kind kind, unsigned lock,
                uint64_t value) {
    uint64_t head = GET(r->head);
    /* Pairs with the reader's release of `tail`: it has read what is overwritten here. */
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) >= PRELOAD_RECORDS) {
        SET(r->full, GET(r->full) + 1);
        return;
    }
    struct preload_record *to = &r->record[head % PRELOAD_RECORDS];
    to->ns = ns;
    to->what = preload_pack(kind, lock, value);
    /* Pairs with the reader's acquire of `head`. */
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

/* One moment by both clocks. The nearer it is to a release, the less does it matter that the clocks
 * run unequally. */
static void set_base(struct preload_ring *r, uint64_t ticks, uint64_t ns) {
    r->base_ticks = ticks;
    r->base_ns = ns;
}

static struct preload_ring *take_ring(void) {
    struct preload_shared *memory = rings_memory;
    int tid = (int)syscall(SYS_gettid);
    for (unsigned i = 0; i < PRELOAD_RINGS; i++) {
        struct preload_ring *r = &memory->ring[i];
        uint32_t free_use = PRELOAD_FREE;
        if (GET(r->use) != PRELOAD_FREE)
            continue;
        /* Pairs with the reader's release of the ring: its fields are zero again. */
        if (!atomic_compare_exchange_strong_explicit(&r->use, &free_use, PRELOAD_USED,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        uint32_t rings = GET(memory->rings);
        while (rings < i + 1
               && !atomic_compare_exchange_weak_explicit(&memory->rings, &rings, i + 1,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
        }
        SET(r->pid, (int)getpid());
        uint64_t ticks, ns;
        preload_both(memory->tsc, &ticks, &ns);
        set_base(r, ticks, ns);
        /* Last, for the reader: from now on it is there. */
        atomic_store_explicit(&r->tid, tid, memory_order_release);
        return r;
    }
    return NULL;
}

static struct preload_ring *own_ring(void) {
    if (!self.ring) {
        if (!self.tried) {
            self.tried = true;
            self.ring = take_ring();
            if (self.ring && self.parent)
                put(self.ring, self.born_ns, PRELOAD_BORN, 0, (uint64_t)self.parent);
        }
        if (!self.ring)
            atomic_fetch_add_explicit(&rings_memory->ringless, 1, memory_order_relaxed);
    }
    return self.ring;
}

/* Writes a release down that is only noted. */
static void flush(struct preload_ring *r, uint64_t now_ticks, uint64_t now_ns) {
    uint64_t at = GET(r->drop_ticks);
    if (at) {
        uint64_t ns = preload_moment(at, r->base_ticks, r->base_ns, now_ticks, now_ns);
        if (!(at & PRELOAD_CLAIMED))
            put(r, ns, PRELOAD_DROP, GET(r->drop_lock), GET(r->drop_number));
        /* After the record, for the reader finds the release in one of the two. */
        atomic_store_explicit(&r->drop_ticks, 0, memory_order_release);
    }
}

/* Flushes, and tells the time. */
static uint64_t flush_now(struct preload_ring *r) {
    uint64_t ticks, ns;
    preload_both(rings_memory->tsc, &ticks, &ns);
    flush(r, ticks, ns);
    return ns;
}

void rings_drop(struct lock *l) {
    struct preload_ring *r = own_ring();
    l->held = false;
    if (!r)
        return;
    if (GET(r->drop_ticks)) /* of another lock; or let go twice */
        flush_now(r);
    SET(r->drop_lock, l->number);
    SET(r->drop_number, GET(r->drop_number) + 1);
    /* Last: the reader looks at it first. */
    uint64_t ticks = preload_ticks(rings_memory->tsc) & ~PRELOAD_CLAIMED;
    atomic_store_explicit(&r->drop_ticks, ticks, memory_order_release);
}

/* Says that it wants the lock, since when it wants it in truth. */
static void want(struct preload_ring *r, struct lock *l, uint64_t now_ns) {
    uint64_t before = 0;
    if (self.switch_end_ns && now_ns - self.switch_end_ns < SAME_WAIT_NS)
        before = now_ns - self.switch_begin_ns;
    self.switch_end_ns = 0;
    put(r, now_ns, PRELOAD_WANT, l->number, before);
    self.wanting = true;
}

void rings_want(struct lock *l) {
    if (self.wanting)
        return;
    struct preload_ring *r = own_ring();
    if (!r)
        return;
    want(r, l, flush_now(r));
}

/* Whether a lock that nobody else had meanwhile is taken back so soon that it is only counted. */
static bool taken_back(struct preload_ring *r, struct lock *l) {
    uint64_t dropped = GET(r->drop_ticks), ticks = preload_ticks(rings_memory->tsc);
    if (!dropped || GET(r->drop_lock) != l->number || ticks - dropped >= PRELOAD_SHORT_TICKS)
        return false;
    /* Unless the reader has claimed it just now. */
    if (!atomic_compare_exchange_strong(&r->drop_ticks, &dropped, 0)
        || (dropped & PRELOAD_CLAIMED))
        return false;
    SET(r->shorts, GET(r->shorts) + 1);
    SET(r->short_ticks, GET(r->short_ticks) + (ticks - dropped));
    if ((GET(r->gots) & 0xffff) == 0) {
        uint64_t ns;
        preload_both(rings_memory->tsc, &ticks, &ns);
        set_base(r, ticks, ns);
    }
    return true;
}

void rings_got(struct lock *l) {
    struct preload_ring *r = own_ring();
    l->held = true;
    if (!r) {
        l->last = NULL;
        l->takes++;
        return;
    }
    SET(r->gots, GET(r->gots) + 1);
    if (l->last == r && !self.wanting && taken_back(r, l))
        return;
    uint64_t now_ticks, now_ns;
    preload_both(rings_memory->tsc, &now_ticks, &now_ns);
    flush(r, now_ticks, now_ns);
    if (!self.wanting && self.switch_end_ns && now_ns - self.switch_end_ns < SAME_WAIT_NS)
        want(r, l, now_ns);
    if (l->last != r) {
        l->last = r;
        l->takes++;
    }
    put(r, now_ns, PRELOAD_GOT, l->number, 0);
    self.wanting = false;
    self.switch_end_ns = 0;
    set_base(r, now_ticks, now_ns);
}

void rings_force(struct lock *l, uint64_t takes) {
    struct preload_ring *r = own_ring();
    if (!r || !l->held || l->takes != takes || self.forced_at == takes + 1)
        return;
    self.forced_at = takes + 1;
    put(r, preload_now_ns(), PRELOAD_FORCE, l->number, 0);
}

void rings_switch_begin(void) {
    struct preload_ring *r = own_ring();
    if (!r)
        return;
    self.switch_begin_ns = flush_now(r);
    self.switch_end_ns = 0;
}

void rings_switch_end(void) {
    if (self.ring)
        self.switch_end_ns = preload_now_ns();
}

void rings_born(int parent) {
    self.parent = parent;
    self.born_ns = preload_now_ns();
}

void rings_ended(void) {
    struct preload_ring *r = self.ring;
    if (!r)
        return;
    put(r, flush_now(r), PRELOAD_ENDED, 0, 0);
    self.ring = NULL;
    self.tried = true;
    atomic_store_explicit(&r->use, PRELOAD_LEFT, memory_order_release);
}

/* The child's only thread takes a ring of its own; the parent's goes on in the parent. */
void rings_forked(void) {
    self.ring = NULL;
    self.tried = false;
    self.wanting = false;
    self.switch_end_ns = 0;
    self.forced_at = 0;
    self.parent = 0;
}
