/* SPDX-License-Identifier: MIT */
/* What is freed while others may look at it: hazard pointers and epochs, and the stack and the
 * queue that use the first. Nobody touches what is free. */
#define HD_HOSTILE /* few records, short lists: only headers of src/lockfree see it here */
#define HD__RETIRED_LEAST 1
#define HD__QUEUE_SLOTS 2
#define HD__QUEUE_LOOKS 1
#include "base/base.h"

#include "lockfree/epoch.h"
#include "lockfree/queue.h"
#include "lockfree/stack.h"
#undef HD_HOSTILE

#include "model.h"
#include "test.h"

static struct object {
    struct hd__retired retired;
    int value;
} *objects[3];
static hd__hazard_source published;
static struct hd__hazard_domain domain;

void *hd__lf_alloc(size_t bytes) { return model_alloc(bytes); }
void hd__lf_free(void *p, size_t bytes) { (void)bytes; model_free(p); }
void hd__lf_wait(unsigned turn) { (void)turn; }
void hd__lf_barrier(void) {} /* for records of workers, which the queue's callers have */

static void free_object(void *p) { model_free(p); }

static void setup(void) {
    for (int i = 0; i < 3; i++) {
        objects[i] = model_alloc(sizeof *objects[i]);
        objects[i]->value = i + 1;
        model_name(objects[i], sizeof *objects[i], "object");
    }
    published = objects[0];
    model_name(&published, sizeof published, "published");
    model_name(&domain, sizeof domain, "domain");
}

/* ---- Hazard pointers ---- */

static void hazard_reads(void) {
    void *p;
    struct hd_hazard *h = hd__hazard_begin(&domain, model_self(), &published, &p);
    MODEL_ASSERT(((struct object *)p)->value > 0);
    hd__hazard_give(h);
}

static void hazard_replaces(void) {
    struct object *new = objects[model_self()];
    struct object *old = atomic_exchange_explicit(&published, new, memory_order_seq_cst);
    hd__hazard_retire(&domain, 0, &old->retired, old, free_object);
}

/* One retires, another frees: it finds the object in the list only. */
static void hazard_retires(void) {
    struct object *old = atomic_exchange_explicit(&published, objects[1], memory_order_seq_cst);
    old->retired.object = old;
    old->retired.free = free_object;
    (void)hd__retired_push(&domain.lists[0], &old->retired, &old->retired, 1, 1);
}

static void hazard_cleans(void) { (void)hd__hazard_clean(&domain, &domain.lists[0]); }

/* ---- Epochs ---- */

static struct hd_epoch *epoch;

static void setup_epoch(void) {
    setup();
    epoch = model_alloc(sizeof *epoch);
    hd__epoch_init(epoch);
    model_name(epoch, sizeof *epoch, "epoch");
}

static void epoch_reads(void) {
    uint32_t cell = hd__epoch_enter(epoch, 0);
    struct object *o = hd__load_acquire(&published);
    MODEL_ASSERT(o->value > 0);
    (void)hd__epoch_exit(epoch, cell);
}

static void epoch_replaces(void) {
    struct object *new = objects[model_self()];
    struct object *old = atomic_exchange_explicit(&published, new, memory_order_acq_rel);
    hd__epoch_retire(epoch, 0, &old->retired, old, free_object);
    (void)hd__epoch_clean(epoch, &epoch->lists[0]);
}

static void epoch_retires(void) {
    struct object *old = atomic_exchange_explicit(&published, objects[1], memory_order_acq_rel);
    old->retired.object = old;
    old->retired.free = free_object;
    (void)hd__retired_push(&epoch->lists[0], &old->retired, &old->retired, 1, 1);
}

static void epoch_cleans(void) {
    for (int i = 0; i < 2; i++) (void)hd__epoch_clean(epoch, &epoch->lists[0]);
}

static void epoch_advances(void) { (void)hd__epoch_advance(epoch); }

/* ---- The stack ---- */

static struct hd__stack stack;
static int popped[4];

static struct hd__node *node_of(uintptr_t item) {
    struct hd__node *node = model_alloc(sizeof *node);
    model_name(node, sizeof *node, "node");
    node->item = (void *)item;
    return node;
}

static void setup_stack(void) {
    setup();
    model_name(&stack, sizeof stack, "stack");
    hd__stack_push(&stack, node_of(1));
    hd__stack_push(&stack, node_of(2));
}

static void note(void *item) {
    MODEL_ASSERT((uintptr_t)item >= 1 && (uintptr_t)item <= 3);
    MODEL_ASSERT(popped[(uintptr_t)item]++ == 0);
}

static void stack_pops(void) {
    void *item;
    bool any = hd__stack_pop(&stack, &domain, model_self(), &item, free_object);
    MODEL_ASSERT(any);
    note(item);
}

static void stack_pushes(void) { hd__stack_push(&stack, node_of(3)); }

static void stack_rest(void) {
    void *item;
    while (hd__stack_pop(&stack, &domain, 0, &item, free_object)) note(item);
}

/* ---- The queue: segments of two ---- */

static struct hd_queue queue;
static int values[4];

static void setup_queue(void) {
    setup();
    hd__queue_init(&queue);
    model_name(&queue, sizeof queue, "queue");
}

static void queue_push(int i) {
    values[i] = i;
    MODEL_ASSERT(hd__queue_push(&queue, &domain, model_self(), &values[i]));
}

