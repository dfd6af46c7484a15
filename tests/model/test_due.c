/* SPDX-License-Identifier: MIT */
/* The gate and the handler of the preempting signal, which may come at any instruction of its own
 * kernel thread: sched/preempt.c with the gate of sched/carrier.c. The handler leaves what is
 * inside alone; what it notes there is dealt with before the thread is outside, and none of it is
 * forgotten. The thread is one that is not preempted, so that all ends before a switch. */
#include "absent.h"
#include "test.h"

#include "os/spin.c"
#include "sched/carrier.c"
#define carrier_for preempt_carrier_for
#include "sched/preempt.c"

static struct hd__carrier carrier;
static struct hd__worker worker;
static hd_thread thread;
static bool in_section;               /* plain: of the thread alone, as the next */
static int came, expired, considered; /* handlers; looks at the timers; preempt() */
static _Atomic bool sent;

struct hd__runtime hd__rt;
struct hd__monitor hd__monitor;

static void setup(void) {
    thread.flags = HD__THREAD_UNPREEMPTED;
    worker.current = &thread;
    worker.carrier = &carrier;
    hd__rt.workers = &worker;
    hd__rt.worker_count = 1;
    hd__rt.active = 1;
    model_name(&worker, sizeof worker, "worker");
    model_name(&worker.urgent, 1, "urgent");
    model_name(&hd__rt, sizeof hd__rt, "rt");
    model_name(&sent, sizeof sent, "sent");
}

/* ---- What the handler needs ---- */

uint64_t hd__os_now_ns(void) { return 0; }
int hd__os_errno_get(void) { return 0; }
void hd__os_errno_set(int e) { (void)e; }
bool hd__os_interrupt_repeat_call(const struct hd__os_interrupted *by) { return !by; }
bool hd__alarm_came(uint64_t now_ns) { return now_ns == 0; }
bool hd__alarm_had_little(struct hd__worker *w, uint64_t now_ns) { return w && now_ns; }
void hd__alarm_worked(uint64_t since_ns) { (void)since_ns; }
void hd__alarm_stay(struct hd__worker *w) { (void)w; }
void hd__alarm_again(struct hd__worker *w, uint64_t now_ns) { (void)w, (void)now_ns; }
bool hd__alarm_ends_slice(struct hd__worker *w, uint64_t now_ns, bool in_call) {
    (void)w, (void)now_ns, (void)in_call;
    return true;
}
bool hd__idle_wake_worker(struct hd__worker *w) { return !w; }
struct hd__thread_look hd__thread_look(const hd_thread *t) {
    return (struct hd__thread_look){.priority = t->priority};
}

unsigned hd__sched_expire(struct hd__worker *by, struct hd__timers *h, uint64_t now_ns,
                          unsigned above) {
    (void)by, (void)h, (void)now_ns, (void)above;
    MODEL_ASSERT(!in_section);
    expired++;
    return 0;
}

/* preempt() asks, and nobody else of those that are called here. */
bool hd__rcu_reading(void) {
    MODEL_ASSERT(!in_section);
    considered++;
    return false;
}

int hd__os_interrupt_send(int tid) {
    (void)tid;
    atomic_store_explicit(&sent, true, memory_order_release);
    return 0;
}

/* ---- Linked, and never called: nobody is preempted here ---- */

MODEL_ABSENT(void, hd__alarm_begin, struct hd__worker *w HD__UNUSED, const hd_thread *t HD__UNUSED,
             uint64_t now_ns HD__UNUSED, bool slice HD__UNUSED)
MODEL_ABSENT(void, hd__alarm_rest, struct hd__worker *w HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__fifo_take, struct hd__fifo *f HD__UNUSED, uint32_t n HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__idle_steal, struct hd__worker *w HD__UNUSED)
MODEL_ABSENT(void, hd__idle_wake_one, void)
MODEL_ABSENT(void, hd__monitor_poke, void)
MODEL_ABSENT(unsigned, hd__os_cpu_current, void)
MODEL_ABSENT(int, hd__os_cpus_set_of, int tid HD__UNUSED, const hd_cpuset *set HD__UNUSED)
MODEL_ABSENT(int, hd__os_futex_wait, _Atomic uint32_t *word HD__UNUSED, uint32_t expect HD__UNUSED,
             uint64_t deadline_ns HD__UNUSED)
MODEL_ABSENT(int, hd__os_futex_wake, _Atomic uint32_t *word HD__UNUSED, unsigned n HD__UNUSED)
MODEL_ABSENT(void, hd__ranked_requeue, struct hd__worker *w HD__UNUSED, hd_thread *t HD__UNUSED,
             int why HD__UNUSED, const hd_thread *next HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__ranked_take_bound, struct hd__worker *w HD__UNUSED,
             const struct hd__carrier *c HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__ranked_take_bound_before, struct hd__worker *w HD__UNUSED,
             const hd_thread *t HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__ranked_take_before, struct hd__worker *w HD__UNUSED,
             const hd_thread *t HD__UNUSED, int why HD__UNUSED)
MODEL_ABSENT(void, hd__rcu_note_preemption, void)
MODEL_ABSENT(void, hd__sched_ready, hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__sched_ready_back, struct hd__worker *w HD__UNUSED, hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__sched_ready_front, struct hd__worker *w HD__UNUSED, hd_thread *t HD__UNUSED)
MODEL_ABSENT(void, hd__sched_set_affinity, struct hd__worker *w HD__UNUSED, hd_thread *t HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__sched_take_inbox, struct hd__worker *w HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__sched_take_injected, struct hd__worker *w HD__UNUSED,
             uint32_t max HD__UNUSED)
