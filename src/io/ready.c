/* SPDX-License-Identifier: MIT */
/* Being ready: one epoll set for all descriptors that threads wait for, in both backends.
 *
 * A descriptor has a place in a table, by its number, with the threads that wait for it. The first
 * that waits has the kernel watch it, and the kernel goes on doing so: edge-triggered, it reports
 * each change once. Threads that were woken try again and may find that somebody else was faster;
 * so an event too many does no harm. An event too few would: a thread would wait for ever. There
 * are two ways to wait, and for each an argument why that does not happen.
 *
 * THE PLAIN WAY. The thread, in the place's queue or about to be, tells the kernel what to watch
 * for (arm()). Told anew, the kernel looks at the descriptor and reports what is the case already;
 * from then on every change is reported, since the descriptor must not be closed while somebody
 * waits (heddle/io.h). Of several that wait for the same one is woken, and the kernel is told anew
 * for the others, which brings the event again if the first one leaves something. This costs a
 * system call for each wait, as if the kernel watched once only.
 *
 * THE CHEAP WAY is for the most common wait, for the next request of a connection: without a call
 * into the kernel. Three things must be so.
 *
 *   1. Nothing has come since the socket was found empty. Each event counts `edges` up. Who
 *      receives notes `edges` before the call. If the call finds nothing, or less than was asked
 *      for, the socket was empty at some time after that event; what comes later brings an event
 *      later, and that another count. So while `edges` is what was noted nothing has come whose
 *      event was delivered; and an event to be delivered finds the waiter, since the counts are
 *      compared under the lock. Who took the last event and has not received yet does not matter,
 *      nor how many receive: it is not events that are kept but their number. `drained` is what was
 *      noted before the last short read, for the next call, which begins by waiting.
 *      A short read says "empty" for TCP. It does not if the peer's end, an error or urgent data
 *      came with the data, whose event may be the one that was counted: `ended` remembers them.
 *   2. The kernel watches the number for what is wanted: `watched`.
 *   3. The number is the same file's as when the kernel was told. The runtime cannot know: programs
 *      may close() a descriptor as they like, and the number goes to the next file. If it has, the
 *      thread waits for what nobody reports.
 *
 * So the third is taken on trust, and checked. The place is noted as in doubt. If the wait lasts,
 * the kernel is told as by the plain way, which puts right what was wrong: between one and two
 * passes, hd__io_check_every_ns apart, after it began. Most waits are over by then; the others pay
 * what they saved. The passes are the monitor's, which is awake whatever the workers do, and there
 * are none without doubt. So a lost event costs a delay, and nothing is lost for good.
 *
 * The delay is rare. What hd_close() closes is forgotten; what hd_accept(), hd_connect() and
 * hd_openat() return is taken for new; who has seen the end of a connection, or an error, waits for
 * its number by the plain way. What remains are files that come into being otherwise and get a
 * number that was closed with close() when the last call on it was a short read. A program that
 * does so once will do it again: when a pass finds it out, the next CAREFUL_WAITS waits take the
 * plain way. No call takes the cheap way more than twice: the events of a former file under the
 * number could wake it again and again, and no pass would see it wait for long.
 *
 * Edges that nobody waits for are not free: they wake whoever sleeps in the poller. Where they are
 * many, the kernel is told not to report them (NOISE_MAX); the next wait is then a plain one.
 *
 * CLOSING, by hd_close(). Who waits for the number would wait for ever, since the kernel reports
 * nothing of what is closed: so his wait is ended, with -EBADF. Who comes after that and before the
 * number is gone would not be told; and whether he came before it was gone or has found another
 * file there cannot be seen. So nobody begins to wait in between: `closing`. He pauses, and finds
 * out.
 *
 * An operation that a ring runs has the file, and goes on when the number is gone. It is known here
 * from before it is put down until its wait is over. Closing marks it, under the operation's lock,
 * and claims its wait, unless that is over or has not begun; the thread sees the mark, and cancels.
 * So the close may be done before the file is let go. But no operation is still down in a ring by
 * then: the kernel would take it for one at the number's next file.
 *
 * A file that was closed under its number and lives on under another (dup(), fork()) is watched
 * until it ends, by the kernel's rules: its events are events too many, for whoever has the number.
 * hd_close() has the kernel forget it.
 *
 * Locks. A place's lock is the object's lock of sched/wait.h. The kernel is called with it held:
 * being told never waits, and the kernel's view follows the order of the waiters.
 *
 * The note of doubt is a bit in the chunk that the place is in, set under the place's lock. A pass
 * takes the bits away, then each lock. Who waits before the pass has the lock is seen by it; who
 * waits after it sees that the bit is gone, and sets it again. hd__poller.check_ns says when the
 * next pass is due. A pass takes it away before it looks at the bits, and who sets a bit looks at
 * it afterwards, all in one order: the pass sees the bit, or he sees to it that another comes. */
