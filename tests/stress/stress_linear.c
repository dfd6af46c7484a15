/* SPDX-License-Identifier: MIT */
/* Short histories of the lock-free structures, many of them, each checked for linearizability: of
 * the library's functions, called by threads and foreign kernel threads; and of the same algorithms
 * compiled here over atomics with random delays. What is broken on purpose must be found. */
#include "delayed_atomic.h"

#include "crew.h"
#include "linear.h"

#define HD__QUEUE_SLOTS 3
#define HD__RETIRED_LEAST 2
/* A whole fence: which CPUs a heavy barrier must interrupt, no test needs to know. */
#define HD__LF_LIGHT_BARRIER() atomic_thread_fence(memory_order_seq_cst)
#include "lockfree/deque.h"
#include "lockfree/queue.h"
#include "lockfree/ring.h"
#include "lockfree/spsc.h"
#include "lockfree/stack.h"

enum { ACTORS = 3, CALLS = 5, CAPACITY = 2 };

/* What is tested. The first actor owns the deque, or is the producer of an hd_spsc, whose consumer
 * is the second. */
struct subject {
    const char *name;
    enum linear_kind kind;
    uint32_t capacity;
    unsigned actors;
    bool spsc;
    void *(*make)(void);
    void (*destroy)(void *s);
    bool (*push)(void *s, void *item);
    bool (*pop)(void *s, void **item);
    bool (*steal)(void *s, void **item); /* deques */
};

/* ---- the library's ---- */

static void *ring_make(void) {
    hd_ring *r = NULL;
    CHECK_OK(hd_ring_create(&r, CAPACITY));
    return r;
}
static void ring_destroy(void *s) {
    hd_ring_destroy(s);
}
static bool ring_push(void *s, void *item) {
    return hd_ring_push(s, item);
}
static bool ring_pop(void *s, void **item) {
    return hd_ring_pop(s, item);
}

static void *spsc_make(void) {
    hd_spsc *r = NULL;
    CHECK_OK(hd_spsc_create(&r, CAPACITY));
    return r;
}
static void spsc_destroy(void *s) {
    hd_spsc_destroy(s);
}
static bool spsc_push(void *s, void *item) {
    return hd_spsc_push(s, item);
}
static bool spsc_pop(void *s, void **item) {
    return hd_spsc_pop(s, item);
}

static void *queue_make(void) {
    hd_queue *q = NULL;
    CHECK_OK(hd_queue_create(&q));
    return q;
}
static void queue_destroy(void *s) {
    hd_queue_destroy(s);
}
static bool queue_push(void *s, void *item) {
    return hd_queue_push(s, item) == 0;
}
static bool queue_pop(void *s, void **item) {
    return hd_queue_pop(s, item);
}

static void *stack_make(void) {
    return calloc(1, sizeof(hd_stack));
}
static void stack_destroy(void *s) {
    hd_stack_finish(s);
    free(s);
}
static bool stack_push(void *s, void *item) {
    return hd_stack_push(s, item) == 0;
}
static bool stack_pop(void *s, void **item) {
    return hd_stack_pop(s, item);
}

static void *deque_make(void) {
    hd_deque *d = NULL;
    CHECK_OK(hd_deque_create(&d, 1));
    return d;
}
static void deque_destroy(void *s) {
    hd_deque_destroy(s);
}
static bool deque_push(void *s, void *item) {
    return hd_deque_push(s, item) == 0;
}
static bool deque_pop(void *s, void **item) {
    return hd_deque_pop(s, item);
}
static bool deque_steal(void *s, void **item) {
    return hd_deque_steal(s, item);
}

static const struct subject own[] = {
    {"hd_ring", LINEAR_QUEUE, CAPACITY, ACTORS, false, ring_make, ring_destroy, ring_push, ring_pop,
     NULL},
    {"hd_spsc", LINEAR_QUEUE, CAPACITY, 2, true, spsc_make, spsc_destroy, spsc_push, spsc_pop,
     NULL},
    {"hd_queue", LINEAR_QUEUE, 0, ACTORS, false, queue_make, queue_destroy, queue_push, queue_pop,
     NULL},
    {"hd_stack", LINEAR_STACK, 0, ACTORS, false, stack_make, stack_destroy, stack_push, stack_pop,
     NULL},
    {"hd_deque", LINEAR_DEQUE, 0, ACTORS, false, deque_make, deque_destroy, deque_push, deque_pop,
     deque_steal},
};

