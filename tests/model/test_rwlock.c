/* SPDX-License-Identifier: MIT */
/* The read-write lock: sync/rwlock.c and sync/rwlock_slots.c over the real parking. Writers exclude
 * everybody, readers writers; nobody waits for ever; readers that are counted by worker, and change
 * it meanwhile, are waited for; and whoever knows that it is the last one may free the lock while
 * an unlock before still returns. */
#include "party.h"
#include "locks.h"
#include "test.h"

#include "sync/rwlock.c"
#include "sync/rwlock_slots.c"

/* ---- What it needs besides ---- */

uint64_t hd__self_token(void) { return model_self() + 1; }
uint64_t hd__look_token(void) { return model_self() + 1; }

MODEL_ABSENT(int, hd__os_cpus_allowed, hd_cpuset *set HD__UNUSED)
MODEL_ABSENT(void *, hd__os_alloc_aligned, size_t alignment HD__UNUSED, size_t bytes HD__UNUSED)
MODEL_ABSENT(int, hd__watch_make, struct hd__watch **out HD__UNUSED,
             const struct hd_lock_attr *attr HD__UNUSED, unsigned allowed HD__UNUSED,
             const char *kind HD__UNUSED, const void *lock HD__UNUSED)
void hd__os_free(void *p) { if (p) model_free(p); }
void hd__watch_free(struct hd__watch *w) { MODEL_ASSERT(!w); }

/* ---- The lock, and what it guards ---- */

static struct lock_and_data {
    hd_rwlock lock;
    int data;          /* written by writers */
    int half;          /* the same, but for a moment within a section */
    _Atomic int users;
} *shared;
static struct slots *counts;

static void setup_lock(void) {
    party_setup();
    shared = model_alloc(sizeof *shared);
    shared->users = 2;
    model_name(&shared->lock, 8, "state");
    model_name(&rwlock_of(&shared->lock)->guard, 4, "guard");
    model_name(&rwlock_of(&shared->lock)->writer, 8, "writer");
}

/* Read-mostly, with a slot for each of two workers: open, or closed with a count in the state. */
static void setup_slots(bool open, uint64_t state) {
    setup_lock();
    struct rwlock *l = rwlock_of(&shared->lock);
    counts = model_alloc(sizeof *counts + 2 * sizeof counts->one[0]);
    counts->count = 2;
    counts->mask = HD__CACHE_LINE;
    for (int i = 0; i < 2; i++) counts->one[i].word = open ? 0 : CLOSED;
    for (unsigned i = 0; i < MODEL_THREADS; i++) party_worker[i].lines = i * HD__CACHE_LINE;
    l->slots = l->fast = counts;
    l->state = open ? OPEN : state;
    model_name(counts, 128, "slot");
}

static void setup_open(void) { setup_slots(true, 0); }
static void setup_closed(void) { setup_slots(false, 0); }

/* The next reader that finds no writer opens the slots. */
static void setup_opening(void) {
    setup_closed();
    rwlock_of(&shared->lock)->reads = OPEN_AFTER;
}

static void look(void) { MODEL_ASSERT(shared->data == shared->half); }

static void change_data(void) {
    shared->data++;
    shared->half++;
}

/* The thread goes on with another worker: another slot. */
static void migrate(void) {
    struct hd__worker *w = &party_worker[model_self()];
    w->lines ^= HD__CACHE_LINE;
}

static void reads(void) {
    hd_rwlock_rdlock(&shared->lock);
    look();
    hd_rwlock_rdunlock(&shared->lock);
}

static void reads_elsewhere(void) {
    hd_rwlock_rdlock(&shared->lock);
    look();
    migrate();
    hd_rwlock_rdunlock(&shared->lock);
}

static void reads_twice(void) {
    reads();
    reads();
}

static void writes(void) {
    hd_rwlock_wrlock(&shared->lock);
    change_data();
    hd_rwlock_wrunlock(&shared->lock);
}

static void reads_and_writes(void) {
    reads();
    writes();
}

static void tries_to_read(void) {
    if (!hd_rwlock_tryrdlock(&shared->lock)) return;
    look();
    hd_rwlock_rdunlock(&shared->lock);
}

static void tries_to_write(void) {
    if (!hd_rwlock_trywrlock(&shared->lock)) return;
    change_data();
    hd_rwlock_wrunlock(&shared->lock);
}

