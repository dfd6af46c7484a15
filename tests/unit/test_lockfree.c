/* SPDX-License-Identifier: MIT */
/* Rings, queue, stack, deque and sequence lock: what each does alone, and under threads that are
 * preempted anywhere, together with foreign kernel threads. Histories are checked by
 * stress/linear. */
#include "preempt_test.h"

static void *value(uintptr_t n) {
    return (void *)n;
}

/* ---- alone ---- */

TEST(an_spsc_ring_keeps_order_and_its_bounds) {
    hd_spsc *s = NULL;
    void *item = value(77);
    CHECK_ERR(hd_spsc_create(&s, 0), -EINVAL);
    CHECK_ERR(hd_spsc_create(&s, HD_RING_MAX + 1), -EINVAL);
    CHECK_OK(hd_spsc_create(&s, 5));
    CHECK_EQ(hd_spsc_capacity(s), 8);
    CHECK(!hd_spsc_pop(s, &item));
    CHECK_EQ(item, value(77));
    for (uintptr_t lap = 0; lap < 10; lap++) {
        for (uintptr_t i = 0; i < 8; i++)
            CHECK(hd_spsc_push(s, value(lap * 8 + i)));
        CHECK(!hd_spsc_push(s, value(99)));
        CHECK_EQ(hd_spsc_count(s), 8);
        for (uintptr_t i = 0; i < 8; i++) {
            CHECK(hd_spsc_pop(s, &item));
            CHECK_EQ(item, value(lap * 8 + i));
        }
        CHECK(!hd_spsc_pop(s, &item));
    }
    CHECK_EQ(hd_spsc_count(s), 0);
    hd_spsc_destroy(s);
    hd_spsc_destroy(NULL);
    CHECK_OK(hd_spsc_create(&s, 1));
    CHECK_EQ(hd_spsc_capacity(s), 1);
    CHECK(hd_spsc_push(s, NULL));
    CHECK(!hd_spsc_push(s, NULL));
    CHECK(hd_spsc_pop(s, &item));
    CHECK_EQ(item, NULL);
    hd_spsc_destroy(s);
}

TEST(an_spsc_ring_moves_several_at_once) {
    hd_spsc *s = NULL;
    void *in[10], *out[10];
    CHECK_OK(hd_spsc_create(&s, 8));
    for (uintptr_t i = 0; i < 10; i++)
        in[i] = value(i);
    CHECK_EQ(hd_spsc_push_n(s, in, 0), 0);
    CHECK_EQ(hd_spsc_push_n(s, in, 6), 6);
    CHECK_EQ(hd_spsc_push_n(s, in + 6, 4), 2);
    CHECK_EQ(hd_spsc_push_n(s, in, 1), 0);
    CHECK_EQ(hd_spsc_pop_n(s, out, 0), 0);
    CHECK_EQ(hd_spsc_pop_n(s, out, 5), 5);
    CHECK_EQ(hd_spsc_pop_n(s, out + 5, 5), 3);
    CHECK_EQ(hd_spsc_pop_n(s, out, 1), 0);
    CHECK_MEM_EQ(in, out, 8 * sizeof *in);
    hd_spsc_destroy(s);
}