/* ---- the same algorithms over delayed atomics ---- */

static struct hd__hazard_domain domain;

static unsigned hint(void) {
    return hd__lf_hint();
}

static void *slow_ring_make(void) {
    struct hd_ring *r = hd__lf_alloc(hd__ring_bytes(CAPACITY));
    hd__ring_init(r, CAPACITY);
    return r;
}
static void slow_ring_destroy(void *s) {
    hd__lf_free(s, hd__ring_bytes(CAPACITY));
}
static bool slow_ring_push(void *s, void *item) {
    size_t k;
    for (unsigned turn = 0; (k = hd__ring_push(s, &item, 1)) == HD__RING_BUSY; turn++)
        hd__lf_wait(turn);
    return k == 1;
}
static bool slow_ring_pop(void *s, void **item) {
    size_t k;
    for (unsigned turn = 0; (k = hd__ring_pop(s, item, 1)) == HD__RING_BUSY; turn++)
        hd__lf_wait(turn);
    return k == 1;
}

static void *slow_spsc_make(void) {
    struct hd_spsc *r = hd__lf_alloc(hd__spsc_bytes(CAPACITY));
    hd__spsc_init(r, CAPACITY);
    return r;
}
static void slow_spsc_destroy(void *s) {
    hd__lf_free(s, hd__spsc_bytes(CAPACITY));
}
static bool slow_spsc_push(void *s, void *item) {
    return hd__spsc_push(s, &item, 1) == 1;
}
static bool slow_spsc_pop(void *s, void **item) {
    return hd__spsc_pop(s, item, 1) == 1;
}

static void *slow_queue_make(void) {
    struct hd_queue *q = hd__lf_alloc(sizeof *q);
    CHECK(hd__queue_init(q));
    return q;
}
static void slow_queue_destroy(void *s) {
    hd__queue_finish(s);
    hd__lf_free(s, sizeof(struct hd_queue));
}
static bool slow_queue_push(void *s, void *item) {
    return hd__queue_push(s, &domain, hint(), item);
}
static bool slow_queue_pop(void *s, void **item) {
    return hd__queue_pop(s, &domain, hint(), item);
}

/* The fast ways, with a record that is the caller's for the moment. */
static struct hd_hazard *own_record(void) {
    struct hd_hazard *h;
    for (unsigned turn = 0; !(h = hd__hazard_take(&domain.first, hint(), HD__HAZARD_IDLE)); turn++)
        hd__lf_wait(turn);
    return h;
}
static bool light_queue_push(void *s, void *item) {
    struct hd_hazard *h = own_record();
    bool done = hd__queue_push_light(s, h, item);
    hd__hazard_give(h);
    return done || slow_queue_push(s, item);
}
static bool light_queue_pop(void *s, void **item) {
    struct hd_hazard *h = own_record();
    bool done = hd__queue_pop_light(s, h, item);
    hd__hazard_give(h);
    return done || slow_queue_pop(s, item);
}

static bool slow_stack_push(void *s, void *item) {
    struct hd__node *node = malloc(sizeof *node);
    node->item = item;
    hd__stack_push(s, node);
    return true;
}
static bool slow_stack_pop(void *s, void **item) {
    return hd__stack_pop(s, &domain, hint(), item, free);
}
static void slow_stack_destroy(void *s) {
    struct hd__node *node = hd__stack_take(s), *next;
    for (; node; node = next) {
        next = node->next;
        free(node);
    }
    free(s);
}

static void *slow_deque_make(void) {
    struct hd_deque *d = hd__lf_alloc(sizeof *d);
    CHECK(hd__deque_init(d, 1));
    return d;
}
static void slow_deque_destroy(void *s) {
    hd__deque_finish(s);
    hd__lf_free(s, sizeof(struct hd_deque));
}
static bool slow_deque_push(void *s, void *item) {
    return hd__deque_push(s, item);
}
static bool slow_deque_pop(void *s, void **item) {
    return hd__deque_pop(s, item);
}
static bool slow_deque_steal(void *s, void **item) {
    return hd__deque_steal(s, item);
}

