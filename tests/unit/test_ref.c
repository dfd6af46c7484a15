/* SPDX-License-Identifier: MIT */
/* Reference counts: freed once, when the last reference is given back, by whomever; at the owner's
 * safe points, after its end; the ownership that moves; weak references; the counters. */
#include "ref_test.h"

/* ---- by the owner alone ---- */

static void use_alone(void) {
    struct item *i = item_new();
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    for (int n = 0; n < 100; n++)
        hd_ref_get(&i->ref);
    CHECK_EQ(hd_ref_count(&i->ref), 101);
    for (int n = 0; n < 100; n++)
        hd_ref_put(&i->ref);
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    CHECK_EQ(items(), 1);
    hd_ref_put(&i->ref);
    CHECK_EQ(items(), 0);
}

RUNTIME_TEST(an_owner_counts, 1) {
    use_alone();
    return 0;
}

TEST(a_foreign_owner_counts) {
    use_alone();
}

/* ---- by others ---- */

static void *put_it(void *arg) {
    item_put(arg);
    return NULL;
}

static void *get_and_put(void *arg) {
    struct item *i = arg;
    for (int n = 0; n < 10; n++)
        hd_ref_get(&i->ref);
    for (int n = 0; n < 10; n++)
        hd_ref_put(&i->ref);
    return NULL;
}

static void *elsewhere(bool outside, hd_fn fn, void *arg) {
    return outside ? foreign_join(foreign(fn, arg)) : join(spawn(fn, arg));
}

/* The owner finds what another gave back at its next safe point. */
static void give_away(bool outside) {
    struct item *i = item_new();
    elsewhere(outside, get_and_put, i);
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    elsewhere(outside, put_it, i);
    CHECK_EQ(items(), 1);
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK_EQ(items(), 0);
    CHECK_EQ(hd_ref_drain(), 0);
}

RUNTIME_TEST(another_gives_the_last_one_back, 2) {
    give_away(false);
    give_away(true);
    return 0;
}

TEST(foreign_ones_among_themselves) {
    give_away(true);
}

/* Ways to come by a safe point without asking for one. */
static void yield(void) {
    hd_yield();
}
static void sleep_shortly(void) {
    CHECK_OK(hd_sleep_for(1000));
}
static void make_another(void) {
    struct item *i = item_new();
    hd_ref_get(&i->ref);
    hd_ref_put(&i->ref);
    elsewhere(false, put_it, i);
    CHECK_EQ(hd_ref_drain(), 1);
}
static void put_another(void) {
    static struct item *i;
    if (i == NULL) {
        i = item_new();
    } else {
        item_put(i);
        i = NULL;
    }
}

RUNTIME_TEST(safe_points, 1) {
    static void (*const points[])(void) = {yield, sleep_shortly, make_another, put_another};
    put_another();
    for (unsigned n = 0; n < 4; n++) {
        struct item *i = item_new();
        join(spawn(put_it, i));
        CHECK_EQ(items(), 2);
        points[n]();
        CHECK_EQ(items(), n < 3 ? 1 : 0);
    }
    return 0;
}

/* The owner counts on while its object is on the way to it. */
RUNTIME_TEST(the_owner_counts_while_it_is_held, 1) {
    struct item *i = item_new();
    hd_ref_get(&i->ref);      /* 2 here */
    join(spawn(put_it, i));   /* 2 here, -1 there: queued */
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    hd_ref_put(&i->ref);      /* 1 here, -1 there */
    hd_ref_get(&i->ref);
    hd_ref_get(&i->ref);
    hd_ref_put(&i->ref);
    hd_ref_put(&i->ref);
    CHECK_EQ(items(), 1);
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK_EQ(items(), 0);
    return 0;
}

static void *get_it(void *arg) {
    hd_ref_get(&((struct item *)arg)->ref);
    return NULL;
}

/* The owner's part becomes 0, and even less, while others have references. */
RUNTIME_TEST(the_owner_gives_more_back_than_it_took, 1) {
    struct item *i = item_new();
    join(spawn(get_it, i));
    join(spawn(get_it, i));
    hd_ref_put(&i->ref);      /* its own last one: merged */
    CHECK_EQ(hd_ref_count(&i->ref), 2);
    hd_ref_put(&i->ref);
    CHECK_EQ(items(), 1);
    hd_ref_put(&i->ref);
    CHECK_EQ(items(), 0);

    i = item_new();           /* the same, while it is held */
    hd_ref_get(&i->ref);
    join(spawn(put_it, i));   /* 2 here, -1 there: queued */
    join(spawn(get_it, i));
    join(spawn(get_it, i));
    hd_ref_put(&i->ref);
    CHECK_EQ(hd_ref_count(&i->ref), 2);
    hd_ref_put(&i->ref);      /* 0 here: a safe point, which merges it */
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    CHECK_EQ(hd_ref_drain(), 0);
    hd_ref_put(&i->ref);
    CHECK_EQ(items(), 0);
    return 0;
}

/* ---- owners that end ---- */