TEST(a_ring_keeps_order_and_its_bounds) {
    hd_ring *r = NULL;
    void *item = value(77), *in[10], *out[10];
    CHECK_ERR(hd_ring_create(&r, 0), -EINVAL);
    CHECK_ERR(hd_ring_create(&r, HD_RING_MAX + 1), -EINVAL);
    CHECK_OK(hd_ring_create(&r, 1));
    CHECK_EQ(hd_ring_capacity(r), 2);
    hd_ring_destroy(r);
    hd_ring_destroy(NULL);
    CHECK_OK(hd_ring_create(&r, 4));
    CHECK(!hd_ring_pop(r, &item));
    CHECK_EQ(item, value(77));
    for (uintptr_t i = 0; i < 10; i++)
        in[i] = value(i);
    for (int lap = 0; lap < 10; lap++) {
        CHECK(hd_ring_push(r, in[0]));
        CHECK_EQ(hd_ring_push_n(r, in + 1, 9), 3);
        CHECK(!hd_ring_push(r, value(99)));
        CHECK_EQ(hd_ring_push_n(r, in, 2), 0);
        CHECK_EQ(hd_ring_count(r), 4);
        CHECK_EQ(hd_ring_pop_n(r, out, 3), 3);
        CHECK(hd_ring_pop(r, &out[3]));
        CHECK_MEM_EQ(in, out, 4 * sizeof *in);
        CHECK(!hd_ring_pop(r, &item));
        CHECK_EQ(hd_ring_pop_n(r, out, 9), 0);
        CHECK_EQ(hd_ring_pop_n(r, out, 0), 0);
    }
    hd_ring_destroy(r);
}

TEST(a_queue_keeps_order_over_its_segments) {
    enum { MANY = 5000 };
    hd_queue *q = NULL;
    void *item = value(77);
    CHECK_OK(hd_queue_create(&q));
    CHECK(hd_queue_is_empty(q));
    CHECK(!hd_queue_pop(q, &item));
    CHECK_EQ(item, value(77));
    for (uintptr_t i = 0; i < MANY; i++)
        CHECK_OK(hd_queue_push(q, value(i))); /* NULL and small numbers are items like others */
    CHECK(!hd_queue_is_empty(q));
    for (uintptr_t i = 0; i < MANY; i++) {
        CHECK(hd_queue_pop(q, &item));
        CHECK_EQ(item, value(i));
    }
    CHECK(!hd_queue_pop(q, &item));
    CHECK(hd_queue_is_empty(q));
    for (uintptr_t i = 0; i < MANY; i++)
        CHECK_OK(hd_queue_push(q, q));
    hd_queue_destroy(q);
    hd_queue_destroy(NULL);
}

static void add_up(void *item, void *sum) {
    *(uintptr_t *)sum = *(uintptr_t *)sum * 10 + (uintptr_t)item;
}

TEST(a_stack_gives_the_last_first) {
    static hd_stack s = HD_STACK_INIT;
    void *item = value(77);
    uintptr_t order = 0;
    CHECK(hd_stack_is_empty(&s));
    CHECK(!hd_stack_pop(&s, &item));
    CHECK_EQ(item, value(77));
    for (uintptr_t i = 0; i < 1000; i++)
        CHECK_OK(hd_stack_push(&s, value(i)));
    CHECK(!hd_stack_is_empty(&s));
    for (uintptr_t i = 1000; i-- > 4;) {
        CHECK(hd_stack_pop(&s, &item));
        CHECK_EQ(item, value(i));
    }
    CHECK_EQ(hd_stack_drain(&s, add_up, &order), 4);
    CHECK_EQ(order, 3210);
    CHECK_EQ(hd_stack_drain(&s, NULL, NULL), 0);
    CHECK_OK(hd_stack_push(&s, NULL));
    hd_stack_finish(&s);
    CHECK(hd_stack_is_empty(&s));
}

TEST(a_deque_has_an_end_for_its_owner_and_one_for_thieves) {
    hd_deque *d = NULL;
    void *item = value(77);
    CHECK_ERR(hd_deque_create(&d, ((size_t)1 << 28) + 1), -EINVAL);
    CHECK_OK(hd_deque_create(&d, 0));
    CHECK(!hd_deque_pop(d, &item));
    CHECK(!hd_deque_steal(d, &item));
    CHECK_EQ(item, value(77));
    for (uintptr_t i = 0; i < 1000; i++)
        CHECK_OK(hd_deque_push(d, value(i)));
    CHECK_EQ(hd_deque_count(d), 1000);
    for (uintptr_t i = 0; i < 500; i++) {
        CHECK(hd_deque_steal(d, &item));
        CHECK_EQ(item, value(i));
        CHECK(hd_deque_pop(d, &item));
        CHECK_EQ(item, value(999 - i));
    }
    CHECK(!hd_deque_pop(d, &item));
    CHECK(!hd_deque_steal(d, &item));
    CHECK_EQ(hd_deque_count(d), 0);
    hd_deque_destroy(d);
    hd_deque_destroy(NULL);
}

