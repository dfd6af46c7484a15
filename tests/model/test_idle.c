/* SPDX-License-Identifier: MIT */
/* Going idle without missing anything: sched/idle.c against those who push and who arm timers, and
 * the monitor's listening. sched/sched.c queues, sched/monitor.c listens. */
#include "absent.h"
#include "test.h"

#include "os/spin.c"
#include "sched/idle.c"
#include "sched/monitor.c"
#include "sched/sched.c"
#include "sched/timer.c"

static struct hd__worker workers[2];
static hd_thread thread[2];
static struct hd__timers_entry heap[2][4];
static struct hd__wait wait; /* of thread[0], for a deadline */
static int found[2];
static bool no_wake;         /* a planted bug */

static void setup(void) {
    hd__rt.workers = workers;
    hd__rt.worker_count = 2;
    hd__rt.active = 2;
    hd__rt.steal_batch = 2;
    hd__rt.follow_ns = HD_FOREVER;
    hd__rt.keeper_deadline_ns = HD_FOREVER;
    hd__rt.slice_ns = HD_FOREVER;
    for (unsigned i = 0; i < 2; i++) {
        workers[i].index = i;
        workers[i].runq.limit = 16;
        workers[i].timers = (struct hd__timers){.heap = heap[i], .capacity = 4,
                                                .earliest_ns = HD_FOREVER};
        model_name(&workers[i], sizeof workers[i], "worker");
        model_name(&workers[i].notified, 4, "notified");
        model_name(&workers[i].timers, sizeof workers[i].timers, "timers");
        model_name(&workers[i].runq, sizeof workers[i].runq, "runq");
        model_name(&thread[i], sizeof thread[i], "thread");
    }
    model_name(&hd__rt, sizeof hd__rt, "rt");
    model_name(&hd__rt.idle, 4, "idle");
    model_name(&hd__rt.idle_lock, 4, "idle_lock");
    model_name(&hd__rt.injected, sizeof hd__rt.injected, "injected");
    model_name(&hd__monitor, sizeof hd__monitor, "monitor");
}

/* ---- What they need besides ---- */

static __thread uint64_t now_ns; /* comes when one has slept for it */

uint64_t hd__os_now_ns(void) { return now_ns; }

int hd__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, uint64_t deadline_ns) {
    if (deadline_ns == HD_FOREVER || deadline_ns > 1) {
        (void)model_futex_wait(word, expect);
        return 0;
    }
    now_ns = deadline_ns;
    return -ETIMEDOUT;
}

int hd__os_futex_wake(_Atomic uint32_t *word, unsigned n) {
    (void)n;
    if (!no_wake) model_futex_wake(word);
    return 1;
}

struct hd__worker *hd__worker_get(void) { return &workers[model_self()]; }
struct hd__self *hd__self_get(void) { return NULL; }
void hd__follow_hand_over(struct hd__worker *w) { (void)w; }
void hd__follow_sleep(struct hd__worker *w) { (void)w; }
void hd__follow_ask(uint64_t at_ns) { (void)at_ns; }
hd_thread *hd__place_take(struct hd__worker *w) { (void)w; return NULL; }
bool hd__place_any(const struct hd__worker *w) { (void)w; return false; }
void hd__place_unshare(hd_thread *t) { (void)t; }
bool hd__alarm_cover(struct hd__worker *w, uint64_t ns) { (void)w, (void)ns; return false; }
void hd__deadlock_check(void) {}
void hd__runtime_check_drain(void) {}
bool hd__preempt_for(struct hd__worker *self, hd_thread *t) { (void)self, (void)t; return false; }

/* ---- The parties ---- */

static void idles(void) {
    hd_thread *t = hd__idle_find(&workers[model_self()]);
    MODEL_ASSERT(t == &thread[0] || t == &thread[1]);
    found[t - thread]++;
}

static void injects(void) {
    hd__fifo_put(&hd__rt.injected, &thread[0], &thread[0], 1);
    hd__idle_wake_if_needed();
}

/* On worker 1, whose thread computes. */
static void spawns(void) {
    ready_spawned(&workers[1], &thread[0]);
}

static void parks_until(void) {
    struct hd__timers *h = &workers[1].timers;
    wait.party = &thread[0];
    wait.timer.deadline_ns = 1;
    hd__spin_lock(&h->lock);
    hd__timers_insert(h, &wait.timer);
    (void)set_waiting(&thread[0], false);
    hd__spin_unlock(&h->lock);
    hd__idle_cover_timer(1);
}

/* As monitor_main(), up to where it has seen that somebody waits. */
static void monitors(void) {
    struct look l = {.next_ns = HD_FOREVER};
    for (;;) {
        begin_look();
        if (hd__idle_work_anywhere(NULL) || !listen()) return;
        sleep_until(&l);
    }
}