static const struct subject slow[] = {
    {"ring", LINEAR_QUEUE, CAPACITY, ACTORS, false, slow_ring_make, slow_ring_destroy,
     slow_ring_push, slow_ring_pop, NULL},
    {"spsc", LINEAR_QUEUE, CAPACITY, 2, true, slow_spsc_make, slow_spsc_destroy, slow_spsc_push,
     slow_spsc_pop, NULL},
    {"queue", LINEAR_QUEUE, 0, ACTORS, false, slow_queue_make, slow_queue_destroy, slow_queue_push,
     slow_queue_pop, NULL},
    {"light queue", LINEAR_QUEUE, 0, ACTORS, false, slow_queue_make, slow_queue_destroy,
     light_queue_push, light_queue_pop, NULL},
    {"stack", LINEAR_STACK, 0, ACTORS, false, stack_make, slow_stack_destroy, slow_stack_push,
     slow_stack_pop, NULL},
    {"deque", LINEAR_DEQUE, 0, ACTORS, false, slow_deque_make, slow_deque_destroy, slow_deque_push,
     slow_deque_pop, slow_deque_steal},
};

/* ---- broken on purpose ---- */

/* Says "empty" when the producer of the next place is only late, as the ring's model does. */
static bool hasty_ring_pop(void *s, void **item) {
    return hd__ring_pop(s, item, 1) == 1;
}

/* The owner takes the last item without drawing it. */
static bool greedy_deque_pop(void *s, void **item) {
    struct hd_deque *d = s;
    int64_t b = hd__load_relaxed(&d->bottom) - 1;
    if (hd__load_acquire(&d->top) > b)
        return false;
    *item = hd__load_relaxed(hd__deque_place(hd__load_relaxed(&d->array), b));
    hd__store_release(&d->bottom, b);
    return true;
}

/* Takes the top without comparing. */
static bool careless_stack_pop(void *s, void **item) {
    struct hd__stack *stack = s;
    struct hd__node *node = hd__load_acquire(&stack->head);
    if (!node)
        return false;
    *item = node->item;
    hd__store_release(&stack->head, node->next);
    return true;
}

static void careless_stack_destroy(void *s) {
    free(s); /* nobody knows which nodes are still in it: they are left */
}

static bool careless_stack_push(void *s, void *item) {
    static struct hd__node nodes[1 << 16];
    static _Atomic uint32_t used;
    struct hd__node *node = &nodes[atomic_fetch_add(&used, 1) % (1 << 16)];
    node->item = item;
    hd__stack_push(s, node);
    return true;
}

static const struct subject broken[] = {
    {"hasty ring", LINEAR_QUEUE, CAPACITY, ACTORS, false, slow_ring_make, slow_ring_destroy,
     slow_ring_push, hasty_ring_pop, NULL},
    {"greedy deque", LINEAR_DEQUE, 0, ACTORS, false, slow_deque_make, slow_deque_destroy,
     slow_deque_push, greedy_deque_pop, slow_deque_steal},
    {"careless stack", LINEAR_STACK, 0, ACTORS, false, stack_make, careless_stack_destroy,
     careless_stack_push, careless_stack_pop, NULL},
};

/* ---- one history ---- */

struct round {
    const struct subject *subject;
    void *structure;
    struct linear_history history;
    _Atomic unsigned ready;
    _Atomic uint32_t values;
    unsigned actors;
};

struct actor {
    struct round *round;
    unsigned index;
    struct test_rng rng;
};

static void call_push(struct round *r) {
    uint32_t value = 1 + atomic_fetch_add_explicit(&r->values, 1, memory_order_relaxed);
    struct linear_op *op = linear_begin(&r->history, LINEAR_PUSH, value);
    bool done = r->subject->push(r->structure, (void *)(uintptr_t)value);
    linear_end(op, done ? value : LINEAR_FAILED);
}