TEST(misuse_is_named) {
    static hd_seqlock l = HD_SEQLOCK_INIT;
    void *item;
    CHECK_DEATH("hd_seqlock_write_end: the caller is not writing", hd_seqlock_write_end(&l));
    hd_seqlock_write_begin(&l);
    CHECK_DEATH("hd_seqlock_write_begin: the caller is writing already",
                hd_seqlock_write_begin(&l));
    hd_seqlock_write_end(&l);
    CHECK_DEATH("hd_queue_push: q is NULL", hd_queue_push(NULL, NULL));
    CHECK_DEATH("hd_queue_create: out is NULL", hd_queue_create(NULL));
    CHECK_DEATH("hd_stack_pop: an argument is NULL", hd_stack_pop(NULL, &item));
}

/* ---- together: everything that goes in comes out once, in order ---- */

enum { ITEMS = 5000, SIDES = 3 };

static struct {
    hd_ring *ring;
    hd_queue *queue;
    hd_stack stack;
    hd_spsc *spsc;
    hd_deque *deque;
    counter taken, sum;
    uintptr_t items; /* each producer's */
    unsigned producers;
    bool (*push)(void *item);
    bool (*pop)(void **item);
    bool ordered;
} all;

static bool ring_push(void *item) {
    return hd_ring_push(all.ring, item);
}
static bool ring_pop(void **item) {
    return hd_ring_pop(all.ring, item);
}
static bool ring_push_some(void *item) {
    return hd_ring_push_n(all.ring, &item, 1) == 1;
}
static bool queue_push(void *item) {
    return hd_queue_push(all.queue, item) == 0;
}
static bool queue_pop(void **item) {
    return hd_queue_pop(all.queue, item);
}
static bool stack_push(void *item) {
    return hd_stack_push(&all.stack, item) == 0;
}
static bool stack_pop(void **item) {
    return hd_stack_pop(&all.stack, item);
}
static bool spsc_push(void *item) {
    return hd_spsc_push(all.spsc, item);
}
static bool spsc_pop(void **item) {
    return hd_spsc_pop(all.spsc, item);
}

static void give_way(void) {
    if (hd_self())
        hd_yield();
    else
        sched_yield();
}

/* An item is the producer's number and its own. */
static void *produce(void *arg) {
    uintptr_t base = (uintptr_t)arg << 32;
    for (uintptr_t i = 1; i <= all.items; i++) {
        while (!all.push(value(base + i)))
            give_way();
    }
    return NULL;
}

static void *consume(void *arg) {
    uintptr_t last[2 * SIDES] = {0};
    void *item;
    while (count_of(&all.taken) < all.producers * all.items) {
        if (!all.pop(&item)) {
            give_way();
            continue;
        }
        uintptr_t number = (uintptr_t)item & UINT32_MAX, from = (uintptr_t)item >> 32;
        CHECK_LT(from, all.producers);
        CHECK(number != 0 && number <= all.items);
        if (all.ordered)
            CHECK_GT(number, last[from]);
        last[from] = number;
        atomic_fetch_add(&all.sum, number);
        count_up(&all.taken);
    }
    return arg;
}

