/* SPDX-License-Identifier: MIT */
/* Reference counts: who owns an object, weak references, sharing, and the counters that tell. */
#include "ref_test.h"

static struct hd_ref_stats stats(void) {
    struct hd_ref_stats s = HD_REF_STATS_INIT;
    CHECK_OK(hd_ref_stats_get(&s));
    return s;
}

static void get_and_put(struct item *i, int times) {
    for (int n = 0; n < times; n++) {
        hd_ref_get(&i->ref);
        hd_ref_put(&i->ref);
    }
}

static void *use_it(void *arg) {
    get_and_put(arg, 1000);
    return NULL;
}

static void *put_it(void *arg) {
    item_put(arg);
    return NULL;
}

/* ---- the counters ---- */

RUNTIME_TEST(operations_are_counted_when_asked_for, 1) {
    struct item *before = item_new();
    hd_ref_stats_enable(true);
    struct item *i = item_new();
    hd_ref_stats_enable(false);
    get_and_put(before, 100);
    CHECK_EQ(stats().owner_ops, 0);
    get_and_put(i, 100);
    CHECK_EQ(stats().owner_ops, 200);
    CHECK_EQ(stats().shared_ops, 0);
    join(spawn(put_it, i));
    CHECK_EQ(stats().shared_ops, 1);
    CHECK_EQ(stats().queued, 1);
    CHECK_EQ(stats().merges, 0);
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK_EQ(stats().merges, 1);
    item_put(before);
    CHECK_EQ(items(), 0);
    CHECK_EQ(stats().bias_switches, 0);
    CHECK_EQ(stats().orphaned, 0);
    return 0;
}

TEST(the_size_of_stats_says_what_is_wanted) {
    struct hd_ref_stats s = HD_REF_STATS_INIT;
    s.size = 4;
    CHECK_ERR(hd_ref_stats_get(&s), -EINVAL);
    s.size = offsetof(struct hd_ref_stats, merges);
    s.merges = 77;
    CHECK_OK(hd_ref_stats_get(&s));
    CHECK_EQ(s.merges, 77);
    CHECK_EQ(s.owner_ops, 0);
    CHECK_EQ(s.size, offsetof(struct hd_ref_stats, merges));
}

/* ---- the owner changes ---- */

static void *make_one(void *arg) {
    (void)arg;
    return item_new();
}

/* The bias of an object that nobody owns goes to who uses it, in a few dozen operations. */
RUNTIME_TEST(who_uses_an_orphan_owns_it, 1) {
    hd_ref_stats_enable(true);
    struct item *i = join(spawn(make_one, NULL));
    get_and_put(i, 1000);
    struct hd_ref_stats s = stats();
    CHECK_EQ(s.orphaned, 1);
    CHECK_EQ(s.merges, 1);
    CHECK_EQ(s.bias_switches, 1);
    CHECK_EQ(s.migrations, 1);
    CHECK_GT(s.owner_ops, 1800);
    item_put(i);
    CHECK_EQ(items(), 0);
    return 0;
}

/* An owner that lives is asked, and answers at a safe point. */
RUNTIME_TEST(who_uses_it_most_asks_the_owner, 1) {
    hd_ref_stats_enable(true);
    struct item *i = item_new();
    join(spawn(use_it, i));
    CHECK_EQ(stats().queued, 1);
    CHECK_EQ(stats().bias_switches, 0);
    CHECK_EQ(hd_ref_drain(), 1);
    join(spawn(use_it, i));
    CHECK_EQ(stats().bias_switches, 1);
    CHECK_EQ(stats().migrations, 1);
    /* Its new owner has ended, so it comes back to us. */
    get_and_put(i, 1000);
    CHECK_EQ(stats().bias_switches, 2);
    CHECK_EQ(stats().migrations, 2);
    CHECK_EQ(stats().orphaned, 1);
    item_put(i);
    CHECK_EQ(items(), 0);
    return 0;
}

static hd_sem ping, pong;

static void *take_turns(void *arg) {
    for (;;) {
        CHECK_OK(hd_sem_wait(&ping));
        if (items() == 0)
            return NULL;
        get_and_put(arg, 4000);
        hd_ref_drain();
        hd_sem_post(&pong);
    }
}

