/* SPDX-License-Identifier: MIT */
/* Readers and writers of protected pointers, preempted, interrupted and on foreign kernel threads:
 * no reader ever sees an object after its grace period. */
#include "crew.h"

enum { TESTS = 3, POINTERS = 3, WORDS = 6 };
static const uint64_t DEAD = 0xdeaddeaddeaddeadu;

struct object {
    hd_rcu_head head;
    struct board *board;
    _Atomic uint64_t words[WORDS]; /* all the same while it lives */
};

struct board {
    struct object *pointers[POINTERS];
    _Atomic uint64_t numbers, made, freed, reads, writes;
};

static struct object *make(struct board *b) {
    struct object *o = malloc(sizeof *o);
    uint64_t number = atomic_fetch_add(&b->numbers, 1) + 1;
    o->board = b;
    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&o->words[i], number, memory_order_relaxed);
    atomic_fetch_add(&b->made, 1);
    return o;
}

static void bury(hd_rcu_head *head) {
    struct object *o = (struct object *)(void *)head;
    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&o->words[i], DEAD, memory_order_relaxed);
    atomic_fetch_add(&o->board->freed, 1);
    free(o);
}

static void read_some(struct crew_member *m, struct board *b) {
    unsigned which = (unsigned)test_rng_below(&m->rng, POINTERS);
    bool nested = crew_chance(m, 4);
    hd_rcu_read_lock();
    struct object *o = hd_rcu_dereference(b->pointers[which]);
    uint64_t first = atomic_load_explicit(&o->words[0], memory_order_relaxed);
    CHECK_NE(first, DEAD);
    for (unsigned long n = test_rng_below(&m->rng, 300); n != 0; n--) {
        if (nested) hd_rcu_read_lock();
        CHECK_EQ(atomic_load_explicit(&o->words[n % WORDS], memory_order_relaxed), first);
        if (nested) hd_rcu_read_unlock();
    }
    hd_rcu_read_unlock();
    atomic_fetch_add_explicit(&b->reads, 1, memory_order_relaxed);
}

static void write_one(struct crew_member *m, struct board *b) {
    struct object *fresh = make(b);
    struct object *old =
        hd_rcu_exchange(b->pointers[test_rng_below(&m->rng, POINTERS)], fresh);
    switch (test_rng_below(&m->rng, 8)) {
    case 0:
        hd_rcu_call(&old->head, bury);
        hd_rcu_barrier();
        break;
    case 1:
    case 2:
        hd_rcu_synchronize();
        bury(&old->head);
        break;
    default:
        hd_rcu_read_lock();
        hd_rcu_call(&old->head, bury);
        hd_rcu_read_unlock();
    }
    atomic_fetch_add_explicit(&b->writes, 1, memory_order_relaxed);
}

static void read_and_write(struct crew_member *m) {
    struct board *b = m->shared;
    if (m->foreign) CHECK_OK(hd_rcu_register());
    while (crew_goes_on(m)) {
        if (crew_chance(m, 10))
            write_one(m, b);
        else
            read_some(m, b);
        if (crew_chance(m, 8)) crew_pause(m);
        if (m->foreign && crew_chance(m, 50)) {
            hd_rcu_unregister();
            CHECK_OK(hd_rcu_register());
        }
    }
}

static void play(unsigned threads, unsigned foreign) {
    struct board b = {0};
    for (int i = 0; i < POINTERS; i++) b.pointers[i] = make(&b);
    crew_run(read_and_write, &b, threads, foreign, crew_time_ns(TESTS), true);
    hd_rcu_barrier();
    for (int i = 0; i < POINTERS; i++) bury(&b.pointers[i]->head);
    CHECK_EQ(b.made, b.freed);
    CHECK_GT(b.reads, 0);
    CHECK_GT(b.writes, 0);
}

static int one_worker(void *arg) {
    play(*(unsigned *)arg, 2);
    return 0;
}

static int alone(void *arg) {
    play(*(unsigned *)arg, 0);
    return 0;
}

TEST_WITHIN(rcu_many_threads_of_two_workers, 60) {
    unsigned threads = 12;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .slice_us = 100), one_worker, &threads));
}

TEST_WITHIN(rcu_many_threads_of_three_workers, 60) {
    unsigned threads = 6;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 3), one_worker, &threads));
}

TEST_WITHIN(rcu_one_worker, 60) {
    unsigned threads = 8;
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1, .slice_us = 100), alone, &threads));
}
