/* SPDX-License-Identifier: MIT */
#include "thread/tls.h"

#include <errno.h>

#include "base/check.h"
#include "os/kthread.h"
#include "os/mem.h"

enum { DESTRUCTOR_ROUNDS = 4, GROWTH = 8 };

struct hd__tls {
    unsigned count;
    void *own; /* hd__tls_own() */
    void *values[];
};

void (*_Atomic hd__tls_own_ends)(hd_thread *t, void *own, bool discarded);

static _Atomic unsigned key_count;
/* Written before key_count covers it (release), read after a key was made (the caller got the
 * key from hd_key_create, whichever way it passed it on). */
static void (*_Atomic destructors[HD_KEY_MAX])(void *);

int hd__tls_key_create(hd_key *key, void (*destructor)(void *)) {
    unsigned n = atomic_load_explicit(&key_count, memory_order_relaxed);
    do {
        if (n >= HD_KEY_MAX) return -EAGAIN;
    } while (!atomic_compare_exchange_weak_explicit(&key_count, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    atomic_store_explicit(&destructors[n], destructor, memory_order_release);
    key->index_plus_1 = n + 1;
    return 0;
}

static unsigned key_index(const char *call, hd_key key) {
    unsigned n = atomic_load_explicit(&key_count, memory_order_relaxed);
    HD__CHECK(key.index_plus_1 != 0 && key.index_plus_1 <= n,
              "%s: key %u was not made by hd_key_create(); make it before threads use it", call,
              key.index_plus_1);
    return key.index_plus_1 - 1;
}

void *hd__tls_get(const hd_thread *t, hd_key key) {
    unsigned i = key_index("hd_get", key);
    return t->tls && i < t->tls->count ? t->tls->values[i] : NULL;
}

static int grow(hd_thread *t, unsigned least) {
    unsigned count = (least + GROWTH - 1) / GROWTH * GROWTH;
    struct hd__tls *tls = hd__os_calloc(1, sizeof *tls + count * sizeof(void *));
    if (!tls) return -ENOMEM;
    tls->count = count;
    tls->own = t->tls ? t->tls->own : NULL;
    for (unsigned i = 0; t->tls && i < t->tls->count; i++) tls->values[i] = t->tls->values[i];
    hd__os_free(t->tls);
    t->tls = tls;
    return 0;
}

int hd__tls_set(hd_thread *t, hd_key key, void *value) {
    unsigned i = key_index("hd_set", key);
    if (!t->tls || i >= t->tls->count) {
        if (!value) return 0;
        int err = grow(t, i + 1);
        if (err) return err;
    }
    t->tls->values[i] = value;
    return 0;
}

void *hd__tls_own(const hd_thread *t) {
    return t->tls ? t->tls->own : NULL;
}

int hd__tls_own_set(hd_thread *t, void *own) {
    int err = t->tls ? 0 : grow(t, 0);
    if (!err) t->tls->own = own;
    return err;
}

static void end_own(hd_thread *t, bool discarded) {
    void *own = t->tls->own;
    if (!own) return;
    atomic_load_explicit(&hd__tls_own_ends, memory_order_acquire)(t, own, discarded);
    t->tls->own = NULL;
}

int hd__tls_prepare(hd_thread *t, void (*foreign_ends)(void *t)) {
    static struct hd__os_exit_hook hook;
    if (t->tls || !(hd__thread_flags(t) & HD__THREAD_FOREIGN)) return 0;
    return hd__os_kthread_at_exit(&hook, foreign_ends, t);
}

void hd__tls_finish(hd_thread *t) {
    bool again = t->tls != NULL;
    for (int round = 0; again && round < DESTRUCTOR_ROUNDS; round++) {
        again = false;
        /* The table is looked up anew each time: a destructor may set values and grow it. */
        for (unsigned i = 0; i < t->tls->count; i++) {
            void *value = t->tls->values[i];
            void (*destroy)(void *) = atomic_load_explicit(&destructors[i], memory_order_acquire);
            t->tls->values[i] = NULL;
            if (!value || !destroy) continue;
            destroy(value);
            again = true;
        }
    }
    if (t->tls) end_own(t, false);
}

void hd__tls_free(hd_thread *t) {
    hd__os_free(t->tls);
    t->tls = NULL;
}

void hd__tls_discard(hd_thread *t) {
    if (!t->tls) return;
    end_own(t, true);
    hd__tls_free(t);
}
