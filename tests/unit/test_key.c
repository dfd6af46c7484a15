/* SPDX-License-Identifier: MIT */
/* Thread-local values: each thread its own, destructors, rounds, and the limit of keys. */
#include "runtime_test.h"

static hd_key key, other, plain;
static _Atomic int destroyed, destroyed_other;

static void count(void *value) {
    CHECK(value != NULL);
    atomic_fetch_add(&destroyed, 1);
}

static void *own_value(void *arg) {
    CHECK_EQ(hd_get(key), NULL);
    CHECK_OK(hd_set(key, arg));
    for (int i = 0; i < 10; i++) {
        hd_yield();
        CHECK_EQ(hd_get(key), arg);
    }
    return hd_get(key);
}

RUNTIME_TEST(each_thread_has_its_own, 2) {
    enum { N = 500 };
    hd_thread *t[N];
    CHECK_OK(hd_key_create(&key, count));
    CHECK_OK(hd_set(key, NULL)); /* nothing to store */
    CHECK_EQ(hd_get(key), NULL);
    CHECK_OK(hd_set(key, &key));
    for (uintptr_t i = 0; i < N; i++)
        t[i] = spawn(own_value, (void *)(i + 1));
    for (uintptr_t i = 0; i < N; i++)
        CHECK_EQ(join(t[i]), (void *)(i + 1));
    CHECK_EQ(atomic_load(&destroyed), N);
    CHECK_EQ(hd_get(key), &key);
    return 0;
}

/* ---- destructors ---- */

static void *set_and_clear(void *arg) {
    CHECK_OK(hd_set(key, arg));
    CHECK_OK(hd_set(key, NULL)); /* NULL is not destroyed */
    CHECK_OK(hd_set(plain, arg)); /* and this has no destructor */
    return NULL;
}

RUNTIME_TEST(no_value_no_destructor, 2) {
    CHECK_OK(hd_key_create(&key, count));
    CHECK_OK(hd_key_create(&plain, NULL));
    for (int i = 0; i < 20; i++)
        join(spawn(set_and_clear, &key));
    CHECK_EQ(atomic_load(&destroyed), 0);
    return 0;
}

static void set_again(void *value) {
    CHECK_EQ(hd_get(key), NULL); /* taken out before the destructor runs */
    atomic_fetch_add(&destroyed, 1);
    CHECK_OK(hd_set(key, value));
}

static void *set_one(void *arg) {
    CHECK_OK(hd_set(key, arg));
    return NULL;
}

RUNTIME_TEST(four_rounds_at_most, 1) {
    CHECK_OK(hd_key_create(&key, set_again));
    join(spawn(set_one, &key));
    CHECK_EQ(atomic_load(&destroyed), 4);
    return 0;
}

static void set_other(void *value) {
    atomic_fetch_add(&destroyed, 1);
    CHECK_OK(hd_set(other, value)); /* of a key that comes later, whose table must grow */
}

static void count_other(void *value) {
    (void)value;
    atomic_fetch_add(&destroyed_other, 1);
}

static void *yield_in_destructor(void *value) {
    CHECK_OK(hd_set(key, value));
    return NULL;
}

static void use_the_runtime(void *value) {
    hd_thread *self = hd_self();
    CHECK(self != NULL);
    hd_yield();
    CHECK_OK(hd_sleep_for(1000));
    CHECK_EQ(hd_self(), self);
    hd_sem_post(value);
    atomic_fetch_add(&destroyed, 1);
}

RUNTIME_TEST(a_destructor_may_set_another_key, 2) {
    hd_key between;
    CHECK_OK(hd_key_create(&key, set_other));
    for (int i = 0; i < 60; i++)
        CHECK_OK(hd_key_create(&between, NULL));
    CHECK_OK(hd_key_create(&other, count_other));
    join(spawn(set_one, &key));
    CHECK_EQ(atomic_load(&destroyed), 1);
    CHECK_EQ(atomic_load(&destroyed_other), 1);
    return 0;
}