/* So many producers and consumers, the first `foreign` of each of them kernel threads. */
static void move_items(unsigned producers, unsigned consumers, unsigned foreign_ones, bool ordered,
                       int kind) {
    hd_thread *t[4 * SIDES];
    pthread_t p[4 * SIDES];
    unsigned threads = 0, kernel_threads = 0;
    all.items = test_iterations(ITEMS);
    all.producers = producers;
    all.ordered = ordered;
    atomic_store(&all.taken, 0);
    atomic_store(&all.sum, 0);
    for (unsigned i = 0; i < producers + consumers; i++) {
        bool producer = i < producers;
        unsigned number = producer ? i : i - producers;
        hd_fn fn = producer ? produce : consume;
        if (number < foreign_ones)
            p[kernel_threads++] = foreign(fn, value(number));
        else
            t[threads++] = spawn_kind(kind, fn, value(number));
    }
    while (threads > 0)
        join(t[--threads]);
    while (kernel_threads > 0)
        foreign_join(p[--kernel_threads]);
    CHECK_EQ(count_of(&all.taken), producers * all.items);
    CHECK_EQ(count_of(&all.sum), producers * (all.items * (all.items + 1) / 2));
}

PREEMPT_TEST(rings_lose_nothing, 3) {
    CHECK_OK(hd_ring_create(&all.ring, 16));
    all.push = ring_push, all.pop = ring_pop;
    move_items(SIDES, SIDES, 0, true, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 1, true, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 0, true, HD_PREEMPT_LIGHT);
    all.push = ring_push_some;
    move_items(SIDES, SIDES, 1, true, HD_PREEMPT_CARRIER);
    CHECK(!ring_pop(&(void *){NULL}));
    hd_ring_destroy(all.ring);
    return 0;
}

PREEMPT_TEST(spsc_rings_lose_nothing, 2) {
    CHECK_OK(hd_spsc_create(&all.spsc, 16));
    all.push = spsc_push, all.pop = spsc_pop;
    for (unsigned foreign_ones = 0; foreign_ones < 2; foreign_ones++)
        move_items(1, 1, foreign_ones, true, HD_PREEMPT_CARRIER);
    move_items(1, 1, 0, true, HD_PREEMPT_LIGHT);
    hd_spsc_destroy(all.spsc);
    return 0;
}

PREEMPT_TEST(queues_lose_nothing, 3) {
    CHECK_OK(hd_queue_create(&all.queue));
    all.push = queue_push, all.pop = queue_pop;
    move_items(SIDES, SIDES, 0, true, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 1, true, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 0, true, HD_PREEMPT_LIGHT);
    CHECK(hd_queue_is_empty(all.queue));
    hd_queue_destroy(all.queue);
    return 0;
}

PREEMPT_TEST(stacks_lose_nothing, 3) {
    all.push = stack_push, all.pop = stack_pop;
    move_items(SIDES, SIDES, 0, false, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 1, false, HD_PREEMPT_CARRIER);
    move_items(SIDES, SIDES, 0, false, HD_PREEMPT_LIGHT);
    CHECK(hd_stack_is_empty(&all.stack));
    hd_stack_finish(&all.stack);
    return 0;
}

/* ---- a deque's owner among thieves ---- */

static void took(void *item) {
    atomic_fetch_add(&all.sum, (uintptr_t)item);
    count_up(&all.taken);
}

static void *steal_some(void *arg) {
    void *item;
    while (count_of(&all.taken) < all.items) {
        if (hd_deque_steal(all.deque, &item))
            took(item);
        else
            give_way();
    }
    return arg;
}

PREEMPT_TEST(deques_lose_nothing, 3) {
    void *item;
    hd_thread *t[SIDES];
    all.items = test_iterations(4 * ITEMS);
    CHECK_OK(hd_deque_create(&all.deque, 2));
    for (int i = 0; i < SIDES; i++)
        t[i] = spawn(steal_some, NULL);
    pthread_t p = foreign(steal_some, NULL);
    struct test_rng rng = test_rng(1);
    for (uintptr_t i = 1; i <= all.items; i++) {
        CHECK_OK(hd_deque_push(all.deque, value(i)));
        while (test_rng_below(&rng, 2) == 0 && hd_deque_pop(all.deque, &item))
            took(item);
    }
    while (hd_deque_pop(all.deque, &item))
        took(item);
    for (int i = 0; i < SIDES; i++)
        join(t[i]);
    foreign_join(p);
    CHECK_EQ(count_of(&all.taken), all.items);
    CHECK_EQ(count_of(&all.sum), all.items * (all.items + 1) / 2);
    hd_deque_destroy(all.deque);
    return 0;
}