/* The same about deadlines, while no worker is parked. */
static void monitors_timers(void) {
    struct look l = {.next_ns = HD_FOREVER, .first_ns = HD_FOREVER};
    for (;;) {
        begin_look();
        if (hd__idle_earliest_deadline() <= 1) return;
        atomic_store_explicit(&hd__monitor.wake_ns, l.next_ns, memory_order_seq_cst);
        uint32_t word = atomic_load_explicit(&hd__rt.idle, memory_order_seq_cst);
        if (HD__IDLE_PARKED(word) == 0 && hd__idle_earliest_deadline() < l.first_ns) return;
        sleep_until(&l);
        atomic_store_explicit(&hd__monitor.wake_ns, 0, memory_order_relaxed);
    }
}

/* It sleeps in the poller, or not: what was there before the poke is seen. */
static _Atomic bool there;
static _Atomic uint32_t kicks;

static void sleep_in_poller(uint64_t deadline_ns) {
    (void)deadline_ns;
    if (atomic_exchange_explicit(&kicks, 0, memory_order_acquire) == 0) {
        (void)model_futex_wait(&kicks, 0);
        atomic_store_explicit(&kicks, 0, memory_order_relaxed);
    }
}

static void kick_poller(void) {
    atomic_store_explicit(&kicks, 1, memory_order_release);
    model_futex_wake(&kicks);
}

static void sleeps(bool poller) {
    struct look l = {.next_ns = HD_FOREVER, .stuck = poller, .busy = poller};
    for (;;) {
        begin_look();
        if (atomic_load_explicit(&there, memory_order_relaxed)) return;
        sleep_until(&l);
    }
}

static void sleeps_alone(void) { sleeps(false); }
static void sleeps_in_poller(void) { sleeps(true); }

static void pokes(void) {
    atomic_store_explicit(&there, true, memory_order_relaxed);
    hd__monitor_poke();
}

static void setup_poller(void) {
    setup();
    hd__poller.in_flight = 1;
    hd__poller.sleep = sleep_in_poller;
    hd__poller.kick = kick_poller;
}

/* ---- The programs ---- */

static void found_it(void) {
    MODEL_ASSERT(found[0] == 1 && hd__rt.idle == 0);
}

#define PROGRAM(name_, after_, ...)                                                      \
    static const struct model name_ = {.name = #name_, .setup = setup, .after = after_,  \
                                       .steps_max = 400, .threads = {__VA_ARGS__}}

PROGRAM(injection, found_it, idles, injects);
PROGRAM(spawning, found_it, idles, spawns);
PROGRAM(timer, found_it, idles, parks_until);
PROGRAM(listening, NULL, monitors, injects);
PROGRAM(monitored_timer, NULL, monitors_timers, parks_until);
PROGRAM(poke, NULL, sleeps_alone, pokes);
static const struct model poke_in_poller = {.name = "poke_in_poller", .setup = setup_poller,
                                            .threads = {sleeps_in_poller, pokes}};

TEST(idle_finds_what_is_injected) { model_must_hold(&injection); }
TEST(idle_finds_what_is_spawned) { model_must_hold(&spawning); }
TEST(idle_minds_the_timer) { model_must_hold(&timer); }
TEST(monitor_hears_of_it) { model_must_hold(&listening); }

TEST(monitor_minds_the_timer) { model_must_hold(&monitored_timer); }
TEST(monitor_is_poked) { model_must_hold(&poke); }
TEST(monitor_is_poked_in_poller) { model_must_hold(&poke_in_poller); }

static void setup_no_wake(void) {
    setup();
    no_wake = true;
}

TEST(idle_without_the_wake_is_seen) {
    static const struct model m = {.name = "no-wake", .setup = setup_no_wake,
                                   .threads = {idles, injects}};
    model_must_fail(&m, "stuck");
}

#define LOCKS "the locks of the queues order what matters, as the head of idle.c says"
#define ELSEWHERE "what it is for is not in the model"
static const struct model_spared spared[] = {
    {"io_in_flight load seq_cst->*", ELSEWHERE},
    {"steal load acquire->relaxed", ELSEWHERE},
    {"search load acquire->relaxed", ELSEWHERE},
    {"hd__idle_find load* *->*", ELSEWHERE},
    {"hd__idle_all_parked load* seq_cst->*", ELSEWHERE},
    {"sleep_parked load acquire->relaxed", LOCKS},
    {"release_and_wake store release->relaxed", LOCKS},
    {"begin_look store seq_cst->*", "for the watch for deadlocks, which is not in the model"},
    {"sleep_until store#4 seq_cst->*", "for the watch for deadlocks, which is not in the model"},
    {"begin_look rmw seq_cst->acq*", "the look that follows takes what was before a poke"},
    {"begin_look rmw#2 seq_cst->*", LOCKS},
    {"listen rmw seq_cst->*", LOCKS},
    {"set_waiting cas acq_rel->*", "the timers' lock orders the two"},
    {"hd__wait_claim_as cas acq_rel->*", "the timers' lock orders the two"},
    {"sleep_until store#3 seq_cst->*", "a poke in vain does no harm"},
    {"sleep_until load#3 seq_cst->*", ELSEWHERE},
    {NULL, NULL},
};


TEST(idle_mutants) {
    static const struct model *const programs[] = {
        &injection, &listening, &timer, &monitored_timer, &poke, &poke_in_poller, NULL};
    model_mutants_must_fail(programs, "src/*", spared);
}
