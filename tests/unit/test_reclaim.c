/* SPDX-License-Identifier: MIT */
/* Hazard pointers and epochs: nothing is freed that somebody uses, and what nobody uses is. Objects
 * come from malloc(), whose misuse the sanitizers see; besides, each knows whether it was freed. */
#include "preempt_test.h"

enum { ALIVE = 0x600df00d, DEAD = 0xdead };

struct object {
    hd_retired retired;
    _Atomic uint32_t state;
    uint64_t a, b; /* equal */
};

static counter freed;
static uint64_t made; /* one writer at a time, or the lock */
static struct object *current;

static struct object *object_new(void) {
    struct object *o = malloc(sizeof *o);
    CHECK(o != NULL);
    atomic_init(&o->state, ALIVE);
    o->a = o->b = ++made;
    return o;
}

static void object_free(void *arg) {
    struct object *o = arg;
    CHECK_EQ(atomic_exchange(&o->state, DEAD), ALIVE);
    o->b = 0;
    free(o);
    count_up(&freed);
}

static struct object *replace(struct object *by) {
    return __atomic_exchange_n(&current, by, __ATOMIC_SEQ_CST);
}

static void check_alive(const struct object *o) {
    CHECK_EQ(atomic_load_explicit(&o->state, memory_order_relaxed), ALIVE);
    CHECK_EQ(o->a, o->b);
}

/* ---- hazard pointers ---- */

TEST(what_is_protected_waits) {
    hd_hazard *h = hd_hazard_acquire(), *other = hd_hazard_acquire();
    CHECK(h != NULL && other != NULL && h != other);
    CHECK_EQ(hd_hazard_protect(h, &current), NULL);
    struct object *first = object_new(), *second = object_new();
    replace(first);
    CHECK_EQ(hd_hazard_protect(h, &current), first);
    hd_hazard_set(other, first);
    replace(second);
    hd_hazard_retire(&first->retired, first, object_free);
    CHECK_EQ(hd_hazard_flush(), 0);
    CHECK_EQ(hd_hazard_protect(h, &current), second);
    CHECK_EQ(hd_hazard_flush(), 0);
    check_alive(first);
    hd_hazard_set(other, NULL);
    CHECK_EQ(hd_hazard_flush(), 1);
    CHECK_EQ(count_of(&freed), 1);
    replace(NULL);
    hd_hazard_retire(&second->retired, second, object_free);
    CHECK_EQ(hd_hazard_flush(), 0);
    hd_hazard_release(h);
    CHECK_EQ(hd_hazard_flush(), 1);
    hd_hazard_release(other);
    hd_hazard_release(NULL);
}

TEST(more_hazard_pointers_than_fit_a_chunk) {
    enum { MANY = 1000 };
    static hd_hazard *h[MANY];
    static struct object *o[MANY];
    for (int i = 0; i < MANY; i++) {
        CHECK((h[i] = hd_hazard_acquire()) != NULL);
        o[i] = object_new();
        hd_hazard_set(h[i], o[i]);
    }
    for (int i = 0; i < MANY; i++)
        hd_hazard_retire(&o[i]->retired, o[i], object_free);
    CHECK_EQ(hd_hazard_flush(), 0);
    for (int i = 0; i < MANY; i += 2)
        hd_hazard_release(h[i]);
    CHECK_EQ(hd_hazard_flush(), MANY / 2);
    for (int i = 1; i < MANY; i += 2) {
        check_alive(o[i]);
        hd_hazard_release(h[i]);
    }
    CHECK_EQ(hd_hazard_flush(), MANY / 2);
}

TEST(few_retired_objects_wait_at_a_time) {
    for (int i = 0; i < 10000; i++) {
        struct object *o = object_new();
        hd_hazard_retire(&o->retired, o, object_free);
        CHECK_LT(made - count_of(&freed), 100);
    }
    hd_hazard_flush();
    CHECK_EQ(count_of(&freed), made);
}

static _Atomic bool stop;
static counter reads;

