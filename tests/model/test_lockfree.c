/* SPDX-License-Identifier: MIT */
/* The lock-free structures that free no memory: both rings, the deque, the sequence lock. What is
 * pushed comes out once, in order where that is said, with what was written to it before. */
#include "source.h"
#include "test.h"

#include "lockfree/deque.h"
#include "lockfree/ring.h"
#include "lockfree/seqlock.h"
#include "lockfree/spsc.h"

enum { ITEMS = 4, CAPACITY = 2 };

static struct item {
    int value, taken; /* plain: by whoever has it */
} items[ITEMS];
static int got[MODEL_THREADS];

void *hd__lf_alloc(size_t bytes) { return model_alloc(bytes); }
void hd__lf_free(void *p, size_t bytes) { (void)bytes; model_free(p); }
void hd__lf_wait(unsigned turn) { (void)turn; model_spin(); }

static void *make(int i) {
    items[i].value = i + 1;
    return &items[i];
}

static int took(void *p) {
    struct item *item = p;
    MODEL_ASSERT(item >= items && item < items + ITEMS);
    MODEL_ASSERT(item->value == item - items + 1 && !item->taken);
    item->taken = 1;
    got[model_self()]++;
    return item->value;
}

static int all_taken(void) {
    int n = 0;
    for (int i = 0; i < ITEMS; i++) n += items[i].taken;
    return n;
}

/* ---- One producer, one consumer ---- */

static struct hd_spsc *spsc;

static void setup_spsc(void) {
    spsc = model_alloc(hd__spsc_bytes(CAPACITY));
    hd__spsc_init(spsc, CAPACITY);
    model_name(spsc, hd__spsc_bytes(CAPACITY), "spsc");
}

static void spsc_pushes(void) {
    for (int i = 0; i < 3; i++) {
        void *item = make(i);
        if (hd__spsc_push(spsc, &item, 1) == 0) return;
    }
}

static void spsc_pops(void) {
    void *item;
    for (int i = 0; i < 3 && hd__spsc_pop(spsc, &item, 1); i++) MODEL_ASSERT(took(item) == i + 1);
}

static void spsc_pops_two(void) {
    void *two[2];
    size_t n = hd__spsc_pop(spsc, two, 2);
    for (size_t i = 0; i < n; i++) MODEL_ASSERT(took(two[i]) == (int)i + 1);
}

static void spsc_count(void) { model_outcome("%d", got[1]); }

/* ---- Many of both ---- */

static struct hd_ring *ring;

static void setup_ring(void) {
    ring = model_alloc(hd__ring_bytes(CAPACITY));
    hd__ring_init(ring, CAPACITY);
    model_name(ring, hd__ring_bytes(CAPACITY), "ring");
}

static bool ring_push(int i) {
    void *item = make(i);
    size_t n = hd__ring_push(ring, &item, 1);
    if (n == HD__RING_BUSY) model_give_up();
    return n == 1;
}

static bool ring_pop(void) {
    void *item;
    size_t n = hd__ring_pop(ring, &item, 1);
    if (n == HD__RING_BUSY) model_give_up();
    if (n == 1) (void)took(item);
    return n == 1;
}

static void ring_pushes_0(void) { MODEL_ASSERT(ring_push(0)); }
static void ring_pushes_1(void) { MODEL_ASSERT(ring_push(1)); }
static void ring_pops(void) { (void)ring_pop(); }
static void ring_pops_two(void) { if (ring_pop()) (void)ring_pop(); }

/* Goes round: the third finds the cell of the first. */
static void ring_pushes_three(void) {
    for (int i = 0; i < 3; i++) {
        if (!ring_push(i)) return;
    }
}

static void ring_pushed_is_popped(void) {
    void *item;
    while (hd__ring_pop(ring, &item, 1) == 1) (void)took(item);
    MODEL_ASSERT(all_taken() == 2);
}

/* ---- The deque ---- */

static struct hd_deque *deque;

static void setup_deque(void) {
    deque = model_alloc(sizeof *deque);
    hd__deque_init(deque, 1);
    model_name(deque, sizeof *deque, "deque");
    model_name(&deque->top, sizeof deque->top, "top");
    model_name(&deque->bottom, sizeof deque->bottom, "bottom");
    model_name(&deque->array, sizeof deque->array, "array");
}

static void setup_deque_of_two(void) {
    setup_deque();
    hd__deque_push(deque, make(0));
    hd__deque_push(deque, make(1));
}

