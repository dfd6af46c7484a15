/* SPDX-License-Identifier: MIT */
/* Whether a recorded history of operations on a queue, stack or deque is linearizable: whether the
 * operations can be put into an order that keeps those apart that did not overlap, and in which
 * each gave what the structure gives if one comes after the other.
 *
 *     struct linear_history h = LINEAR_HISTORY(LINEAR_QUEUE, 0);
 *     struct linear_op *op = linear_begin(&h, LINEAR_PUSH, 7);    // any thread; one slot each
 *     push(7);
 *     linear_end(op, 7);
 *     ...                                                          // when all have ended:
 *     CHECK(linear_check(&h));
 *
 * The search is J. M. Wing and C. Gong's (Testing and Verifying Concurrent Objects, 1993) with
 * G. Lowe's memory of configurations that led nowhere (Testing for Linearizability, 2017). */
#ifndef HEDDLE_TEST_LINEAR_H
#define HEDDLE_TEST_LINEAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINEAR_OPS = 64 };

/* A pop takes at the end where a push puts, from a stack or deque; else at the other end, as a
 * steal does. */
enum linear_kind { LINEAR_QUEUE, LINEAR_STACK, LINEAR_DEQUE };
enum linear_call { LINEAR_PUSH, LINEAR_POP, LINEAR_STEAL };

/* Results: of a push the value, or FAILED when it was full; of the others the value that was taken,
 * or FAILED when it was empty. */
#define LINEAR_FAILED UINT32_MAX

struct linear_op {
    enum linear_call call;
    uint32_t value, result;
    uint64_t begin_ns, end_ns;
};

struct linear_history {
    enum linear_kind kind;
    uint32_t capacity; /* 0: without limit */
    _Atomic size_t count;
    struct linear_op ops[LINEAR_OPS];
};

#define LINEAR_HISTORY(k, c) { .kind = (k), .capacity = (c) }

/* Notes that a call begins. Any thread; a history with too many calls ends the test. */
struct linear_op *linear_begin(struct linear_history *h, enum linear_call call, uint32_t value);
/* And that it has returned. */
void linear_end(struct linear_op *op, uint32_t result);

/* True: it is linearizable. When all calls have returned. */
bool linear_check(const struct linear_history *h);
/* Notes the calls, as test_note() does. */
void linear_show(const struct linear_history *h);

#endif