/* ---- sequence locks ---- */

static struct {
    hd_seqlock lock;
    uint64_t words[4];
    char odd[1 + 13]; /* not aligned from its second byte on */
    uint64_t a, b;
    _Atomic bool stop;
    counter reads, failed;
} guarded;

static void *write_again_and_again(void *arg) {
    for (uint64_t i = 1; !atomic_load(&guarded.stop); i++) {
        uint64_t words[4] = {i, i, i, i};
        char odd[13];
        memset(odd, (int)(i & 127), sizeof odd);
        hd_seqlock_write_begin(&guarded.lock);
        HD_SEQ_STORE(&guarded.a, i);
        HD_SEQ_STORE(&guarded.b, i);
        hd_seqlock_write_end(&guarded.lock);
        hd_seqlock_write(&guarded.lock, guarded.words, words, sizeof words);
        hd_seqlock_write(&guarded.lock, guarded.odd + 1, odd, sizeof odd);
        for (volatile int pause = 0; pause < 200; pause++) {
        }
    }
    return arg;
}

static void *read_again_and_again(void *arg) {
    while (!atomic_load(&guarded.stop)) {
        uint64_t words[4], a, b, begun;
        char odd[13];
        hd_seqlock_read(&guarded.lock, words, guarded.words, sizeof words);
        for (int i = 1; i < 4; i++)
            CHECK_EQ(words[i], words[0]);
        if (hd_seqlock_tryread(&guarded.lock, odd, guarded.odd + 1, sizeof odd))
            for (int i = 1; i < 13; i++)
                CHECK_EQ(odd[i], odd[0]);
        else
            count_up(&guarded.failed);
        do {
            begun = hd_seqlock_read_begin(&guarded.lock);
            a = HD_SEQ_LOAD(&guarded.a);
            b = HD_SEQ_LOAD(&guarded.b);
        } while (hd_seqlock_read_retry(&guarded.lock, begun));
        CHECK_EQ(a, b);
        count_up(&guarded.reads);
    }
    return arg;
}

PREEMPT_TEST(sequence_locks_give_one_write, 2) {
    hd_thread *t[] = {spawn(write_again_and_again, NULL), spawn(write_again_and_again, NULL),
                      spawn(read_again_and_again, NULL), spawn(read_again_and_again, NULL)};
    pthread_t p[] = {foreign(write_again_and_again, NULL), foreign(read_again_and_again, NULL)};
    uint64_t enough = test_iterations(2000);
    while (count_of(&guarded.reads) < enough)
        hd_sleep_for(MS);
    atomic_store(&guarded.stop, true);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    foreign_join(p[0]);
    foreign_join(p[1]);
    return 0;
}

TEST(a_sequence_lock_that_is_written_cannot_be_read) {
    static hd_seqlock l = HD_SEQLOCK_INIT;
    static uint64_t data = 5;
    uint64_t out = 0;
    CHECK(hd_seqlock_tryread(&l, &out, &data, sizeof out));
    CHECK_EQ(out, 5);
    uint64_t begun = hd_seqlock_read_begin(&l);
    hd_seqlock_write_begin(&l);
    CHECK(!hd_seqlock_tryread(&l, &out, &data, sizeof out));
    CHECK(hd_seqlock_read_retry(&l, begun));
    hd_seqlock_write_end(&l);
    CHECK(hd_seqlock_read_retry(&l, begun));
    CHECK(hd_seqlock_tryread(&l, &out, &data, sizeof out));
}
