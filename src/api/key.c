/* SPDX-License-Identifier: MIT */
#include <heddle/key.h>

#include <errno.h>
#include <pthread.h>

#include "base/check.h"
#include "sched/wait.h"
#include "thread/tls.h"

/* A foreign kernel thread's values are destroyed by the C library's own mechanism: one pthread key
 * whose value is the thread's stand-in. */
static pthread_key_t foreign_key;
static int foreign_key_error;

static void foreign_ends(void *party) {
    hd__tls_finish(party);
}

static void make_foreign_key(void) {
    foreign_key_error = pthread_key_create(&foreign_key, foreign_ends);
}

int hd_key_create(hd_key *key, void (*destructor)(void *value)) {
    HD__CHECK(key != NULL, "hd_key_create: key is NULL");
    return hd__tls_key_create(key, destructor);
}

void *hd_get(hd_key key) {
    return hd__tls_get(hd__wait_self(), key);
}

int hd_set(hd_key key, void *value) {
    hd_thread *self = hd__wait_self();
    if (!self->tls && value && (hd__thread_flags(self) & HD__THREAD_FOREIGN)) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, make_foreign_key);
        if (foreign_key_error || pthread_setspecific(foreign_key, self)) return -ENOMEM;
    }
    return hd__tls_set(self, key, value);
}