static void *make_and_end(void *arg) {
    struct item *i = item_new();
    for (uintptr_t n = 0; n < (uintptr_t)arg; n++)
        hd_ref_get(&i->ref);
    return i;
}

static void outlive_owner(bool outside) {
    struct item *i = elsewhere(outside, make_and_end, (void *)2);
    CHECK_EQ(hd_ref_count(&i->ref), 3);
    get_and_put(i);
    elsewhere(!outside && hd_self(), get_and_put, i);
    item_put(i);
    item_put(i);
    CHECK_EQ(items(), 1);
    CHECK_EQ(hd_ref_count(&i->ref), 1);
    elsewhere(outside, put_it, i);
    CHECK_EQ(items(), 0);
}

RUNTIME_TEST(an_owner_ends_before_its_object, 2) {
    outlive_owner(false);
    outlive_owner(true);
    return 0;
}

static hd_sem handed, go_on;

static void *make_and_wait(void *arg) {
    struct item **out = arg;
    *out = item_new();
    hd_sem_post(&handed);
    while (hd_sem_wait(&go_on) != 0)
        continue;
    return NULL;
}

/* What is queued for it is freed at its end. */
static void end_with_a_queue(bool outside) {
    struct item *i;
    pthread_t p = 0;
    hd_thread *t = NULL;
    if (outside)
        p = foreign(make_and_wait, &i);
    else
        t = spawn(make_and_wait, &i);
    CHECK_OK(hd_sem_wait(&handed));
    item_put(i);
    CHECK_EQ(items(), 1);
    hd_sem_post(&go_on);
    if (outside)
        foreign_join(p);
    else
        join(t);
    CHECK_EQ(items(), 0);
}

RUNTIME_TEST(an_owner_ends_with_a_queue, 2) {
    end_with_a_queue(false);
    end_with_a_queue(true);
    return 0;
}

static struct item *left_over;

static int be_discarded(void *arg) {
    hd_thread *t = spawn(make_and_wait, &left_over);
    CHECK_OK(hd_sem_wait(&handed));
    item_put(left_over); /* queued for a thread that will not run again */
    hd_detach(t);
    return arg != NULL;
}

static void discard_one(void) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), be_discarded, NULL));
    go_on = (hd_sem)HD_SEM_INIT(0); /* the thread that waited there is gone */
}

static int just_yield(void *arg) {
    hd_yield();
    return arg != NULL;
}

/* A thread that the runtime discards leaves its queue to whoever comes. */
TEST(an_owner_is_discarded) {
    discard_one();
    CHECK_EQ(items(), 1);
    CHECK_EQ(hd_ref_drain(), 1);
    CHECK_EQ(items(), 0);
    discard_one();
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), just_yield, NULL));
    CHECK_EQ(items(), 0);
}

static struct item *kept;

static int keep_one(void *arg) {
    kept = item_new();
    hd_ref_get(&kept->ref);
    return arg != NULL;
}

static int put_kept(void *arg) {
    item_put(kept);
    return arg != NULL;
}

/* Objects live on when the runtime stops, and thread numbers are not used again. */
TEST(an_object_outlives_the_runtime) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), keep_one, NULL));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), put_kept, NULL));
    CHECK_EQ(items(), 1);
    get_and_put(kept);
    item_put(kept);
    CHECK_EQ(items(), 0);
}

/* ---- foreign kernel threads that end ---- */

static pthread_key_t early_key, late_key;

static void put_in_destructor(struct item *i) {
    struct item *new_one = item_new();
    get_and_put(i);
    item_put(i);
    item_put(new_one);
}

/* Whether the caller counts as the object's owner. */
static bool is_owner(const struct item *i) {
    uint64_t token = HD__TOKEN_NONE;
#ifdef HD__TOKEN_READ
    HD__TOKEN_READ(token);
#endif
    return i->ref.owner == token;
}

static void put_early(void *i) {
    CHECK(is_owner(i));
    put_in_destructor(i);
}

/* The owner has ended: others may be about to count for it. */
static void put_late(void *i) {
    CHECK(!is_owner(i));
    put_in_destructor(i);
}

static void *put_when_ending(void *arg) {
    struct item *i = item_new();
    for (int n = 0; n < 2; n++)
        hd_ref_get(&i->ref);
    if (arg == NULL)
        CHECK_EQ(pthread_setspecific(early_key, i), 0);
    else
        hd_ref_put(&i->ref);
    CHECK_EQ(pthread_setspecific(late_key, i), 0);
    return i;
}

/* A destructor of the C library may come after what ends the owner, or before: in the order in
 * which the keys were made. */
TEST(a_kernel_threads_destructors_count) {
    CHECK_EQ(pthread_key_create(&early_key, put_early), 0);
    use_alone(); /* makes ours */
    CHECK_EQ(pthread_key_create(&late_key, put_late), 0);
    for (int n = 0; n < 20; n++) {
        struct item *i = foreign_join(foreign(put_when_ending, n % 2 ? &late_key : NULL));
        CHECK_EQ(hd_ref_count(&i->ref), 1);
        item_put(i);
        CHECK_EQ(items(), 0);
    }
}