static void owner_pushes_two(void) {
    hd__deque_push(deque, make(0));
    hd__deque_push(deque, make(1));
}

static void owner_pops(void) {
    void *item;
    if (hd__deque_pop(deque, &item)) (void)took(item);
}

static void owner_pops_two(void) {
    owner_pops();
    owner_pops();
}

static void owner_pushes_and_pops(void) {
    hd__deque_push(deque, make(0));
    owner_pops();
    hd__deque_push(deque, make(1));
}

static void thief(void) {
    void *item;
    if (hd__deque_steal(deque, &item)) (void)took(item);
}

static void thief_twice(void) {
    thief();
    thief();
}

static void deque_is_taken(void) {
    void *item;
    while (hd__deque_steal(deque, &item)) (void)took(item);
    MODEL_ASSERT(all_taken() == 2);
}

/* ---- The sequence lock ---- */

static struct hd__seqlock lock;
static _Atomic int first, second;

static void writes(void) {
    hd__seqlock_write_begin(&lock);
    int n = hd__load_relaxed(&first) + 1;
    hd__store_release(&first, n);
    hd__store_release(&second, n);
    (void)hd__seqlock_write_end(&lock);
}

static void reads(void) {
    uint64_t begun = hd__seqlock_read_begin(&lock);
    int a = hd__load_acquire(&first), b = hd__load_acquire(&second);
    if (hd__seqlock_read_retry(&lock, begun)) return;
    MODEL_ASSERT(a == b && (uint64_t)a * 2 == begun);
}

static void written_twice(void) { MODEL_ASSERT(first == 2 && second == 2); }

/* ---- The programs ---- */

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .threads = {__VA_ARGS__}};                        \
    TEST(lockfree_##name_) { model_must_hold(&name_); }

PROGRAM(spsc_one, setup_spsc, spsc_count, spsc_pushes, spsc_pops)
PROGRAM(spsc_batch, setup_spsc, spsc_count, spsc_pushes, spsc_pops_two)
PROGRAM(ring_two_and_one, setup_ring, ring_pushed_is_popped, ring_pushes_0, ring_pushes_1,
        ring_pops_two)
PROGRAM(ring_two_and_two, setup_ring, ring_pushed_is_popped, ring_pushes_0, ring_pushes_1,
        ring_pops, ring_pops)
PROGRAM(ring_round, setup_ring, NULL, ring_pushes_three, ring_pops_two)
PROGRAM(ring_round_of_two, setup_ring, NULL, ring_pushes_three, ring_pops, ring_pops)
PROGRAM(deque_last, setup_deque_of_two, deque_is_taken, owner_pops_two, thief_twice)
PROGRAM(deque_two_thieves, setup_deque_of_two, deque_is_taken, owner_pops_two, thief, thief)
PROGRAM(deque_grows, setup_deque, deque_is_taken, owner_pushes_two, thief_twice)
PROGRAM(deque_reuses, setup_deque, deque_is_taken, owner_pushes_and_pops, thief, thief)
PROGRAM(seqlock_one, NULL, NULL, writes, reads)
PROGRAM(seqlock_two, NULL, written_twice, writes, writes, reads)

#define BUFFERING "it keeps a load before another's store: load buffering (model.h)"
#define ATOMIC "owner and thieves draw the last one by read-modify-writes of one word"
static const struct model_spared spared[] = {
    {"hd__spsc_push load#2 acquire->relaxed", BUFFERING},
    {"hd__spsc_pop store release->relaxed", BUFFERING},
    {"hd__ring_pop store release->relaxed", BUFFERING},
    {"hd__deque_push load#2 acquire->relaxed", BUFFERING},
    {"hd__ring_draw load#2 acquire->relaxed", "linearizability is checked elsewhere"},
    {"hd__deque_pop cas seq_cst->acq_rel", ATOMIC},
    {"hd__deque_pop cas seq_cst->release", ATOMIC},
    {"hd__deque_pop store#2 release->relaxed", "there is nothing in the deque then"},
    {NULL, NULL},
};

TEST(lockfree_mutants) {
    static const struct model *const programs[] = {
        &spsc_one, &spsc_batch, &seqlock_one, &seqlock_two, &ring_round, &ring_two_and_one,
        &deque_last, &deque_grows, &deque_reuses, &deque_two_thieves, &ring_round_of_two, NULL};
    model_mutants_must_fail(programs, "src/lockfree/*", spared);
}
