/* SPDX-License-Identifier: MIT */
/* Counters, data for each worker and reference counts, with each allocation failing once, then all
 * from some point on: what can fail says so, all else is only slower. */
#include "in_turn.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic int64_t expected, freed, made;
static hd_counter counter = HD_COUNTER_INIT;
static hd_percpu *data;

static void *add(void *arg) {
    for (int i = 0; i < 100; i++)
        hd_counter_add(&counter, 1);
    atomic_fetch_add(&expected, 100);
    if (data) {
        int64_t *mine = hd_percpu_enter(data);
        ++*mine;
        hd_percpu_leave(data, mine);
    }
    return arg;
}

static void sum(void *instance, void *arg) {
    *(int64_t *)arg += *(int64_t *)instance;
}

/* ---- references ---- */

struct object {
    hd_ref ref;
    struct object *also;
};

static void object_free(hd_ref *r) {
    struct object *o = HD_REF_OBJECT(r, struct object, ref), *also = o->also;
    free(o);
    atomic_fetch_add(&freed, 1);
    if (also)
        hd_ref_put(&also->ref);
}

static struct object *object_new(struct object *also) {
    struct object *o = malloc(sizeof *o);
    CHECK(o != NULL);
    o->also = also;
    hd_ref_init(&o->ref, object_free);
    atomic_fetch_add(&made, 1);
    return o;
}

static void use(struct object *o, int times) {
    for (int i = 0; i < times; i++) {
        hd_ref_get(&o->ref);
        hd_ref_put(&o->ref);
    }
}

/* Enough of it to claim an object. */
static void *use_and_put(void *arg) {
    struct object *o = arg;
    use(o, 100);
    hd_ref_put(&o->ref);
    hd_ref_put(&object_new(object_new(NULL))->ref);
    return NULL;
}

static void *make(void *arg) {
    (void)arg;
    return object_new(object_new(NULL));
}

static bool spawn(hd_thread **t, hd_fn fn, void *arg) {
    int err = hd_spawn(t, NULL, fn, arg);
    CHECK_MSG(!faultless || err == 0, "error %d without a fault", err);
    return err == 0;
}

static int everything(void *arg) {
    struct object *shared = object_new(NULL), *orphan = NULL;
    hd_thread *t[6];
    int started = 0;
    void *result;
    (void)arg;
    for (int i = 0; i < 4; i++) {
        if (spawn(&t[started], add, NULL))
            started++;
        hd_ref_get(&shared->ref);
        if (i % 2 == 0 && spawn(&t[started], use_and_put, shared))
            started++;
        else
            hd_ref_put(&shared->ref);
    }
    for (int i = 0; i < started; i++)
        CHECK_OK(hd_join(t[i], &result));
    if (spawn(&t[0], make, NULL)) {
        CHECK_OK(hd_join(t[0], &result));
        orphan = result;
        use(orphan, 200);
        hd_ref_put(&orphan->ref);
    }
    add(NULL);
    hd_ref_put(&shared->ref);
    hd_ref_drain();
    return 0;
}

static void *outside(void *arg) {
    struct object *o = object_new(object_new(NULL));
    use(o, 50);
    hd_ref_put(&o->ref);
    return add(arg);
}

static void aligned(void) {
    char *p = hd_aligned_alloc(256, 3, 100);
    CHECK(p != NULL || !faultless);
    if (p)
        p[299] = 1;
    hd_aligned_free(p);
}

/* Once through all of it, in whatever state the seam is. */
static void scenario(void) {
    int64_t total = 0;
    pthread_t p;
    atomic_store(&expected, 0);
    data = NULL;
    aligned();
    int err = hd_percpu_create(&data, sizeof(int64_t), NULL, NULL);
    CHECK(err == 0 || (err == -ENOMEM && !faultless));
    err = hd_run(HD_CONFIG(.workers = 2), everything, NULL);
    CHECK_MSG(err == 0 || !faultless, "hd_run: %d", err);
    if (pthread_create(&p, NULL, outside, NULL) == 0)
        pthread_join(p, NULL);
    hd_ref_drain();
    CHECK_EQ(hd_counter_sum(&counter), atomic_load(&expected));
    if (data)
        hd_percpu_each(data, sum, &total);
    CHECK_EQ(total, data ? atomic_load(&expected) / 100 : 0);
    hd_percpu_destroy(data);
    hd_counter_finish(&counter);
    CHECK_EQ(atomic_load(&freed), atomic_load(&made));
}

FAIL_IN_TURN(scenario)