static void *read_by_hazard(void *arg) {
    hd_hazard *h = NULL;
    while (!atomic_load(&stop)) {
        if (!h)
            h = hd_hazard_acquire();
        CHECK(h != NULL);
        struct object *o = hd_hazard_protect(h, &current);
        for (int i = 0; i < 20; i++)
            check_alive(o);
        if (count_of(&reads) % 8 == 0 && hd_self())
            hd_yield();
        check_alive(o);
        if (count_of(&reads) % 3 == 0) {
            hd_hazard_release(h);
            h = NULL;
        }
        count_up(&reads);
    }
    hd_hazard_release(h);
    return arg;
}

static hd_mutex writers = HD_MUTEX_INIT;

static void *write_by_hazard(void *arg) {
    while (!atomic_load(&stop)) {
        hd_mutex_lock(&writers);
        struct object *o = object_new();
        hd_mutex_unlock(&writers);
        o = replace(o);
        hd_hazard_retire(&o->retired, o, object_free);
        if (hd_self())
            hd_yield();
    }
    return arg;
}

static void read_and_write(hd_fn reader, hd_fn writer) {
    hd_thread *t[] = {spawn(reader, NULL), spawn(reader, NULL), spawn(reader, NULL),
                      spawn(writer, NULL), spawn(writer, NULL)};
    pthread_t p[] = {foreign(reader, NULL), foreign(writer, NULL)};
    uint64_t enough = test_iterations(20000);
    while (count_of(&reads) < enough)
        hd_sleep_for(MS);
    atomic_store(&stop, true);
    for (int i = 0; i < 5; i++)
        join(t[i]);
    foreign_join(p[0]);
    foreign_join(p[1]);
}

PREEMPT_TEST(hazard_pointers_under_preemption, 2) {
    replace(object_new());
    read_and_write(read_by_hazard, write_by_hazard);
    object_free(replace(NULL));
    hd_hazard_flush();
    CHECK_EQ(count_of(&freed), made);
    return 0;
}

/* ---- epochs ---- */

static hd_epoch *domain;

static void retire(struct object *o) {
    hd_epoch_retire(domain, &o->retired, o, object_free);
}

TEST(what_was_retired_in_a_section_waits_for_it) {
    CHECK_OK(hd_epoch_create(&domain));
    hd_epoch_section s = hd_epoch_enter(domain);
    struct object *o = object_new();
    retire(o);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(hd_epoch_flush(domain), 0);
    check_alive(o);
    CHECK_ERR(hd_epoch_synchronize_until(domain, hd_now_ns() + MS), -ETIMEDOUT);
    hd_epoch_exit(domain, s);
    CHECK_OK(hd_epoch_synchronize(domain));
    CHECK_EQ(hd_epoch_flush(domain), 1);
    hd_epoch_destroy(domain);
    hd_epoch_destroy(NULL);
}

TEST(sections_may_nest_and_overlap) {
    CHECK_OK(hd_epoch_create(&domain));
    hd_epoch_section outer = hd_epoch_enter(domain), inner = hd_epoch_enter(domain);
    retire(object_new());
    CHECK_EQ(hd_epoch_flush(domain), 0);
    hd_epoch_exit(domain, outer);
    CHECK_EQ(hd_epoch_flush(domain), 0);
    hd_epoch_section later = hd_epoch_enter(domain);
    hd_epoch_exit(domain, inner);
    /* `later` may have begun in the same epoch, and then keeps the object as well. */
    hd_epoch_exit(domain, later);
    while (hd_epoch_flush(domain) == 0)
        continue;
    CHECK_EQ(count_of(&freed), 1);
    hd_epoch_destroy(domain);
}

TEST(destroying_frees_what_was_retired) {
    CHECK_OK(hd_epoch_create(&domain));
    for (int i = 0; i < 1000; i++)
        retire(object_new());
    CHECK_GT(count_of(&freed), 0);
    hd_epoch_destroy(domain);
    CHECK_EQ(count_of(&freed), made);
}

