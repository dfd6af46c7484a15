/* SPDX-License-Identifier: MIT */
#include <heddle/key.h>

#include "base/check.h"
#include "sched/wait.h"
#include "thread/tls.h"

int hd_key_create(hd_key *key, void (*destructor)(void *value)) {
    HD__CHECK(key != NULL, "hd_key_create: key is NULL");
    return hd__tls_key_create(key, destructor);
}

void *hd_get(hd_key key) {
    hd__sched_enter();
    hd_thread *self = hd__wait_self();
    hd__sched_leave();
    return hd__tls_get(self, key);
}

int hd_set(hd_key key, void *value) {
    hd__sched_enter();
    hd_thread *self = hd__wait_self();
    hd__sched_leave();
    int err = value ? hd__tls_prepare(self, hd__sched_end_values) : 0;
    if (err) return err;
    hd__sched_enter();
    err = hd__tls_set(self, key, value);
    hd__sched_leave();
    return err;
}
