/* SPDX-License-Identifier: MIT */
/* The checker of histories: it takes what is right and finds what is wrong. */
#include "linear.h"
#include "test.h"

static void add(struct linear_history *h, enum linear_call call, uint32_t value, uint32_t result,
                uint64_t begin_ns, uint64_t end_ns) {
    struct linear_op *op = linear_begin(h, call, value);
    linear_end(op, result);
    op->begin_ns = begin_ns;
    op->end_ns = end_ns;
}

static void push(struct linear_history *h, uint32_t value, uint64_t begin_ns, uint64_t end_ns) {
    add(h, LINEAR_PUSH, value, value, begin_ns, end_ns);
}

static void pop(struct linear_history *h, uint32_t result, uint64_t begin_ns, uint64_t end_ns) {
    add(h, LINEAR_POP, 0, result, begin_ns, end_ns);
}

TEST(no_calls_are_right) {
    struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 0);
    CHECK(linear_check(&h));
}

TEST(one_after_the_other) {
    struct linear_history queue = LINEAR_HISTORY(LINEAR_QUEUE, 0);
    struct linear_history stack = LINEAR_HISTORY(LINEAR_STACK, 0);
    for (int i = 0; i < 2; i++) {
        struct linear_history *h = i ? &stack : &queue;
        push(h, 1, 1, 2);
        push(h, 2, 3, 4);
        pop(h, i ? 2 : 1, 5, 6);
        pop(h, i ? 1 : 2, 7, 8);
        pop(h, LINEAR_FAILED, 9, 10);
        CHECK(linear_check(h));
        h->kind = i ? LINEAR_QUEUE : LINEAR_STACK;
        CHECK(!linear_check(h));
    }
}

TEST(overlapping_calls_have_any_order) {
    for (uint32_t first = 1; first <= 2; first++) {
        struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 0);
        push(&h, 1, 1, 4);
        push(&h, 2, 2, 5);
        pop(&h, first, 3, 6);
        pop(&h, 3 - first, 7, 8);
        CHECK(linear_check(&h));
    }
}

TEST(empty_after_a_push_has_returned_is_wrong) {
    struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 0);
    push(&h, 1, 1, 10); /* slow */
    push(&h, 2, 2, 3);
    pop(&h, LINEAR_FAILED, 4, 5);
    pop(&h, 1, 11, 12);
    pop(&h, 2, 13, 14);
    CHECK(!linear_check(&h));
    h.ops[1].end_ns = 6; /* not yet returned when the pop began */
    CHECK(linear_check(&h));
}

TEST(nothing_comes_twice_or_from_nowhere) {
    struct linear_history twice = LINEAR_HISTORY(LINEAR_STACK, 0);
    push(&twice, 1, 1, 2);
    pop(&twice, 1, 3, 6);
    pop(&twice, 1, 4, 7);
    CHECK(!linear_check(&twice));
    struct linear_history nowhere = LINEAR_HISTORY(LINEAR_STACK, 0);
    push(&nowhere, 1, 1, 10);
    pop(&nowhere, 2, 2, 9);
    CHECK(!linear_check(&nowhere));
    struct linear_history before = LINEAR_HISTORY(LINEAR_STACK, 0);
    pop(&before, 1, 1, 2);
    push(&before, 1, 3, 4);
    CHECK(!linear_check(&before));
}

TEST(full_is_full) {
    struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 1);
    push(&h, 1, 1, 2);
    add(&h, LINEAR_PUSH, 2, LINEAR_FAILED, 3, 4);
    CHECK(linear_check(&h));
    h.capacity = 2;
    CHECK(!linear_check(&h));
    h.capacity = 1;
    h.ops[1].result = 2;
    CHECK(!linear_check(&h));
}

TEST(a_deque_has_two_ends) {
    struct linear_history h = LINEAR_HISTORY(LINEAR_DEQUE, 0);
    for (uint32_t i = 1; i <= 3; i++)
        push(&h, i, 2 * i, 2 * i + 1);
    add(&h, LINEAR_STEAL, 0, 1, 10, 11);
    pop(&h, 3, 12, 13);
    add(&h, LINEAR_STEAL, 0, 2, 14, 15);
    CHECK(linear_check(&h));
    h.ops[3].result = 3;
    h.ops[4].result = 1;
    CHECK(!linear_check(&h));
}

TEST(many_overlapping_calls_are_searched_in_time) {
    struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 0);
    for (uint32_t i = 0; i < 7; i++)
        push(&h, i + 1, 1, 100);
    for (uint32_t i = 0; i < 7; i++)
        pop(&h, 7 - i, 200 + 2 * i, 201 + 2 * i);
    CHECK(linear_check(&h));
    h.ops[13].result = 2; /* the last one comes a second time, instead of the first */
    CHECK(!linear_check(&h));
}
