/* SPDX-License-Identifier: MIT */
/* What a carrier and the monitor say to each other: the mailbox of grants, the retaking of a worker
 * whose carrier is blocked in the kernel, and brief sections. sched/carrier.[ch], sched/self.h. */
#include "source.h"
#include "test.h"

#include "os/spin.c"
#include "sched/preempt.h"
/* Slices are not in the model. */
static void begin_slice(struct hd__worker *w, ...) {
    (void)w;
}
#define hd__preempt_begin(...) begin_slice(__VA_ARGS__)
#include "sched/carrier.c"

static struct hd__carrier carriers[2];
static struct hd__worker worker;
static hd_thread thread;
static struct hd__stack stack;
static hd_thread *_Atomic queued;
static _Atomic bool ended;
static bool with_barrier;
static int used;           /* of the worker: by whoever owns it */
static int section_owns;   /* of the worker: by a thread in a section in which it stays */
static int *_Atomic hidden; /* what brief sections use */

struct hd__runtime hd__rt;
struct hd__monitor hd__monitor;

static void setup(void) {
    with_barrier = true;
    thread.stack = &stack;
    worker.current = &thread;
    worker.carrier = &carriers[0];
    carriers[0].cpu = carriers[1].cpu = 0;
    hd__carriers.all = &carriers[0];
    hd__monitor.can_retake = true;
    model_name(&worker, sizeof worker, "worker");
    model_name(&worker.current, sizeof worker.current, "worker.current");
    model_name(&thread, sizeof thread, "thread");
    model_name(&queued, sizeof queued, "queue");
    model_name(&hidden, sizeof hidden, "hidden");
    for (int i = 0; i < 2; i++) {
        model_name(&carriers[i], sizeof carriers[i], "carrier");
        model_name(&carriers[i].self, sizeof carriers[i].self, "carrier.self");
        model_name(&carriers[i].held, sizeof carriers[i].held, "carrier.held");
        model_name(&carriers[i].granted, sizeof carriers[i].granted, "carrier.granted");
    }
}

static void setup_without_barrier(void) {
    setup();
    with_barrier = false;
}

/* ---- What the carriers need of the kernel, and of the scheduler ---- */

void hd__os_membarrier(void) {
    if (with_barrier) model_membarrier(0);
}

int hd__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, uint64_t deadline_ns) {
    (void)deadline_ns;
    (void)model_futex_wait(word, expect);
    return 0;
}

int hd__os_futex_wake(_Atomic uint32_t *word, unsigned n) {
    (void)n;
    model_futex_wake(word);
    return 1;
}

/* It may stop being so at any moment, and the thread begin something else. */
bool hd__os_task_blocked(struct hd__os_task *task, int tid, int64_t *nr) {
    (void)task, (void)tid, (void)nr;
    return model_choose(2) == 0;
}

unsigned hd__os_cpu_current(void) { return 0; }
uint64_t hd__os_now_ns(void) { return 0; }
int hd__os_errno_get(void) { return 0; }
void hd__os_errno_set(int e) { (void)e; }
void hd__os_yield(void) { model_give_up(); }
void hd__preempt_check_fork(void) {}
void hd__sched_set_affinity(struct hd__worker *w, hd_thread *t) { (void)w, (void)t; }
void hd__sched_leave_due(void) { model_fail("nothing is due"); }
int hd__os_cpus_set_of(int tid, const hd_cpuset *set) { (void)tid, (void)set; return 0; }

/* Not a hint here: whoever decides on it must see the present state. */
struct hd__thread_look hd__thread_look(const hd_thread *t) {
    return (struct hd__thread_look){.no_preempt = t->no_preempt};
}

void hd__sched_ready(hd_thread *t) {
    atomic_store_explicit(&queued, t, memory_order_release);
}

static void use_worker(const struct hd__worker *w) {
    MODEL_ASSERT(w == &worker);
    used++;
}

/* ---- Retaking ---- */

static struct hd__self *be_carrier(unsigned i) {
    struct hd__self *self = hd__self_get();
    self->carrier = &carriers[i];
    return self;
}

/* The thread `thread` on carriers[0], outside: it has called something that blocks, perhaps. */
static void begin_outside(void) {
    struct hd__self *self = be_carrier(0);
    set_worker(self, &worker);
    atomic_store_explicit(&carriers[0].self, self, memory_order_release);
    model_take_barriers();
}