/* Closes the slots, and opens them as if so many readers had come since. */
static void closes_and_opens(void) {
    if (!hd_rwlock_trywrlock(&shared->lock)) model_give_up();
    change_data();
    hd_rwlock_wrunlock(&shared->lock);
    hd__store_relaxed(&rwlock_of(&shared->lock)->reads, OPEN_AFTER);
    if (!hd_rwlock_tryrdlock(&shared->lock)) model_give_up();
}

static void tries_to_read_elsewhere(void) {
    migrate();
    if (!hd_rwlock_tryrdlock(&shared->lock)) return;
    look();
    migrate();
    hd_rwlock_rdunlock(&shared->lock);
}

static void leave_in_time(int err, void (*section)(void), void (*unlock)(hd_rwlock *)) {
    MODEL_ASSERT(err == 0 || err == -ETIMEDOUT || err == -EINTR);
    if (err == 0) {
        section();
        unlock(&shared->lock);
    } else {
        model_outcome("gave-up");
    }
}

static void reads_until(void) {
    leave_in_time(hd_rwlock_rdlock_until(&shared->lock, 1), look, hd_rwlock_rdunlock);
}

static void writes_until(void) {
    leave_in_time(hd_rwlock_wrlock_until(&shared->lock, 1), change_data, hd_rwlock_wrunlock);
}

static void expires(void) { party_expire(0); }
static void interrupts(void) { hd__wait_interrupt(&parties[0]); }

/* The last one frees it. What each counts down is not the lock's, so it orders nothing. */
static bool is_last(void) {
    return atomic_fetch_sub_explicit(&shared->users, 1, memory_order_relaxed) == 1;
}

static void writes_and_frees(void) {
    hd_rwlock_wrlock(&shared->lock);
    change_data();
    bool last = is_last();
    hd_rwlock_wrunlock(&shared->lock);
    if (last) model_free(shared);
}

static void reads_before(void) {
    hd_rwlock_rdlock(&shared->lock);
    look();
    (void)is_last();
    hd_rwlock_rdunlock(&shared->lock);
}

/* Frees it if the reader was there before: so it is alone. */
static void writes_and_frees_if_alone(void) {
    hd_rwlock_wrlock(&shared->lock);
    change_data();
    bool last = is_last();
    hd_rwlock_wrunlock(&shared->lock);
    if (last && counts) hd_rwlock_finish(&shared->lock);
    if (last) model_free(shared);
}

/* ---- What must hold then ---- */

static uint64_t readers_left(void) {
    uint64_t sum = 0;
    for (uint64_t i = 0; counts && i < 2; i++) sum += counts->one[i].word & ~(uint64_t)CLOSED;
    return sum / SLOT_READER;
}

static void is_free(void) {
    struct rwlock *l = rwlock_of(&shared->lock);
    MODEL_ASSERT(!(l->state & ~(uint64_t)OPEN) && !l->queue.head && !l->writer);
    MODEL_ASSERT(readers_left() == 0);
    MODEL_ASSERT(shared->data == shared->half);
}

static void one_wrote(void) {
    is_free();
    MODEL_ASSERT(shared->data == 1);
}

static void both_wrote(void) {
    is_free();
    MODEL_ASSERT(shared->data == 2);
}

/* ---- The programs ---- */

#define PROGRAM_OF(name_, setup_, after_, long_, ...)                                    \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .is_long = long_,               \
                                       .threads = {__VA_ARGS__}};
#define PROGRAM(name_, setup_, after_, ...)                  \
    PROGRAM_OF(name_, setup_, after_, false, __VA_ARGS__)    \
    TEST(name_) { model_must_hold(&name_); }
#define LONG(name_, setup_, after_, ...)                     \
    PROGRAM_OF(name_, setup_, after_, true, __VA_ARGS__)     \
    TEST_WITHIN(name_, 900) { model_must_hold(&name_); }