/* Two threads that take turns: it moves, ever more rarely, and in the end not at all. */
RUNTIME_TEST(a_bias_settles, 1) {
    hd_ref_stats_enable(true);
    struct item *i = item_new();
    hd_thread *t = spawn(take_turns, i);
    for (int n = 0; n < 60; n++) {
        get_and_put(i, 4000);
        hd_ref_drain();
        hd_sem_post(&ping);
        CHECK_OK(hd_sem_wait(&pong));
    }
    CHECK_GT(stats().migrations, 2);
    CHECK_LE(stats().bias_switches, 11);
    get_and_put(i, 10);
    item_put(i);
    hd_ref_drain();
    while (items() != 0)
        hd_yield();
    hd_sem_post(&ping);
    join(t);
    return 0;
}

/* ---- shared from the beginning ---- */

RUNTIME_TEST(a_shared_object_is_freed_where_it_dies, 2) {
    hd_ref_stats_enable(true);
    struct item *i = item_new();
    hd_ref_share(&i->ref);
    get_and_put(i, 1000);
    join(spawn(use_it, i));
    hd_ref_share(&i->ref);
    foreign_join(foreign(use_it, i));
    CHECK_EQ(stats().owner_ops, 0);
    CHECK_EQ(stats().bias_switches, 0);
    CHECK_EQ(stats().shared_ops, 6000);
    join(spawn(put_it, i));
    CHECK_EQ(items(), 0);
    CHECK_EQ(stats().queued, 0);
    return 0;
}

static void *share_it(void *arg) {
    hd_ref_share(&((struct item *)arg)->ref);
    return NULL;
}

RUNTIME_TEST(another_asks_to_share, 1) {
    struct item *i = item_new();
    join(spawn(share_it, i));
    join(spawn(share_it, i));
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    join(spawn(use_it, i));
    join(spawn(put_it, i));
    CHECK_EQ(items(), 0);
    i = join(spawn(make_one, NULL)); /* whose owner has ended */
    hd_ref_share(&i->ref);
    item_put(i);
    CHECK_EQ(items(), 0);
    return 0;
}

/* ---- weak references ---- */

static void *try_it(void *arg) {
    struct item *i = arg;
    bool got = hd_ref_tryget(&i->ref);
    if (got)
        item_put(i);
    return got ? arg : NULL;
}

RUNTIME_TEST(a_weak_reference_keeps_the_memory, 2) {
    struct item *i = item_new_weak();
    hd_ref_weak_get(&i->ref);
    hd_ref_weak_get(&i->ref);
    CHECK(hd_ref_tryget(&i->ref));
    item_put(i);
    CHECK_EQ(join(spawn(try_it, i)), i);
    CHECK_EQ(foreign_join(foreign(try_it, i)), i);
    item_put(i);
    while (hd_ref_drain() > 0)
        continue;
    CHECK(atomic_load(&i->finished));
    CHECK_EQ(items(), 1);
    CHECK(!hd_ref_tryget(&i->ref));
    CHECK_EQ(join(spawn(try_it, i)), NULL);
    hd_ref_weak_put(&i->ref);
    CHECK(!hd_ref_tryget(&i->ref));
    hd_ref_weak_put(&i->ref);
    CHECK_EQ(items(), 0);
    return 0;
}

/* The last reference was given back elsewhere, and the owner has not noticed. */
RUNTIME_TEST(a_weak_reference_revives_what_is_held, 1) {
    struct item *i = item_new_weak();
    hd_ref_weak_get(&i->ref);
    join(spawn(put_it, i));
    CHECK(hd_ref_tryget(&i->ref));
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK(!atomic_load(&i->finished));
    item_put(i);
    CHECK(atomic_load(&i->finished));
    CHECK(!hd_ref_tryget(&i->ref));
    hd_ref_weak_put(&i->ref);
    CHECK_EQ(items(), 0);
    return 0;
}

static void finish_and_try(hd_ref *r) {
    CHECK(!hd_ref_tryget(r));
    hd_ref_weak_get(r); /* of memory that is there until the destructor has returned */
    hd_ref_weak_put(r);
    item_finish(r);
}

RUNTIME_TEST(nobody_revives_what_is_being_destroyed, 1) {
    for (int n = 0; n < 2; n++) {
        struct item *i = item_make();
        hd_ref_init_weak(&i->ref, finish_and_try, item_free);
        if (n == 1)
            hd_ref_share(&i->ref);
        item_put(i);
        CHECK_EQ(items(), 0);
    }
    struct item *i = item_make();
    hd_ref_init_weak(&i->ref, NULL, item_free);
    item_put(i);
    CHECK_EQ(items(), 0);
    return 0;
}