static void calls(void) {
    struct hd__worker *w = hd__sched_enter();
    use_worker(w);
    MODEL_ASSERT(atomic_load_explicit(&w->current, memory_order_relaxed) == &thread);
    hd__sched_leave();
}

static void runs_once(void) {
    begin_outside();
    calls();
    atomic_store_explicit(&ended, true, memory_order_release);
}

static void runs_twice(void) {
    begin_outside();
    calls();
    calls();
    atomic_store_explicit(&ended, true, memory_order_release);
}

static void enters_a_section(void) {
    begin_outside();
    (void)hd__sched_enter();
    thread.no_preempt++;
    hd__sched_leave();
    section_owns++;
    (void)hd__sched_enter();
    thread.no_preempt--;
    hd__sched_leave();
    atomic_store_explicit(&ended, true, memory_order_release);
}

/* As take_away() of monitor.c. The worker goes to the thread again when that asks for it. */
static void monitor(bool gives_back) {
    if (!atomic_load_explicit(&carriers[0].self, memory_order_acquire)) return;
    if (!hd__carrier_retake(&worker, false)) return;
    use_worker(&worker);
    section_owns++;
    MODEL_ASSERT(atomic_load_explicit(&worker.current, memory_order_relaxed) == NULL);
    if (gives_back && hd__carrier_give_back(&worker)) return;
    hd_thread *t = atomic_load_explicit(&queued, memory_order_acquire);
    if (!t) {
        if (atomic_load_explicit(&ended, memory_order_acquire)) return;
        model_spin();
    }
    use_worker(&worker);
    hd__carrier_grant(hd__carrier_of(t), &worker, t, 0);
}

static void keeps(void) { monitor(false); }
static void gives_back(void) { monitor(true); }

static void after_retake(void) {
    MODEL_ASSERT(hd__carriers.held <= 1);
    if (queued) MODEL_ASSERT(worker.current == &thread && hd__carriers.held == 0);
    if (queued) MODEL_ASSERT(!(thread.flags & HD__THREAD_BOUND));
    if (hd__carriers.held == 0) MODEL_ASSERT(worker.current == &thread);
    model_outcome("%s%s", section_owns ? "retaken" : "kept", queued ? "+granted" : "");
}

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .threads = {__VA_ARGS__}}

PROGRAM(retake, setup, after_retake, runs_once, keeps);
PROGRAM(retake_twice, setup, after_retake, runs_twice, keeps);
PROGRAM(retake_and_give_back, setup, after_retake, runs_once, gives_back);
PROGRAM(retake_from_section, setup, NULL, enters_a_section, gives_back);
PROGRAM(retake_without_barrier, setup_without_barrier, NULL, runs_once, keeps);

TEST(retake_is_exclusive) {
    model_must_hold(&retake);
    CHECK_STR_EQ(model_outcomes(), "kept retaken retaken+granted");
}
TEST(retake_between_calls) { model_must_hold(&retake_twice); }
TEST(retake_given_back) { model_must_hold(&retake_and_give_back); }
TEST(retake_spares_sections) { model_must_hold(&retake_from_section); }
TEST(retake_needs_its_barrier) { model_must_fail(&retake_without_barrier, ""); }

/* ---- The mailbox ---- */

static bool run_granted(unsigned i) {
    if (wait_granted(&carriers[i]) != HD__GRANT) return false;
    struct hd__worker *w = take_worker(&carriers[i], carriers[i].grant_thread, false);
    MODEL_ASSERT(w == hd__worker_get() && w->loop == &carriers[i].loop);
    MODEL_ASSERT(carriers[i].grant_thread == &thread);
    use_worker(w);
    return true;
}

static void grants_first(void) {
    carriers[0].self = be_carrier(0);
    use_worker(&worker);
    hd__carrier_grant(&carriers[1], &worker, &thread, 0);
    MODEL_ASSERT(run_granted(0));
    (void)hd__carriers_release();
}

static void passes_on(void) {
    carriers[1].self = be_carrier(1);
    MODEL_ASSERT(run_granted(1));
    hd__carrier_lose_worker(&carriers[1]);
    hd__carrier_grant(&carriers[0], &worker, &thread, 0);
    MODEL_ASSERT(!run_granted(1));
}

static void setup_both(void) {
    setup();
    carriers[0].all = &carriers[1];
}