PROGRAM(rwlock_writers, setup_lock, both_wrote, writes, writes)
PROGRAM(rwlock_writer_and_reader, setup_lock, one_wrote, reads, writes)
LONG(rwlock_readers, setup_lock, one_wrote, reads, reads, writes)
PROGRAM(rwlock_again, setup_lock, one_wrote, reads_twice, writes)
PROGRAM(rwlock_tries, setup_lock, one_wrote, tries_to_read, writes)
PROGRAM(rwlock_readers_with_one_that_tries, setup_lock, one_wrote, reads, tries_to_read, writes)
PROGRAM(rwlock_tries_to_write, setup_lock, is_free, reads, tries_to_write)
PROGRAM(rwlock_freed, setup_lock, NULL, writes_and_frees, writes_and_frees)
PROGRAM(rwlock_freed_by_writer, setup_lock, NULL, writes_and_frees_if_alone, reads_before)
PROGRAM(rwlock_reader_gives_up, setup_lock, one_wrote, reads_until, writes, expires)
PROGRAM(rwlock_writer_gives_up, setup_lock, is_free, writes_until, reads, expires)
PROGRAM(rwlock_writer_interrupted, setup_lock, is_free, writes_until, reads, interrupts)

PROGRAM(slots_reader, setup_open, one_wrote, reads, writes)
PROGRAM(slots_migrating, setup_open, one_wrote, reads_elsewhere, writes)
PROGRAM(slots_closed, setup_closed, one_wrote, reads_elsewhere, writes)
PROGRAM(slots_opening, setup_opening, one_wrote, reads_elsewhere, writes)
PROGRAM(slots_opening_again, setup_opening, is_free, reads, reads_twice)
PROGRAM(slots_reopened, setup_open, NULL, tries_to_read, closes_and_opens)
PROGRAM(slots_reopened_elsewhere, setup_open, NULL, tries_to_read_elsewhere, closes_and_opens)
PROGRAM(slots_closed_for_another, setup_open, both_wrote, reads_and_writes, writes)
PROGRAM(slots_tries, setup_open, is_free, reads_elsewhere, tries_to_write)
PROGRAM(slots_freed, setup_open, NULL, writes_and_frees_if_alone, reads_before)
LONG(rwlock_phases, setup_lock, both_wrote, reads, writes, writes)
LONG(slots_readers, setup_open, is_free, tries_to_read_elsewhere, tries_to_read, tries_to_write)

#define GUARDED "who finds the state OPEN or MOVING takes the guard, and no other can be stale"
static const struct model_spared spared[] = {
    {"read_unlock load acquire->relaxed", GUARDED},
    {"hd__rwlock_slot load acquire->relaxed", "the compare-and-swap acquires the same"},
    {"hd__rwlock_slot failed-cas acquire->relaxed", GUARDED},
    {"hd__rwlock_close rmw acq_rel->acquire", GUARDED},
    {"hd__rwlock_open store#3 release->relaxed", GUARDED},
    {NULL, NULL},
};

TEST_WITHIN(rwlock_mutants, 1800) {
    static const struct model *const programs[] = {
        &rwlock_writers, &rwlock_writer_and_reader, &rwlock_freed, &slots_reader,
        &slots_migrating, &slots_opening, &slots_freed, &rwlock_freed_by_writer,
        &slots_reopened, &slots_reopened_elsewhere, &slots_closed_for_another,
        &rwlock_readers_with_one_that_tries, &rwlock_writer_gives_up, NULL};
    model_mutants_must_fail(programs, "src/sync/*", spared);
}

/* ---- What must be found ---- */

static void writes_and_forgets_who_waits(void) {
    struct rwlock *l = rwlock_of(&shared->lock);
    hd_rwlock_wrlock(&shared->lock);
    change_data();
    hd__store_relaxed(&l->writer, 0);
    (void)atomic_fetch_and_explicit(&l->state, ~(uint64_t)WRITER, memory_order_release);
}

TEST(rwlock_without_handing_over_is_found) {
    static const struct model m = {.name = "rwlock-forgets", .setup = setup_lock, .steps_max = 400,
                                   .threads = {reads, writes_and_forgets_who_waits}};
    model_must_fail(&m, "stuck");
}

/* A writer that does not look at the other worker's slot. */
static void writes_after_one_slot(void) {
    struct rwlock *l = rwlock_of(&shared->lock);
    counts->count = 1;
    writes();
    MODEL_ASSERT(!(l->state & WAITERS));
}

TEST(slots_that_are_passed_over_are_found) {
    static const struct model m = {.name = "slots-passed-over", .setup = setup_open,
                                   .steps_max = 400,
                                   .threads = {writes_after_one_slot, reads}};
    model_must_fail(&m, "data race");
}