static int queue_pop(void) {
    void *item;
    if (!hd__queue_pop(&queue, &domain, model_self(), &item)) return 0;
    int i = *(int *)item;
    MODEL_ASSERT(item == &values[i]);
    note((void *)(uintptr_t)i);
    return i;
}

/* Its only segment is used up: the next push appends one, the next pop retires it. */
static void setup_queue_used_up(void) {
    setup_queue();
    queue_push(1);
    queue_push(2);
    (void)queue_pop();
    (void)queue_pop();
    popped[1] = popped[2] = 0;
}

static void queue_pushes_one(void) { queue_push(1); }
static void queue_pushes_two(void) { queue_push(2); }
static void queue_pops(void) { (void)queue_pop(); }

static void queue_pushes_both(void) {
    queue_push(1);
    queue_push(2);
}

static void queue_pops_in_order(void) {
    int first = queue_pop();
    MODEL_ASSERT(first == 0 || first == 1);
    if (first) MODEL_ASSERT(queue_pop() != 1);
}

static void queue_rest(void) {
    while (queue_pop()) {
    }
}

/* ---- The programs ---- */

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .threads = {__VA_ARGS__}};      \
    TEST(reclaim_##name_) { model_must_hold(&name_); }

#define LONG(name_, setup_, after_, ...)                                                 \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 400, .is_long = true,                \
                                       .threads = {__VA_ARGS__}};                        \
    TEST_WITHIN(reclaim_##name_, 600) { model_must_hold(&name_); }

PROGRAM(hazard_one, setup, NULL, hazard_reads, hazard_replaces)
PROGRAM(hazard_other_frees, setup, NULL, hazard_reads, hazard_retires, hazard_cleans)
PROGRAM(epoch_one, setup_epoch, NULL, epoch_reads, epoch_replaces)
PROGRAM(stack_two_poppers, setup_stack, stack_rest, stack_pops, stack_pops)
PROGRAM(stack_pushed, setup_stack, stack_rest, stack_pops, stack_pushes)
PROGRAM(queue_one, setup_queue, queue_rest, queue_pushes_one, queue_pops)
PROGRAM(queue_append, setup_queue_used_up, queue_rest, queue_pushes_one, queue_pops)
LONG(queue_two_append, setup_queue_used_up, queue_rest, queue_pushes_one, queue_pushes_two,
     queue_pops)
LONG(queue_order, setup_queue, queue_rest, queue_pushes_both, queue_pops_in_order)
LONG(epoch_helped, setup_epoch, NULL, epoch_reads, epoch_replaces, epoch_advances)
LONG(epoch_other_frees, setup_epoch, NULL, epoch_reads, epoch_retires, epoch_cleans)

#define AGAIN "it is read again before it counts"
#define ENOUGH "acquire and release do in programs with so few threads"
#define SLOT "the slot itself says whether there is an item"
static const struct model_spared spared[] = {
    {"hd__hazard_begin load acquire->relaxed", AGAIN},
    {"hd__hazard_collect load seq_cst->*", "there is one chunk of records"},
    {"hd__hazard_confirm store seq_cst->release", "nobody replaces twice"},
    {"hd__epoch_stamp rmw seq_cst->acq_rel", ENOUGH},
    {"hd__epoch_stamp rmw seq_cst->release", ENOUGH},
    {"hd__epoch_advance load seq_cst->acquire", ENOUGH},
    {"hd__epoch_advance cas seq_cst->acq_rel", ENOUGH},
    {"hd__epoch_advance cas seq_cst->release", ENOUGH},
    {"hd__epoch_advance failed-cas seq_cst->*", ENOUGH},
    {"hd__epoch_clean load seq_cst->acquire", ENOUGH},
    {"hd__epoch_enter rmw#2 release->relaxed", "a section that did not begin has seen nothing"},
    {"hd__stack_pop load acquire->relaxed", AGAIN},
    {"hd__segment_pop load* acquire->relaxed", SLOT},
    {"hd__segment_pop rmw acq_rel->*", SLOT},
    {"hd__queue_append load acquire->relaxed", AGAIN},
    {"hd__queue_move load acquire->relaxed", "who goes there has it from `head` or `tail`"},
    {"hd__queue_move failed-cas seq_cst->acquire", ENOUGH},
    {"hd__segment_is_empty load#2 acquire->relaxed", SLOT},
    {"hd__queue_pop_slow load acquire->relaxed", AGAIN},
    {"hd__queue_pop_slow load#2 seq_cst->*", "who appended has given its record back since"},
    /* Left to a long run. */
    {"hd__epoch_stamp rmw seq_cst->acquire", NULL},
    {"hd__epoch_advance load seq_cst->relaxed", NULL},
    {"hd__epoch_advance cas seq_cst->acquire", NULL},
    {"hd__epoch_clean load seq_cst->relaxed", NULL},
    {"hd__queue_append cas release->relaxed", NULL},
    {"hd__queue_move cas seq_cst->*", NULL},
    {"hd__queue_move failed-cas seq_cst->relaxed", NULL},
    {NULL, NULL},
};

TEST_WITHIN(reclaim_mutants, 1800) {
    static const struct model *const programs[] = {
        &hazard_one, &epoch_one, &stack_pushed, &stack_two_poppers,
        &queue_one, &queue_append, &hazard_other_frees,
        &epoch_other_frees, &epoch_helped, &queue_two_append, NULL};
    model_mutants_must_fail(programs, "src/*", spared);
}