MODEL_ABSENT(void, hd_cpuset_add, hd_cpuset *set HD__UNUSED, unsigned cpu HD__UNUSED)

/* ---- Signals ---- */

static void handle(uint8_t source) {
    struct hd__os_interrupted at = {.source = source};
    came++;
    (void)on_signal(&at);
}

static void on_alarm(void) { handle(HD__OS_ALARM); }
static void on_slice(void) { handle(HD__OS_SLICE); }

static void on_sent(void) {
    if (!atomic_load_explicit(&sent, memory_order_acquire)) model_give_up();
    handle(HD__OS_SENT);
}

static void begin_outside(void (*handler)(void)) {
    struct hd__self *self = hd__self_get();
    self->carrier = &carrier;
    set_worker(self, &worker);
    model_on_interrupt(handler);
}

/* ---- What the thread does ---- */

static void call(void) {
    (void)hd__sched_enter();
    in_section = true;
    MODEL_ASSERT(hd__worker_get() == &worker);
    in_section = false;
    hd__sched_leave();
}

static void nothing_is_left(void) {
    struct hd__self *self = hd__self_get();
    model_on_interrupt(NULL);
    MODEL_ASSERT(!atomic_load_explicit(&self->due, memory_order_relaxed));
    MODEL_ASSERT(!atomic_load_explicit(&self->inside, memory_order_relaxed));
    model_outcome("%d:%d:%d", came, expired, considered != 0);
}

static void calls_before_an_alarm(void) {
    begin_outside(on_alarm);
    call();
    nothing_is_left();
    MODEL_ASSERT(expired == came);
}

static void calls_before_the_end_of_a_slice(void) {
    begin_outside(on_slice);
    call();
    nothing_is_left();
    MODEL_ASSERT(expired == came && (considered != 0) == came);
}

static void is_brief(void) {
    begin_outside(on_alarm);
    MODEL_ASSERT(hd__self_enter_brief() == &worker);
    in_section = true;
    in_section = false;
    if (hd__self_leave_brief()) hd__sched_leave_due();
    nothing_is_left();
    MODEL_ASSERT(expired == came);
}

/* It makes an urgent thread runnable, of its own worker, while an alarm comes. */
static void wakes_somebody_urgent(void) {
    begin_outside(on_alarm);
    (void)hd__sched_enter();
    in_section = true;
    hd__preempt_urgently(&worker);
    in_section = false;
    hd__sched_leave();
    nothing_is_left();
    MODEL_ASSERT(expired == came);
    MODEL_ASSERT(considered);
}

static void calls_twice(void) {
    begin_outside(on_sent);
    call();
    call();
    nothing_is_left();
    if (came) MODEL_ASSERT(considered);
}

static void is_urgent(void) { hd__preempt_urgently(&worker); }

#define PROGRAM(name_, outcomes, ...)                                          \
    static const struct model name_ = {.name = #name_, .setup = setup,         \
                                       .threads = {__VA_ARGS__}};              \
    TEST(name_) {                                                              \
        model_must_hold(&name_);                                               \
        CHECK_STR_EQ(model_outcomes(), outcomes);                              \
    }

PROGRAM(due_alarm, "0:0:0 1:1:0", calls_before_an_alarm)
PROGRAM(due_slice, "0:0:0 1:1:1", calls_before_the_end_of_a_slice)
PROGRAM(due_brief, "0:0:0 1:1:0", is_brief)
PROGRAM(due_urgent, "0:0:1 1:1:1", wakes_somebody_urgent)
PROGRAM(due_sent, "0:0:0 1:0:1", calls_twice, is_urgent)

/* There are no mutants: between a thread and its handler orders do not matter, and those that the
 * gate has are for the monitor; test_carrier.c has them. */

/* ---- What must be found ---- */

/* A leave that looks whether something is due before it lets signals through. */
static void looks_too_early(void) {
    struct hd__self *self = hd__self_get();
    begin_outside(on_alarm);
    (void)hd__sched_enter();
    bool due = atomic_load_explicit(&self->due, memory_order_relaxed) != 0;
    atomic_store_explicit(&self->inside, 0, memory_order_release);
    if (due) hd__sched_leave_due();
    nothing_is_left();
}

TEST(due_a_look_too_early_is_found) {
    static const struct model m = {.name = "due-early", .setup = setup,
                                   .threads = {looks_too_early}};
    model_must_fail(&m, "due");
}

/* A note in two steps, between which the handler makes one. */
static void notes_in_two_steps(void) {
    struct hd__self *self = hd__self_get();
    begin_outside(on_alarm);
    (void)hd__sched_enter();
    uint8_t due = atomic_load_explicit(&self->due, memory_order_relaxed);
    atomic_store_explicit(&self->due, due | HD__DUE_SLICE, memory_order_relaxed);
    hd__sched_leave();
    nothing_is_left();
    MODEL_ASSERT(expired == came);
}

TEST(due_a_note_in_two_steps_is_found) {
    static const struct model m = {.name = "due-two-steps", .setup = setup,
                                   .threads = {notes_in_two_steps}};
    model_must_fail(&m, "expired == came");
}

/* What touches the worker before it is inside. */
static void enters_too_late(void) {
    begin_outside(on_slice);
    in_section = true;
    (void)hd__sched_enter();
    in_section = false;
    hd__sched_leave();
}

TEST(due_a_section_outside_is_found) {
    static const struct model m = {.name = "due-late", .setup = setup,
                                   .threads = {enters_too_late}};
    model_must_fail(&m, "in_section");
}