#include "io/ready.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/mem.h"
#include "sched/monitor.h"

enum { CHUNK = 256, CHUNKS = 16384, WORD_BITS = 64, BATCH = 64 };
enum { ALWAYS = POLLERR | POLLHUP };           /* reported whether asked for or not */
enum { ENDS = POLLRDHUP | POLLPRI };           /* asked for always, see `ended` */
enum { NOISE_MAX = 8, CAREFUL_WAITS = 4096, PORTION = 512 };
enum { PORTION_PAUSE_NS = 500 * 1000, CLOSE_LOOK_NS = 100 * 1000, CLOSERS_MAX = 255 };
#define CLOSED ((uintptr_t)1 << 31) /* in the tag of a wait that closing has ended */

#ifdef HD_HOSTILE
_Atomic uint64_t hd__io_check_every_ns = 1000 * 1000;
#else
_Atomic uint64_t hd__io_check_every_ns = 50 * 1000 * 1000;
#endif

struct chunk {
    struct hd__io_place places[CHUNK];
    _Atomic uint64_t doubts[CHUNK / WORD_BITS];
};

static struct chunk *_Atomic chunks[CHUNKS]; /* made when first needed, under grow_lock */
static _Atomic unsigned chunks_end;          /* none is from here on; grows under grow_lock */
static hd__spin grow_lock;
static hd__spin look_lock; /* one looks at a time; the others would find nothing */
static _Atomic uint32_t passes;
static _Atomic int32_t careful; /* waits that are to take the plain way */
static unsigned pass_at;        /* the chunk that a pass goes on with; the monitor's */

/* ---- Places ---- */

static HD__COLD struct chunk *chunk_make(unsigned index) {
    hd__spin_lock(&grow_lock);
    struct chunk *c = hd__load_relaxed(&chunks[index]);
    if (!c) {
        c = hd__os_alloc_aligned(HD__CACHE_LINE, sizeof *c);
        if (c) memset(c, 0, sizeof *c);
        hd__store_release(&chunks[index], c);
        if (c && index >= hd__load_relaxed(&chunks_end))
            atomic_store_explicit(&chunks_end, index + 1, memory_order_seq_cst);
    }
    hd__spin_unlock(&grow_lock);
    return c;
}

struct hd__io_place *hd__io_place_of(int fd, bool make) {
    unsigned index = (unsigned)fd / CHUNK;
    if (HD__UNLIKELY(index >= CHUNKS)) return NULL;
    struct chunk *c = hd__load_acquire(&chunks[index]);
    if (HD__UNLIKELY(!c)) c = make ? chunk_make(index) : NULL;
    return c ? &c->places[(unsigned)fd % CHUNK] : NULL;
}

/* Lock held. What was known of the number is not so any more. */
static void renew(struct hd__io_place *p, uint8_t hint) {
    hd__store_relaxed(&p->watched, 0);
    p->ended = false;
    p->noise = 0;
    hd__store_release(&p->edges, hd__load_relaxed(&p->edges) + 1);
    hd__store_relaxed(&p->hint, hint);
}

void hd__io_is_new_socket(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, true);
    if (!p) return;
    hd__spin_lock(&p->lock);
    renew(p, HD__IO_SOCKET | HD__IO_MORE);
    hd__spin_unlock(&p->lock);
}

void hd__io_is_new(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, false);
    if (!p) return;
    hd__spin_lock(&p->lock);
    renew(p, 0);
    hd__spin_unlock(&p->lock);
}

/* ---- Telling the kernel ---- */

/* Lock held. */
static uint32_t events_left(struct hd__io_place *p) {
    uint32_t events = 0;
    for (struct hd__wait *w = p->waiters.head; w; w = w->next) events |= (uint32_t)w->tag;
    return events;
}