TEST(misuse_is_named) {
    CHECK_OK(hd_epoch_create(&domain));
    hd_epoch_section s = hd_epoch_enter(domain);
    CHECK_DEATH("hd_epoch_destroy: somebody is in a section", hd_epoch_destroy(domain));
    hd_epoch_exit(domain, s);
    CHECK_DEATH("hd_epoch_exit: there is no such section", hd_epoch_exit(domain, s));
    hd_epoch_destroy(domain);
    hd_hazard *h = hd_hazard_acquire();
    hd_hazard_release(h);
    CHECK_DEATH("hd_hazard_release: this hazard pointer was released", hd_hazard_release(h));
    CHECK_DEATH("hd_hazard_protect: h is not in use", hd_hazard_protect(h, &current));
    CHECK_DEATH("hd_hazard_retire: an argument is NULL", hd_hazard_retire(NULL, NULL, NULL));
}

static void *read_in_sections(void *arg) {
    while (!atomic_load(&stop)) {
        hd_epoch_section s = hd_epoch_enter(domain);
        struct object *o = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        for (int i = 0; i < 20; i++)
            check_alive(o);
        if (count_of(&reads) % 8 == 0 && hd_self())
            hd_yield();
        check_alive(o);
        hd_epoch_exit(domain, s);
        count_up(&reads);
    }
    return arg;
}

static void *write_in_epochs(void *arg) {
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        hd_mutex_lock(&writers);
        struct object *o = object_new();
        hd_mutex_unlock(&writers);
        /* Release is enough here: the list orders it before the epoch is read. */
        o = __atomic_exchange_n(&current, o, __ATOMIC_ACQ_REL);
        if (i % 64 == 0) {
            CHECK_OK(hd_epoch_synchronize(domain));
            object_free(o);
        } else {
            retire(o);
        }
        if (hd_self())
            hd_yield();
    }
    return arg;
}

PREEMPT_TEST(epochs_under_preemption, 2) {
    CHECK_OK(hd_epoch_create(&domain));
    replace(object_new());
    read_and_write(read_in_sections, write_in_epochs);
    object_free(replace(NULL));
    hd_epoch_destroy(domain);
    CHECK_EQ(count_of(&freed), made);
    return 0;
}

/* ---- a reader that stands still ---- */

static counter inside;
static hd_event go_on = HD_EVENT_INIT;

static void *stand_still(void *arg) {
    hd_epoch_section s = hd_epoch_enter(domain);
    hd_hazard *h = hd_hazard_acquire();
    struct object *o = hd_hazard_protect(h, &current);
    count_up(&inside);
    hd_event_wait(&go_on);
    check_alive(o);
    hd_hazard_release(h);
    hd_epoch_exit(domain, s);
    return arg;
}

PREEMPT_TEST(who_stands_still_keeps_one_object_or_all, 2) {
    enum { THREADS = 200, MANY = 5000 };
    static hd_thread *t[THREADS];
    CHECK_OK(hd_epoch_create(&domain));
    struct object *kept = object_new();
    replace(kept);
    for (int i = 0; i < THREADS; i++)
        t[i] = spawn(stand_still, NULL);
    while (count_of(&inside) < THREADS)
        hd_yield();
    replace(NULL);
    hd_hazard_retire(&kept->retired, kept, object_free);
    for (int i = 0; i < MANY; i++) {
        struct object *o = object_new();
        hd_hazard_retire(&o->retired, o, object_free);
    }
    hd_hazard_flush();
    CHECK_EQ(count_of(&freed), made - 1);
    for (int i = 0; i < MANY; i++)
        retire(object_new());
    CHECK_EQ(hd_epoch_flush(domain), 0);
    CHECK_EQ(count_of(&freed), made - 1 - MANY);
    hd_event_set(&go_on);
    for (int i = 0; i < THREADS; i++)
        join(t[i]);
    CHECK_EQ(hd_hazard_flush(), 1);
    CHECK_EQ(hd_epoch_flush(domain), MANY);
    hd_epoch_destroy(domain);
    return 0;
}

static void *synchronize(void *arg) {
    CHECK_ERR(hd_epoch_synchronize(domain), -EINTR);
    return arg;
}

PREEMPT_TEST(waiting_for_readers_can_be_interrupted, 1) {
    CHECK_OK(hd_epoch_create(&domain));
    hd_epoch_section s = hd_epoch_enter(domain);
    hd_thread *t = spawn(synchronize, NULL);
    let_wait();
    CHECK_OK(hd_interrupt(t));
    join(t);
    hd_epoch_exit(domain, s);
    hd_epoch_destroy(domain);
    return 0;
}
