/* SPDX-License-Identifier: MIT */
/* The lock-free structures, with each allocation failing once, then all from some point on: what
 * takes memory says that there is none, loses nothing, and goes on when there is some again. */
#include "test.h"

#include "os/fault.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <stdlib.h>

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

static void *value(uintptr_t n) {
    return (void *)n;
}

/* Creates, with the first allocations failing one by one; each structure has at most three. */
#define CHECK_CREATE(call)                                                                         \
    do {                                                                                           \
        int err_ = -ENOMEM;                                                                        \
        for (uint64_t nth_ = 1; err_ != 0; nth_++) {                                               \
            CHECK_LE(nth_, 4);                                                                     \
            hd__fault_arm(nth_);                                                                   \
            err_ = (call);                                                                         \
            CHECK(err_ == 0 || err_ == -ENOMEM);                                                   \
            CHECK_EQ(err_ != 0, hd__fault_failed() != 0);                                          \
        }                                                                                          \
        hd__fault_arm(0);                                                                          \
    } while (0)

TEST(creating_says_that_there_is_no_memory) {
    hd_spsc *s = NULL;
    hd_ring *r = NULL;
    hd_queue *q = NULL;
    hd_deque *d = NULL;
    hd_epoch *e = NULL;
    CHECK_CREATE(hd_spsc_create(&s, 8));
    CHECK_CREATE(hd_ring_create(&r, 8));
    CHECK_OK(hd_queue_create(&q)); /* the first one asks for more than memory */
    hd_queue_destroy(q);
    CHECK_CREATE(hd_queue_create(&q));
    CHECK_CREATE(hd_deque_create(&d, 8));
    CHECK_CREATE(hd_epoch_create(&e));
    hd_spsc_destroy(s);
    hd_ring_destroy(r);
    hd_queue_destroy(q);
    hd_deque_destroy(d);
    hd_epoch_destroy(e);
}

TEST(a_queue_without_memory_keeps_what_it_has) {
    hd_queue *q = NULL;
    void *item;
    uintptr_t pushed = 0, popped = 0;
    CHECK_OK(hd_queue_create(&q));
    for (int round = 0; round < 3; round++) {
        hd__fault_arm_from(1);
        int err;
        while ((err = hd_queue_push(q, value(pushed))) == 0)
            CHECK_LT(++pushed, 100000);
        CHECK_EQ(err, -ENOMEM);
        CHECK_ERR(hd_queue_push(q, value(pushed)), -ENOMEM);
        if (round > 0)
            CHECK(hd_queue_pop(q, &item) && item == value(popped++));
        hd__fault_arm(0);
        CHECK_OK(hd_queue_push(q, value(pushed)));
        pushed++;
    }
    while (hd_queue_pop(q, &item))
        CHECK_EQ(item, value(popped++));
    CHECK_EQ(popped, pushed);
    hd_queue_destroy(q);
}

TEST(a_queue_without_membarrier_works) {
    hd_queue *q = NULL;
    void *item;
    hd__fault_arm(1);
    CHECK_OK(hd_queue_create(&q));
    CHECK_STR_EQ(hd__fault_site(), "membarrier");
    hd__fault_arm(0);
    for (uintptr_t i = 0; i < 3000; i++)
        CHECK_OK(hd_queue_push(q, value(i)));
    for (uintptr_t i = 0; i < 3000; i++)
        CHECK(hd_queue_pop(q, &item) && item == value(i));
    CHECK(!hd_queue_pop(q, &item));
    hd_queue_destroy(q);
}

TEST(a_deque_without_memory_keeps_what_it_has) {
    hd_deque *d = NULL;
    void *item;
    uintptr_t n = 0;
    CHECK_OK(hd_deque_create(&d, 4));
    hd__fault_arm_from(1);
    while (hd_deque_push(d, value(n)) == 0)
        CHECK_LT(++n, 100);
    CHECK_EQ(n, 4);
    CHECK(hd_deque_steal(d, &item));
    CHECK_EQ(item, value(0));
    CHECK_OK(hd_deque_push(d, value(n)));
    CHECK_ERR(hd_deque_push(d, value(n)), -ENOMEM);
    hd__fault_arm(0);
    CHECK_OK(hd_deque_push(d, value(n + 1)));
    for (uintptr_t i = n + 1; i >= 1; i--)
        CHECK(hd_deque_pop(d, &item) && item == value(i));
    CHECK(!hd_deque_pop(d, &item));
    hd_deque_destroy(d);
}

TEST(a_stack_without_memory_keeps_what_it_has) {
    static hd_stack s = HD_STACK_INIT;
    void *item;
    uintptr_t n = 0;
    CHECK_OK(hd_stack_push(&s, value(n++)));
    hd__fault_arm_from(1);
    int err;
    while ((err = hd_stack_push(&s, value(n))) == 0)
        CHECK_LT(++n, 1000000);
    CHECK_EQ(err, -ENOMEM);
    while (n > 0) {
        CHECK(hd_stack_pop(&s, &item)); /* retires nodes meanwhile */
        CHECK_EQ(item, value(--n));
    }
    CHECK(!hd_stack_pop(&s, &item));
    hd__fault_arm(0);
    CHECK_OK(hd_stack_push(&s, NULL));
    hd_stack_finish(&s);
}

struct object {
    hd_retired retired;
    bool *freed;
};

static void object_free(void *arg) {
    *((struct object *)arg)->freed = true;
}

TEST(hazard_pointers_without_memory) {
    enum { MANY = 1000 };
    static hd_hazard *h[MANY];
    static struct object o[MANY];
    static bool freed[MANY];
    int got = 0;
    hd__fault_arm_from(1);
    CHECK(hd_hazard_acquire() == NULL);
    hd__fault_arm(0);
    CHECK((h[got++] = hd_hazard_acquire()) != NULL);
    hd__fault_arm_from(1);
    while (got < MANY && (h[got] = hd_hazard_acquire()) != NULL)
        got++;
    CHECK_LT(got, MANY);
    hd__fault_arm(0);
    while (got < MANY)
        CHECK((h[got++] = hd_hazard_acquire()) != NULL);
    for (int i = 0; i < MANY; i++) {
        o[i].freed = &freed[i];
        hd_hazard_set(h[i], i % 2 ? &o[i] : NULL);
    }
    /* No memory for a table: the records are looked at one by one. */
    hd__fault_arm_from(1);
    for (int i = 0; i < MANY; i++)
        hd_hazard_retire(&o[i].retired, &o[i], object_free);
    hd_hazard_flush();
    hd__fault_arm(0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(freed[i], i % 2 == 0);
        hd_hazard_release(h[i]);
    }
    CHECK_EQ(hd_hazard_flush(), MANY / 2);
}