/* Has the kernel watch for `events` and all that is waited for, and report what is the case. 1: it
 * did not know the file, 0: it did; -errno. Lock held. */
static int arm(struct hd__io_place *p, int fd, uint32_t events) {
    uint32_t all = events | events_left(p) | ENDS;
    bool add = hd__load_relaxed(&p->watched) == 0;
    int err = add ? hd__os_epoll_add(hd__io.set, fd, all | HD__EPOLL_EDGE)
                  : hd__os_epoll_change(hd__io.set, fd, all | HD__EPOLL_EDGE);
    if (err == (add ? -EEXIST : -ENOENT)) {
        add = !add;
        err = add ? hd__os_epoll_add(hd__io.set, fd, all | HD__EPOLL_EDGE)
                  : hd__os_epoll_change(hd__io.set, fd, all | HD__EPOLL_EDGE);
    }
    if (err) return err;
    HD__IO_COUNT(hd__worker_get(), watches);
    if (add) renew(p, hd__load_relaxed(&p->hint) & (HD__IO_SOCKET | HD__IO_MORE));
    hd__store_relaxed(&p->watched, all);
    p->doubtful = false;
    return add;
}

/* ---- Waiting ---- */

/* Lock held, and released if it fails: lets those be done who close the number. */
static int let_close(struct hd__io_place *p, uint64_t deadline_ns, const char *what,
                     const void *site) {
    while (HD__UNLIKELY(p->closing != 0)) {
        hd__spin_unlock(&p->lock);
        int err = hd__io_pause(CLOSE_LOOK_NS, deadline_ns, what, site);
        if (err) return err;
        hd__spin_lock(&p->lock);
    }
    return 0;
}

/* Lock held, and released. */
static int park(struct hd__io_place *p, struct hd__wait *wait, uint64_t deadline_ns) {
    hd__waitq_push_back(&p->waiters, wait);
    hd__store_relaxed(&p->last_wait, (uintptr_t)wait);
    hd__store_relaxed(&p->last_party, (uintptr_t)wait->party);
    int err = hd__wait_park(wait, &p->lock, deadline_ns, 0);
    if (HD__UNLIKELY(err)) {
        hd__spin_lock(&p->lock);
        bool removed = hd__waitq_remove(&p->waiters, wait);
        hd__spin_unlock(&p->lock);
        if (removed)
            atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
        HD__IO_COUNT(hd__worker_get(), cancelled);
    }
    if (HD__LIKELY(!(wait->tag & CLOSED))) return err;
    if (err == -EINTR) hd__wait_interrupt(wait->party);
    return -EBADF;
}

/* Lock held, and released. */
static int arm_and_park(struct hd__io_place *p, int fd, struct hd__wait *wait,
                        uint64_t deadline_ns) {
    atomic_fetch_add_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    int err = arm(p, fd, (uint32_t)wait->tag);
    if (HD__LIKELY(err >= 0)) return park(p, wait, deadline_ns);
    hd__spin_unlock(&p->lock);
    atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    return err;
}

int hd__io_ready_wait(int fd, short events, uint64_t deadline_ns, const char *what,
                      const void *site) {
    struct hd__wait wait;
    if (fd < 0) return -EBADF;
    struct hd__io_place *p = hd__io_place_of(fd, true);
    if (!p) return -ENOMEM;
    hd__wait_init(&wait, what, NULL, site);
    wait.tag = (uint16_t)events;
    hd__spin_lock(&p->lock);
    int err = let_close(p, deadline_ns, what, site);
    return HD__UNLIKELY(err) ? err : arm_and_park(p, fd, &wait, deadline_ns);
}

/* Notes that somebody waits who has not asked the kernel. Lock held. */
static void doubt(struct hd__io_place *p, int fd) {
    if (p->doubtful && !hd__waitq_empty(&p->waiters)) return;
    p->doubtful = true;
    p->since = hd__load_relaxed(&passes);
    unsigned place = (unsigned)fd % CHUNK;
    struct chunk *c = hd__container_of(p - place, struct chunk, places[0]);
    _Atomic uint64_t *word = &c->doubts[place / WORD_BITS];
    uint64_t bit = UINT64_C(1) << place % WORD_BITS, none = 0;
    if (HD__LIKELY(hd__load_relaxed(word) & bit)) return;
    /* In one order with what a pass does first: it sees the bit, or we see that it began. */
    atomic_fetch_or_explicit(word, bit, memory_order_seq_cst);
    if (atomic_load_explicit(&hd__poller.check_ns, memory_order_seq_cst) != 0) return;
    uint64_t due_ns = hd__os_now_ns() + hd__load_relaxed(&hd__io_check_every_ns);
    if (atomic_compare_exchange_strong_explicit(&hd__poller.check_ns, &none, due_ns,
                                                memory_order_acq_rel, memory_order_relaxed))
        hd__monitor_cover_now(due_ns);
}

