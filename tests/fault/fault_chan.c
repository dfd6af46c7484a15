/* SPDX-License-Identifier: MIT */
/* Channels, choices and read-copy-update with each allocation and system call failing once, then
 * all from some point on: what can fail says so, nothing is lost. And read-copy-update where the
 * kernel has no membarrier(). */
#include "in_turn.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 3000, CASES = 12 };

static bool worked(bool good) {
    CHECK_MSG(good || !faultless, "%s", "a failure without a fault");
    return good;
}

/* ---- channels ---- */

static void use_unbounded(void) {
    int sent = 0, received = 0, values[100], value;
    hd_chan *c = hd_chan_create(sizeof(int), HD_CHAN_UNBOUNDED);
    if (!worked(c != NULL)) return;
    while (sent < MANY) {
        int err = hd_chan_send(c, &sent);
        if (err != 0) CHECK_ERR(err, -ENOMEM);
        if (worked(err == 0))
            sent++;
        else
            break;
    }
    for (int i = 0; i < 100; i++) values[i] = sent + i;
    ssize_t n = hd_chan_send_many(c, values, 100);
    if (worked(n == 100) || n > 0)
        sent += (int)n;
    else
        CHECK_EQ(n, -ENOMEM);
    CHECK_EQ(hd_chan_count(c), sent);
    while (hd_chan_tryrecv(c, &value) == 0) CHECK_EQ(value, received++);
    CHECK_EQ(received, sent);
    hd_chan_destroy(c);
}

static void use_select(void) {
    struct hd_select_case cases[CASES];
    int in[CASES], out[CASES];
    hd_chan *c = hd_chan_create(sizeof(int), HD_CHAN_UNBOUNDED);
    if (!worked(c != NULL)) return;
    for (int i = 0; i < CASES; i++) {
        in[i] = i;
        cases[i] = i % 2 ? (struct hd_select_case)HD_CASE_SEND(c, &in[i])
                         : (struct hd_select_case)HD_CASE_RECV(c, &out[i]);
    }
    long balance = 0;
    for (int turn = 0; turn < 50; turn++) {
        int i = hd_select(cases, CASES, HD_FOREVER);
        if (i < 0) {
            CHECK_ERR(i, -ENOMEM);
            worked(false);
        } else if (cases[i].result != 0) {
            CHECK_ERR(cases[i].result, -ENOMEM);
            worked(false);
        } else {
            balance += i % 2 ? 1 : -1;
        }
    }
    CHECK_EQ((long)hd_chan_count(c), balance);
    hd_chan_destroy(c);
}

/* ---- read-copy-update ---- */

struct object {
    hd_rcu_head rcu;
    _Atomic int value;
};
static struct object *current;
static _Atomic int made, freed;

static void bury(hd_rcu_head *head) {
    struct object *o = (struct object *)(void *)head;
    atomic_store(&o->value, -1);
    atomic_fetch_add(&freed, 1);
    free(o);
}

static struct object *make(void) {
    struct object *o = malloc(sizeof *o);
    CHECK(o != NULL);
    atomic_init(&o->value, atomic_fetch_add(&made, 1));
    return o;
}

static void *read_and_write(void *arg) {
    for (int i = 0; i < 200; i++) {
        hd_rcu_read_lock();
        struct object *o = hd_rcu_dereference(current);
        int value = atomic_load(&o->value);
        CHECK_GE(value, 0);
        for (volatile int k = 0; k < 20; k++) {
        }
        hd_rcu_read_lock();
        CHECK_EQ(atomic_load(&o->value), value);
        hd_rcu_read_unlock();
        hd_rcu_read_unlock();
        if (i % 20 != 0) continue;
        struct object *old = hd_rcu_exchange(current, make());
        if (i % 40 == 0) {
            hd_rcu_synchronize();
            bury(&old->rcu);
        } else {
            hd_rcu_call(&old->rcu, bury);
        }
    }
    return arg;
}

static void *outside(void *arg) {
    int err = hd_rcu_register();
    if (err != 0) CHECK_ERR(err, -ENOMEM);
    if (worked(err == 0)) read_and_write(arg);
    return arg;
}

static int inside(void *arg) {
    hd_thread *threads[3];
    int started = 0;
    while (started < 3 && worked(hd_spawn(&threads[started], NULL, read_and_write, arg) == 0))
        started++;
    read_and_write(arg);
    while (started > 0) CHECK_OK(hd_join(threads[--started], NULL));
    return 0;
}

static void use_rcu(void) {
    pthread_t p;
    hd_rcu_assign(current, make());
    bool started = pthread_create(&p, NULL, outside, NULL) == 0;
    worked(hd_run(HD_CONFIG(.workers = 2, .slice_us = 100), inside, NULL) == 0);
    if (started) CHECK_EQ(pthread_join(p, NULL), 0);
    hd_rcu_barrier();
    bury(&current->rcu);
    CHECK_EQ(atomic_load(&made), atomic_load(&freed));
}

/* ---- ---- */

static void scenario(void) {
    use_unbounded();
    use_select();
    use_rcu();
}

FAIL_IN_TURN(scenario)

TEST(readers_without_membarrier_pay_a_fence) {
    hd__fault_arm(1);
    CHECK_OK(hd_rcu_register());
    CHECK_EQ(strcmp(hd__fault_site(), "membarrier"), 0);
    hd__fault_arm(0);
    faultless = true;
    for (int i = 0; i < 20; i++) use_rcu();
    hd_rcu_read_lock();
    hd_rcu_read_unlock();
    CHECK_DEATH("no read section is open", hd_rcu_read_unlock());
    hd_rcu_unregister();
    CHECK_DEATH("call hd_rcu_register", hd_rcu_read_lock());
}