static void exit_thread(hd_ref *r) {
    item_free(r);
    pthread_exit(NULL);
}

static void *exit_in_destructor(void *arg) {
    struct item *i = item_new(), *j = item_new();
    i->ref.free = exit_thread;
    i->also = j;
    item_put(i);
    return arg;
}

TEST(a_kernel_thread_ends_in_a_destructor) {
    foreign_join(foreign(exit_in_destructor, NULL));
    hd_ref_drain();
    CHECK_EQ(items(), 0);
}

/* ---- destructors ---- */

enum { LONG_LIST = 100000 };

static struct item *list_of(unsigned n) {
    struct item *head = NULL;
    while (n-- > 0) {
        struct item *i = item_new();
        i->also = head;
        head = i;
    }
    return head;
}

/* On the stack of a thread, which has no room for as many nested calls. */
RUNTIME_TEST(a_long_list_is_freed, 1) {
    item_put(list_of(LONG_LIST));
    CHECK_EQ(items(), 0);
    struct item *list = list_of(LONG_LIST);
    join(spawn(put_it, list)); /* which frees none of them */
    CHECK_EQ(items(), LONG_LIST);
    while (hd_ref_drain() > 0)
        continue;
    CHECK_EQ(items(), 0);
    return 0;
}

static void *make_list(void *arg) {
    return list_of((unsigned)(uintptr_t)arg);
}

RUNTIME_TEST(a_long_list_of_an_owner_that_ended, 1) {
    item_put(join(spawn(make_list, (void *)LONG_LIST)));
    CHECK_EQ(items(), 0);
    return 0;
}

/* A destructor waits, and its thread goes on elsewhere. */
static void free_slowly(hd_ref *r) {
    struct item *also = HD_REF_OBJECT(r, struct item, ref)->also;
    CHECK_OK(hd_sleep_for(100000));
    hd_yield();
    if (also) {
        item_put(also);
        CHECK_EQ(items(), 2); /* it has not been freed yet */
    }
    HD_REF_OBJECT(r, struct item, ref)->also = NULL;
    item_free(r);
}

static void *put_slow_ones(void *arg) {
    for (int n = 0; n < 20; n++) {
        struct item *i = item_new();
        i->ref.free = free_slowly;
        item_put(i);
    }
    return arg;
}

RUNTIME_TEST(a_destructor_waits, 2) {
    struct item *i = item_new();
    i->ref.free = free_slowly;
    i->also = item_new();
    item_put(i);
    CHECK_EQ(items(), 0);
    hd_thread *t[4];
    for (int n = 0; n < 4; n++)
        t[n] = spawn(put_slow_ones, NULL);
    for (int n = 0; n < 4; n++)
        join(t[n]);
    CHECK_EQ(items(), 0);
    return 0;
}

/* ---- misuse ---- */

static void keep_memory(hd_ref *r) {
    (void)r;
}

static hd_ref permanent;

static void put_too_often(void *arg) {
    (void)arg;
    hd_ref_init(&permanent, keep_memory);
    hd_ref_put(&permanent);
    hd_ref_put(&permanent);
}

static void get_when_dead(void *arg) {
    (void)arg;
    hd_ref_init(&permanent, keep_memory);
    hd_ref_put(&permanent);
    hd_ref_get(&permanent);
}

static void put_shared_too_often(void *arg) {
    (void)arg;
    hd_ref_init(&permanent, keep_memory);
    hd_ref_share(&permanent);
    hd_ref_put(&permanent);
    hd_ref_put(&permanent);
}

static void *put_permanent(void *arg) {
    hd_ref_put(&permanent);
    return arg;
}

static void put_too_often_elsewhere(void *arg) {
    hd_ref_init(&permanent, keep_memory);
    foreign_join(foreign(put_permanent, arg));
    foreign_join(foreign(put_permanent, arg));
    hd_ref_drain();
}

static void init_without_destructor(void *arg) {
    (void)arg;
    hd_ref_init(&permanent, NULL);
}

static void weak_of_plain(void *arg) {
    (void)arg;
    hd_ref_init(&permanent, keep_memory);
    hd_ref_weak_get(&permanent);
}

static void weak_put_too_often(void *arg) {
    (void)arg;
    hd_ref_init_weak(&permanent, NULL, keep_memory);
    hd_ref_put(&permanent);
    hd_ref_weak_put(&permanent);
}

TEST(what_cannot_be_is_said) {
    check_fatal("hd_ref_put: object", put_too_often, NULL);
    check_fatal("hd_ref_get: object", get_when_dead, NULL);
    check_fatal("hd_ref_put: object", put_shared_too_often, NULL);
    check_fatal("hd_ref_put: object", put_too_often_elsewhere, NULL);
    check_fatal("hd_ref_init: r or free_object is NULL", init_without_destructor, NULL);
    check_fatal("initialise it by hd_ref_init_weak()", weak_of_plain, NULL);
    check_fatal("has no weak references", weak_put_too_often, NULL);
}