static bool must_be_careful(void) {
    if (HD__LIKELY(hd__load_relaxed(&careful) <= 0)) return false;
    return atomic_fetch_sub_explicit(&careful, 1, memory_order_relaxed) > 0;
}

int hd__io_ready_wait_drained(int fd, struct hd__io_place *p, uint32_t edges,
                              uint64_t deadline_ns, const char *what, const void *site) {
    struct hd__wait wait;
    hd__wait_init(&wait, what, NULL, site);
    wait.tag = POLLIN;
    hd__spin_lock(&p->lock);
    if (HD__UNLIKELY(p->ended || p->closing || hd__load_relaxed(&p->edges) != edges)) {
        hd__spin_unlock(&p->lock);
        return 0;
    }
    if (HD__UNLIKELY(!(hd__load_relaxed(&p->watched) & POLLIN) || must_be_careful()))
        return arm_and_park(p, fd, &wait, deadline_ns);
    doubt(p, fd);
    atomic_fetch_add_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    return park(p, &wait, deadline_ns);
}

/* ---- Ending waits ---- */

/* Takes out whom the events concern: one for each event, all after an error. Those that are
 * claimed are added to the list at `ready`, linked by next; how many were taken out. Lock held. */
static uint32_t take_ready(struct hd__io_place *p, uint32_t events, struct hd__wait **ready) {
    struct hd__wait *next;
    uint32_t ended = 0;
    bool all = events & ALWAYS;
    for (struct hd__wait *w = p->waiters.head; w && (events || all); w = next) {
        next = w->next;
        if (!all && !(w->tag & events)) continue;
        uint32_t tag = (uint32_t)w->tag;
        hd__waitq_remove(&p->waiters, w);
        ended++;
        if (!hd__wait_claim(w)) continue; /* it leaves for another reason: the next one, then */
        events &= ~tag;
        w->next = *ready;
        *ready = w;
    }
    return ended;
}

/* As arm(), for those that wait, who are woken if it fails: they find the error by themselves. */
static int arm_again(struct hd__io_place *p, int fd, struct hd__wait **ready, uint32_t *ended) {
    int r = arm(p, fd, 0);
    if (HD__UNLIKELY(r < 0)) *ended += take_ready(p, ALWAYS, ready);
    return r;
}

static void wake_all(struct hd__worker *by, struct hd__wait *ready) {
    for (struct hd__wait *next; ready; ready = next) {
        next = ready->next;
        hd__io_wake(by, ready->party);
    }
}

/* ---- Closing ---- */

/* Lock held. Ends all waits until the number is ready, as take_ready() does. */
static uint32_t end_waits(struct hd__io_place *p, struct hd__wait **ready) {
    uint32_t ended = 0;
    for (struct hd__wait *w; (w = hd__waitq_pop_front(&p->waiters)) != NULL; ended++) {
        w->tag |= CLOSED; /* one that leaves for another reason takes the lock before it looks */
        if (!hd__wait_claim(w)) continue;
        w->next = *ready;
        *ready = w;
    }
    return ended;
}

/* Lock held. Marks what rings have; a record stays as long as it is in the list. One that is
 * claimed waits until it is woken, and its `next` is free: it is in no queue. */
static void end_ops(struct hd__io_place *p, struct hd__wait **ready) {
    for (struct hd__io_op *op = p->ops; op; op = op->next) {
        hd__spin_lock(&op->lock);
        bool first = !op->done && !op->closed;
        op->closed |= first;
        if (first && !op->ending && hd__wait_claim(&op->wait)) {
            op->wait.next = *ready;
            *ready = &op->wait;
        }
        hd__spin_unlock(&op->lock);
    }
}