RUNTIME_TEST(a_destructor_may_wait, 2) {
    hd_sem s = HD_SEM_INIT(0);
    CHECK_OK(hd_key_create(&key, use_the_runtime));
    for (int i = 0; i < 20; i++) {
        hd_thread *t = spawn(yield_in_destructor, &s);
        join(t);
        CHECK(hd_sem_trywait(&s)); /* before the joiner goes on */
    }
    CHECK_EQ(atomic_load(&destroyed), 20);
    CHECK_OK(hd_spawn(NULL, NULL, yield_in_destructor, &s));
    CHECK_OK(hd_sem_wait(&s)); /* of a detached thread as well */
    return 0;
}

static int set_in_main(void *arg) {
    CHECK_OK(hd_set(key, arg));
    return 0;
}

TEST(main_is_a_thread_like_others) {
    CHECK_OK(hd_key_create(&key, count));
    CHECK_OK(hd_set(key, &other));
    CHECK_OK(hd_run(HD_CONFIG(.workers = 1), set_in_main, &key));
    CHECK_EQ(atomic_load(&destroyed), 1);
    CHECK_EQ(hd_get(key), &other); /* the kernel thread's own value is another */
}

/* ---- many keys ---- */

static hd_key keys[HD_KEY_MAX];

static void *use_all_keys(void *arg) {
    uintptr_t base = (uintptr_t)arg;
    for (uintptr_t i = 0; i < HD_KEY_MAX; i++)
        CHECK_OK(hd_set(keys[(i * 37) % HD_KEY_MAX], (void *)(base + (i * 37) % HD_KEY_MAX)));
    hd_yield();
    for (uintptr_t i = 0; i < HD_KEY_MAX; i++)
        CHECK_EQ(hd_get(keys[i]), (void *)(base + i));
    return NULL;
}

static int all_keys(void *arg) {
    (void)arg;
    hd_thread *t[8];
    for (uintptr_t i = 0; i < 8; i++)
        t[i] = spawn(use_all_keys, (void *)(1000 * (i + 1)));
    for (int i = 0; i < 8; i++)
        join(t[i]);
    return 0;
}

TEST(as_many_keys_as_promised) {
    hd_key one_more = {0};
    for (int i = 0; i < HD_KEY_MAX; i++)
        CHECK_OK(hd_key_create(&keys[i], i % 2 ? count : NULL));
    CHECK_ERR(hd_key_create(&one_more, NULL), -EAGAIN);
    CHECK_EQ(one_more.index_plus_1, 0);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), all_keys, NULL));
    CHECK_EQ(atomic_load(&destroyed), 8 * HD_KEY_MAX / 2);
    (void)one_more;
}

static _Atomic unsigned made;

static void *make_keys(void *arg) {
    hd_key *mine = arg;
    for (int i = 0; i < 50; i++) {
        CHECK_OK(hd_key_create(&mine[i], count));
        CHECK_OK(hd_set(mine[i], &mine[i]));
        if (hd_self())
            hd_yield();
        CHECK_EQ(hd_get(mine[i]), &mine[i]);
        atomic_fetch_add(&made, 1);
    }
    return NULL;
}

RUNTIME_TEST(keys_are_made_while_others_are_used, 2) {
    static hd_key set[4][50];
    hd_thread *t[2];
    pthread_t p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = foreign(make_keys, set[i]);
        t[i] = spawn(make_keys, set[2 + i]);
    }
    for (int i = 0; i < 2; i++) {
        join(t[i]);
        foreign_join(p[i]);
    }
    bool seen[HD_KEY_MAX + 1] = {false};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 50; j++) {
            CHECK(!seen[set[i][j].index_plus_1]);
            seen[set[i][j].index_plus_1] = true;
        }
    CHECK_EQ(atomic_load(&destroyed), 200);
    return 0;
}
