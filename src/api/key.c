/* SPDX-License-Identifier: MIT */
#include <heddle/key.h>

#include "base/check.h"
#include "os/kthread.h"
#include "sched/wait.h"
#include "thread/tls.h"

static void foreign_ends(void *party) {
    hd__tls_finish(party);
}

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
    if (!self->tls && value && (hd__thread_flags(self) & HD__THREAD_FOREIGN)) {
        static struct hd__os_exit_hook hook;
        int err = hd__os_kthread_at_exit(&hook, foreign_ends, self);
        if (err) return err;
    }
    return hd__tls_set(self, key, value);
}