bool hd__io_close_begin(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, true);
    struct hd__wait *ready = NULL;
    if (!p) return false;
    hd__spin_lock(&p->lock);
    bool counted = p->closing < CLOSERS_MAX, ops = p->ops != NULL;
    if (counted) p->closing++;
    if (hd__load_relaxed(&p->watched)) (void)hd__os_epoll_remove(hd__io.set, fd);
    renew(p, 0);
    uint32_t ended = end_waits(p, &ready);
    end_ops(p, &ready);
    hd__spin_unlock(&p->lock);
    if (ended) atomic_fetch_sub_explicit(&hd__poller.in_flight, ended, memory_order_relaxed);
    if (ops) hd__io_uring_flush_all();
    if (ready) {
        wake_all(hd__worker_get(), ready);
        hd__idle_wake_if_needed();
    }
    return counted;
}

void hd__io_close_end(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, false);
    hd__spin_lock(&p->lock);
    p->closing--;
    hd__spin_unlock(&p->lock);
}

int hd__io_op_enter(struct hd__io_place *p, struct hd__io_op *op, uint64_t deadline_ns) {
    hd__spin_lock(&p->lock);
    int err = let_close(p, deadline_ns, op->wait.what, op->wait.site);
    if (err) return err;
    op->prev = NULL;
    op->next = p->ops;
    if (p->ops) p->ops->prev = op;
    p->ops = op;
    hd__spin_unlock(&p->lock);
    return 0;
}

void hd__io_op_exit(struct hd__io_place *p, struct hd__io_op *op) {
    hd__spin_lock(&p->lock);
    if (op->prev)
        op->prev->next = op->next;
    else
        p->ops = op->next;
    if (op->next) op->next->prev = op->prev;
    hd__spin_unlock(&p->lock);
}

/* ---- Events ---- */

/* How many waits have ended. */
static uint32_t happened(struct hd__worker *by, int fd, uint32_t events) {
    struct hd__io_place *p = hd__io_place_of(fd, false);
    struct hd__wait *ready = NULL;
    if (!p) return 0; /* a ring */
    hd__spin_lock(&p->lock);
    hd__store_release(&p->edges, hd__load_relaxed(&p->edges) + 1);
    if (HD__UNLIKELY(events & (ALWAYS | ENDS))) p->ended = true;
    uint32_t ended = take_ready(p, events, &ready);
    if (HD__LIKELY(ready != NULL))
        p->noise = 0;
    else if (p->noise < NOISE_MAX)
        p->noise++;
    bool too_many =
        p->noise == NOISE_MAX && (hd__load_relaxed(&p->watched) & events & ~(uint32_t)ENDS);
    if (HD__UNLIKELY(too_many || (events_left(p) & events)))
        (void)arm_again(p, fd, &ready, &ended);
    hd__spin_unlock(&p->lock);
    wake_all(by, ready);
    return ended;
}

/* Nobody has touched for long what the events are about: places, wait records on the stacks of the
 * threads, descriptors. So the cache misses of all are begun before the first is waited for. (Of
 * their stacks the run queue takes care: sched/runq.h.) */
static void prefetch(const struct hd__epoll_event *events, unsigned n) {
    struct hd__io_place *places[BATCH];
    for (unsigned i = 0; i < n; i++) {
        places[i] = hd__io_place_of(events[i].fd, false);
        __builtin_prefetch(places[i], 1);
    }
    for (unsigned i = 0; i < n; i++) {
        if (!places[i]) continue;
        uintptr_t wait = (uintptr_t)hd__load_relaxed(&places[i]->last_wait);
        uintptr_t party = (uintptr_t)hd__load_relaxed(&places[i]->last_party);
        for (int line = 0; line < 2; line++) { /* numbers, since either may be NULL */
            __builtin_prefetch((const void *)(wait + line * HD__CACHE_LINE), 1);
            __builtin_prefetch((const void *)(party + line * HD__CACHE_LINE), 1);
        }
    }
}