static void used_thrice(void) {
    MODEL_ASSERT(used == 3 && worker.carrier == &carriers[0]);
}

static const struct model mailbox = {
    .name = "mailbox", .setup = setup_both, .after = used_thrice, .steps_max = 400,
    .threads = {grants_first, passes_on}};
TEST(grants_hand_the_worker_over) { model_must_hold(&mailbox); }

/* ---- Brief sections ---- */

static void setup_hidden(void) {
    setup();
    hidden = model_alloc(sizeof *hidden);
}

static void brief(void) {
    struct hd__worker *w = hd__self_enter_brief();
    int *at = atomic_load_explicit(&hidden, memory_order_relaxed);
    if (w == &worker && at) ++*at;
    if (hd__self_leave_brief()) model_fail("nothing is due");
}

static void is_brief(void) {
    begin_outside();
    brief();
}

static void is_brief_twice(void) {
    begin_outside();
    brief();
    brief();
}

static void hides(void) {
    if (!atomic_load_explicit(&carriers[0].self, memory_order_acquire)) return;
    int *at = atomic_load_explicit(&hidden, memory_order_relaxed);
    atomic_store_explicit(&hidden, NULL, memory_order_relaxed);
    hd__carriers_pass();
    model_free(at);
}

PROGRAM(pass, setup_hidden, NULL, is_brief, hides);
PROGRAM(pass_twice, setup_hidden, NULL, is_brief_twice, hides);
static void setup_pass_without(void) {
    setup_hidden();
    with_barrier = false;
}
PROGRAM(pass_without_barrier, setup_pass_without, NULL, is_brief, hides);

TEST(pass_waits_for_brief_sections) { model_must_hold(&pass); }
TEST(pass_waits_for_several) { model_must_hold(&pass_twice); }
TEST(pass_needs_its_barrier) { model_must_fail(&pass_without_barrier, ""); }

/* ---- Mutants ---- */

#define OWN "a word that only the carrier itself writes, or a hint"
#define BARRIER "membarrier() orders more than sequential consistency would"
#define MAILBOX "what follows is ordered by the grant that the thread then waits for"
static const struct model_spared spared[] = {
    {"wait_granted store seq_cst->*", OWN},
    {"take_worker load seq_cst->*", OWN},
    {"hd__carrier_lose_worker load seq_cst->*", OWN},
    {"notice load seq_cst->*", OWN},
    {"notice load#4 seq_cst->*", OWN},
    {"hd__carriers_release load acquire->relaxed", "the end of a carrier is not in the model"},
    {"hd__carriers_release *cas seq_cst->*", "the end of the runtime tells no more than that"},
    {"hd__carrier_retake load#2 acquire->relaxed", "of *self only atomic words are looked at"},
    {"hd__carrier_retake *cas seq_cst->*", BARRIER},
    {"hd__carrier_retake load#4 seq_cst->acquire", BARRIER},
    {"hd__carrier_retake store* release->relaxed", MAILBOX},
    {"notice load#2 acquire->relaxed", MAILBOX},
    {"notice load#3 acquire->relaxed", "hd__sched_enter_slow() reads it again"},
    {"notice *cas seq_cst->*", MAILBOX},
    {"hd__sched_enter_slow load acquire->relaxed", "notice() has acquired the same"},
    {"undo_retake cas seq_cst->acq_rel", BARRIER},
    {"undo_retake cas seq_cst->release", "the monitor takes nothing from it"},
    {"undo_retake failed-cas seq_cst->*", "the monitor does nothing after a failure"},
    {"come_back load seq_cst->*", "the end of the runtime is not in the model"},
    {"come_back rmw seq_cst->*", "the look for a deadlock is not in the model"},
    {"hd__carrier_give_back cas seq_cst->acq_rel", BARRIER},
    {"hd__carrier_give_back cas seq_cst->release", "the monitor takes nothing from it"},
    {"hd__carrier_give_back failed-cas seq_cst->*", "the queue orders what the monitor does then"},
    {"hd__self_enter_brief load acquire->relaxed", "nothing is given back to a brief section"},
    {"all_passed load acquire->relaxed", "of *self only atomic words are looked at"},
    {NULL, NULL},
};

TEST(carrier_mutants) {
    static const struct model *const programs[] = {
        &mailbox, &retake, &retake_and_give_back, &retake_from_section, &pass, NULL};
    model_mutants_must_fail(programs, "src/sched/*", spared);
}
