/* SPDX-License-Identifier: MIT */
/* Being ready: one epoll set for all descriptors that threads wait for, in both backends.
 *
 * A descriptor has a place in a table, with the threads that wait for it. The first of them has
 * the kernel watch it, once (EPOLLONESHOT): an event disarms the descriptor, wakes those that wait
 * for it, and arms it again if others are left. Of several that wait for the same event one is
 * woken: as long as the descriptor stays ready, arming it again brings the event again, for the
 * next one.
 *
 * Threads that were woken try again and may find that somebody else was faster; so an event too
 * many does no harm. That is what makes it safe to know descriptors by their numbers, though one
 * may be closed and its number used for another file without our knowledge: what is left of the
 * old one is at worst an event too many. An event too few cannot be: what is armed is remembered
 * only while somebody waits, and then the descriptor must not be closed (heddle/io.h).
 *
 * A place's lock is the object's lock of sched/wait.h. The kernel is called with it held: arming
 * never waits, and the order of armings is that of the waiters. */
#include <errno.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/epoll.h"
#include "os/mem.h"

enum { CHUNK = 1024, CHUNKS = 4096, BATCH = 64 };
enum { ALWAYS = POLLERR | POLLHUP }; /* reported whether asked for or not */

struct place {
    hd__spin lock;
    bool known;      /* `armed` is true to the kernel; only while somebody waits. Guard: lock */
    uint32_t armed;  /* events that the kernel watches for. Guard: lock */
    struct hd__waitq waiters; /* tag: the events. Guard: lock */
};

static struct place *_Atomic chunks[CHUNKS]; /* made when first needed, under grow_lock */
static hd__spin grow_lock;
static hd__spin look_lock; /* one looks at a time; the others would find nothing */

static struct place *place_of(int fd) {
    unsigned chunk = (unsigned)fd / CHUNK;
    if (chunk >= CHUNKS) return NULL;
    struct place *places = hd__load_acquire(&chunks[chunk]);
    if (HD__UNLIKELY(!places)) {
        hd__spin_lock(&grow_lock);
        places = hd__load_relaxed(&chunks[chunk]);
        if (!places) {
            places = hd__os_calloc(CHUNK, sizeof *places);
            hd__store_release(&chunks[chunk], places);
        }
        hd__spin_unlock(&grow_lock);
        if (!places) return NULL;
    }
    return &places[(unsigned)fd % CHUNK];
}

/* ---- Waiting ---- */

/* Lock held. */
static int arm(struct place *p, int fd, uint32_t events) {
    if (p->known && (events & ~p->armed) == 0) return 0;
    uint32_t all = p->known ? p->armed | events : events;
    int err = hd__os_epoll_watch(hd__io.set, fd, all, true);
    if (err) return err;
    p->known = true;
    p->armed = all;
    return 0;
}

int hd__io_epoll_wait(int fd, short events, uint64_t deadline_ns, const char *what,
                      const void *site) {
    struct hd__wait wait;
    if (fd < 0) return -EBADF;
    struct place *p = place_of(fd);
    if (!p) return -ENOMEM;
    hd__wait_init(&wait, what, NULL, site);
    wait.tag = (uint16_t)events;
    atomic_fetch_add_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    hd__spin_lock(&p->lock);
    if (hd__waitq_empty(&p->waiters)) p->known = false;
    int err = arm(p, fd, (uint16_t)events);
    if (err) {
        hd__spin_unlock(&p->lock);
        atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
        return err;
    }
    hd__waitq_push_back(&p->waiters, &wait);
    err = hd__wait_park(&wait, &p->lock, deadline_ns, 0);
    if (err) {
        hd__spin_lock(&p->lock);
        bool removed = hd__waitq_remove(&p->waiters, &wait);
        hd__spin_unlock(&p->lock);
        if (removed)
            atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
        HD__IO_COUNT(hd__worker_get(), cancelled);
    }
    return err;
}

/* ---- Events ---- */

/* Takes out whom the events concern: one for each event, all after an error. Those that are
 * claimed are returned, linked by next; lock held. */
static struct hd__wait *take_ready(struct place *p, uint32_t events, uint32_t *ended) {
    struct hd__wait *ready = NULL, *next;
    bool all = events & ALWAYS;
    for (struct hd__wait *w = p->waiters.head; w && (events || all); w = next) {
        next = w->next;
        if (!all && !(w->tag & events)) continue;
        uint32_t tag = (uint32_t)w->tag;
        hd__waitq_remove(&p->waiters, w);
        ++*ended;
        if (!hd__wait_claim(w)) continue; /* it leaves for another reason: the next one, then */
        events &= ~tag;
        w->next = ready;
        ready = w;
    }
    return ready;
}

/* Lock held. */
static uint32_t events_left(struct place *p) {
    uint32_t events = 0;
    for (struct hd__wait *w = p->waiters.head; w; w = w->next) events |= (uint32_t)w->tag;
    return events;
}

static bool happened(struct hd__worker *by, int fd, uint32_t events) {
    struct place *p = place_of(fd);
    uint32_t ended = 0;
    if (!p) return false;
    hd__spin_lock(&p->lock);
    p->known = false;
    struct hd__wait *ready = take_ready(p, events, &ended);
    /* They find the error by themselves, if it cannot be armed. */
    if (!hd__waitq_empty(&p->waiters) && arm(p, fd, events_left(p)) != 0) {
        struct hd__wait *more = take_ready(p, ALWAYS, &ended), **end = &more;
        while (*end) end = &(*end)->next;
        *end = ready;
        ready = more;
    }
    hd__spin_unlock(&p->lock);
    for (struct hd__wait *next; ready; ready = next) {
        next = ready->next;
        hd__io_wake(by, ready->party);
    }
    if (ended) atomic_fetch_sub_explicit(&hd__poller.in_flight, ended, memory_order_relaxed);
    return ended != 0;
}

bool hd__io_epoll_poll(struct hd__worker *w) {
    struct hd__epoll_event events[BATCH];
    bool any = false;
    unsigned n;
    do {
        if (!hd__spin_trylock(&look_lock)) break;
        n = hd__os_epoll_look(hd__io.set, events, BATCH);
        hd__spin_unlock(&look_lock);
        for (unsigned i = 0; i < n; i++) any |= happened(w, events[i].fd, events[i].events);
    } while (n == BATCH);
    return any;
}

/* Threads that wait are discarded; the kernel knows nothing of them. */
void hd__io_epoll_finish(void) {
    for (unsigned i = 0; i < CHUNKS; i++) {
        hd__os_free(hd__load_relaxed(&chunks[i]));
        hd__store_relaxed(&chunks[i], NULL);
    }
}