bool hd__io_ready_poll(struct hd__worker *w) {
    struct hd__epoll_event events[BATCH];
    bool any = false;
    unsigned n;
    do {
        if (!hd__spin_trylock(&look_lock)) break;
        n = hd__os_epoll_look(hd__io.set, events, BATCH);
        hd__spin_unlock(&look_lock);
        uint32_t ended = 0;
        prefetch(events, n);
        for (unsigned i = 0; i < n; i++) ended += happened(w, events[i].fd, events[i].events);
        if (ended) {
            atomic_fetch_sub_explicit(&hd__poller.in_flight, ended, memory_order_relaxed);
            atomic_fetch_add_explicit(&hd__io.events, ended, memory_order_relaxed);
            any = true;
        }
        struct hd__io_offers *offers = w ? &hd__io.counts[w->index].offers : NULL;
        if (offers && offers->made_ns != 0) hd__io_judge_offer(offers, n == BATCH);
    } while (n == BATCH);
    return any;
}

/* ---- Passes ---- */

/* The kernel's calls that it took. *left: the place stays in doubt. */
static unsigned check_place(struct hd__io_place *p, int fd, uint32_t pass, bool *left) {
    struct hd__wait *ready = NULL;
    uint32_t ended = 0;
    unsigned calls = 0;
    hd__spin_lock(&p->lock);
    if (hd__waitq_empty(&p->waiters)) p->doubtful = false;
    *left = p->doubtful && (int32_t)(p->since - pass) >= 0;
    if (p->doubtful && !*left) {
        calls = 1;
        int r = arm_again(p, fd, &ready, &ended);
        if (r == 1 || r == -EPERM) { /* another file, which perhaps cannot be waited for */
            HD__IO_COUNT(hd__worker_get(), reused);
            hd__store_relaxed(&careful, CAREFUL_WAITS);
        }
    }
    hd__spin_unlock(&p->lock);
    wake_all(NULL, ready);
    if (ended) atomic_fetch_sub_explicit(&hd__poller.in_flight, ended, memory_order_relaxed);
    return calls;
}

static unsigned check_chunk(unsigned index, uint32_t pass, bool *any_left) {
    struct chunk *c = hd__load_acquire(&chunks[index]);
    unsigned calls = 0;
    if (!c) return 0;
    for (unsigned i = 0; i < CHUNK / WORD_BITS; i++) {
        if (atomic_load_explicit(&c->doubts[i], memory_order_seq_cst) == 0) continue;
        uint64_t bits = atomic_exchange_explicit(&c->doubts[i], 0, memory_order_acq_rel);
        uint64_t stay = 0;
        for (; bits; bits &= bits - 1) {
            unsigned place = i * WORD_BITS + (unsigned)__builtin_ctzll(bits);
            bool left;
            calls += check_place(&c->places[place], (int)(index * CHUNK + place), pass, &left);
            if (left) stay |= bits & -bits;
        }
        if (stay) {
            atomic_fetch_or_explicit(&c->doubts[i], stay, memory_order_acq_rel);
            *any_left = true;
        }
    }
    return calls;
}

/* By the monitor alone. A pass that takes many calls goes in portions; what was put in doubt behind
 * it meanwhile has found check_ns set, so another pass follows. */
uint64_t hd__io_ready_check(uint64_t now_ns) {
    static uint32_t pass;
    static bool again;
    unsigned calls = 0;
    if (pass_at == 0) {
        pass = atomic_fetch_add_explicit(&passes, 1, memory_order_relaxed);
        again = false;
        atomic_store_explicit(&hd__poller.check_ns, 0, memory_order_seq_cst);
    }
    unsigned end = atomic_load_explicit(&chunks_end, memory_order_seq_cst);
    for (; pass_at < end && calls < PORTION; pass_at++)
        calls += check_chunk(pass_at, pass, &again);
    uint64_t pause_ns = hd__load_relaxed(&hd__io_check_every_ns);
    if (pass_at >= end) {
        pass_at = 0;
    } else {
        again = true;
        pause_ns = PORTION_PAUSE_NS;
    }
    if (again) hd__store_relaxed(&hd__poller.check_ns, now_ns + pause_ns);
    return hd__load_relaxed(&hd__poller.check_ns);
}

/* Threads that wait are discarded; the kernel knows nothing of them. */
void hd__io_ready_finish(void) {
    for (unsigned i = 0; i < hd__load_relaxed(&chunks_end); i++) {
        hd__os_free(hd__load_relaxed(&chunks[i]));
        hd__store_relaxed(&chunks[i], NULL);
    }
    hd__store_relaxed(&chunks_end, 0);
    hd__store_relaxed(&careful, 0);
    hd__store_relaxed(&hd__poller.check_ns, 0);
    pass_at = 0;
}