static bool call_take(struct round *r, enum linear_call call) {
    void *item = NULL;
    struct linear_op *op = linear_begin(&r->history, call, 0);
    bool done = call == LINEAR_POP ? r->subject->pop(r->structure, &item)
                                   : r->subject->steal(r->structure, &item);
    linear_end(op, done ? (uint32_t)(uintptr_t)item : LINEAR_FAILED);
    return done;
}

static void *act(void *arg) {
    struct actor *a = arg;
    struct round *r = a->round;
    bool first = a->index == 0, owned = r->subject->steal != NULL;
    atomic_fetch_add(&r->ready, 1);
    for (unsigned looks = 0; atomic_load(&r->ready) < r->actors; looks++) {
        if (looks % 64 == 63 && hd_self())
            hd_yield();
        else if (looks % 64 == 63)
            sched_yield();
    }
    for (int i = 0; i < CALLS; i++) {
        bool pushes = r->subject->spsc ? first : test_rng_below(&a->rng, 2) == 0;
        if (owned && !first)
            call_take(r, LINEAR_STEAL);
        else if (pushes)
            call_push(r);
        else
            call_take(r, LINEAR_POP);
    }
    return NULL;
}

/* From a thread of the runtime. `foreign` of the actors are kernel threads. True: linearizable. */
static bool play(const struct subject *s, unsigned foreign, struct test_rng *rng) {
    struct round r = {.subject = s, .history = LINEAR_HISTORY(s->kind, s->capacity)};
    struct actor actors[ACTORS];
    pthread_t kernel_threads[ACTORS];
    hd_thread *threads[ACTORS];
    r.structure = s->make();
    r.actors = s->actors;
    for (unsigned i = 0; i < s->actors; i++) {
        actors[i] = (struct actor){&r, i, test_rng(test_rng_next(rng))};
        if (i < foreign)
            CHECK_EQ(pthread_create(&kernel_threads[i], NULL, act, &actors[i]), 0);
        else
            CHECK_OK(hd_spawn(&threads[i], NULL, act, &actors[i]));
    }
    for (unsigned i = s->actors; i-- > 0;) { /* parks first, then blocks its worker */
        if (i < foreign)
            CHECK_EQ(pthread_join(kernel_threads[i], NULL), 0);
        else
            CHECK_OK(hd_join(threads[i], NULL));
    }
    /* What is left, and that nothing is left then. A broken one may never say that. */
    for (int i = 0; i < 2 * CALLS * ACTORS && call_take(&r, LINEAR_POP); i++)
        continue;
    bool right = linear_check(&r.history);
    if (!right)
        linear_show(&r.history);
    s->destroy(r.structure);
    return right;
}

static void play_for(const struct subject *subjects, unsigned count, unsigned foreign,
                     uint64_t ns) {
    struct test_rng rng = test_rng(1);
    uint64_t end_ns = hd_now_ns() + ns, rounds = 0;
    do {
        for (unsigned i = 0; i < count; i++)
            CHECK_MSG(play(&subjects[i], foreign, &rng), "%s is not linearizable",
                      subjects[i].name);
        rounds++;
    } while (hd_now_ns() < end_ns);
    test_note("%llu rounds", (unsigned long long)rounds);
}

enum { TESTS = 4 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

STRESS_TEST(the_library_is_linearizable_for_threads) {
    CHECK_OK(hd_slice_set(100));
    play_for(own, COUNT(own), 0, crew_time_ns(TESTS));
    return 0;
}

STRESS_TEST(the_library_is_linearizable_for_kernel_threads_as_well) {
    play_for(own, COUNT(own), 2, crew_time_ns(TESTS));
    return 0;
}

STRESS_TEST(delays_break_nothing) {
    play_for(slow, COUNT(slow), ACTORS, crew_time_ns(TESTS));
    return 0;
}

STRESS_TEST(what_is_broken_is_found) {
    struct test_rng rng = test_rng(1);
    for (unsigned i = 0; i < COUNT(broken); i++) {
        int rounds = 1;
        while (play(&broken[i], ACTORS, &rng) && rounds < 20000)
            rounds++;
        test_note("%s: round %d", broken[i].name, rounds);
        CHECK_LT(rounds, 20000);
    }
    return 0;
}
