/* SPDX-License-Identifier: MIT */
/* Sleeping until something completes; the scheduler's side is in idle.c.
 *
 * Sleepers. The scheduler has one, but the next may come before one that was told to leave has got
 * a CPU to do so. Each has a bell of its own while it sleeps; a kick rings for all of them.
 *
 * No lost kick. Who kicks has told the one that is meant (`notified`, `poked`) before. The sleeper
 * takes a place, then looks whether it has been told. In between each changes `kicks`: whose change
 * comes second sees what the other did before its own.
 *
 * Offers. A sleeper is woken by the first event, and finds few: when more threads of the kernel
 * want to run than there are CPUs, much of a busy server's time goes into falling asleep and being
 * woken for a handful of events, and each wake-up takes the CPU from those who cause them. So a
 * worker without work first offers its CPU to whoever waits for it (sched_yield()). If nobody does,
 * that costs a third of a microsecond. If somebody does, what comes meanwhile waits for this worker
 * for up to a time slice of the kernel, unless another takes it, which nobody wants for a few
 * events, or if a timer of this worker is due. So offers are made only while they pay: if the
 * events that came during one, wherever they were taken, were one in GAP_NS or more, the next
 * CREDIT offers are made as well. One that did not pay uses credit up, and without credit the
 * worker makes the next offer only after PAUSE times; after more, if it was a long one. */
#include "base/atomic.h"
#include "io/io.h"
#include "os/clock.h"
#include "os/epoll.h"
#include "os/iocall.h"
#include "os/kthread.h"
#include "sched/monitor.h"

enum { PLACES = 4, UNTOLD_NS = 1000000 };
enum { CREDIT = 16, PAUSE = 256, LONG_PAUSE = 2048 };
enum { GAP_NS = 25000, LONG_NS = 100000, SLICE_NS = 5000000 };

static struct sleeper {
    _Atomic bool taken;
    _Atomic int bell; /* made at the first use, by who has the place; closed at the end */
} places[PLACES];
static _Atomic uint32_t kicks;

/* ---- Offers; of each worker, its own ---- */

void hd__io_judge_offer(struct hd__io_offers *o, bool more) {
    uint64_t ns = o->made_ns;
    uint32_t events = hd__load_relaxed(&hd__io.events) - o->before;
    o->made_ns = 0;
    if (more || events * (uint64_t)GAP_NS >= ns)
        o->credit = CREDIT;
    else if (ns >= LONG_NS)
        o->credit = -LONG_PAUSE;
    else if (--o->credit < 0)
        o->credit = -PAUSE;
}

void hd__io_offer(struct hd__worker *w) {
    struct hd__io_offers *o = &hd__io.counts[w->index].offers;
    if (o->credit < 0) {
        o->credit++;
        return;
    }
    uint64_t before_ns = hd__os_now_ns();
    if (hd__timers_earliest(&w->timers) < before_ns + SLICE_NS) return;
    o->before = hd__load_relaxed(&hd__io.events);
    hd__os_yield();
    uint64_t ns = hd__os_now_ns() - before_ns;
    o->made_ns = ns ? ns : 1;
}

/* ---- Sleeping ---- */

static struct sleeper *take_place(void) {
    for (int i = 0; i < PLACES; i++) {
        struct sleeper *p = &places[i];
        if (atomic_exchange_explicit(&p->taken, true, memory_order_acquire)) continue;
        if (hd__load_relaxed(&p->bell) < 0) hd__store_release(&p->bell, hd__os_bell_create());
        if (hd__load_relaxed(&p->bell) >= 0) return p;
        hd__store_release(&p->taken, false);
    }
    return NULL;
}

static bool told(struct hd__worker *w) {
    return w ? hd__load_acquire(&w->notified) != 0 : hd__load_acquire(&hd__monitor.poked) != 0;
}

void hd__io_sleep(uint64_t deadline_ns) {
    struct hd__worker *w = hd__worker_get();
    struct sleeper *p = hd__load_acquire(&hd__io.backend) != 0 ? take_place() : NULL;
    uint64_t now_ns = hd__os_now_ns();
    atomic_fetch_add_explicit(&kicks, 1, memory_order_seq_cst);
    if ((!p || hd__io_uring_stuck()) && deadline_ns > now_ns + UNTOLD_NS)
        deadline_ns = now_ns + UNTOLD_NS;
    if (deadline_ns > now_ns && !told(w)) {
        struct pollfd fds[2] = {{p ? hd__load_relaxed(&p->bell) : -1, POLLIN, 0},
                                {hd__io.set, POLLIN, 0}};
        if (hd__os_poll(fds, 2, deadline_ns) > 0 && fds[0].revents)
            hd__os_bell_silence(fds[0].fd);
    }
    if (p) hd__store_release(&p->taken, false);
}

void hd__io_kick(void) {
    atomic_fetch_add_explicit(&kicks, 1, memory_order_seq_cst);
    for (int i = 0; i < PLACES; i++)
        if (hd__load_acquire(&places[i].taken)) hd__os_bell_ring(hd__load_acquire(&places[i].bell));
}

void hd__io_sleep_init(void) {
    for (int i = 0; i < PLACES; i++) hd__store_relaxed(&places[i].bell, -1);
}

void hd__io_sleep_finish(void) {
    for (int i = 0; i < PLACES; i++) {
        int bell = hd__load_relaxed(&places[i].bell);
        if (bell >= 0) (void)hd__os_close(bell);
        hd__store_relaxed(&places[i].bell, -1);
    }
}
