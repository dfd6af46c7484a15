/* SPDX-License-Identifier: MIT */
/* Locks with attributes, with each allocation failing once, then all from some point on: making one
 * fails and leaves nothing behind, a report fails, and locking never does. */
#include "in_turn.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>


static bool made(int err) {
    CHECK_MSG(err == 0 || (err == -ENOMEM && !faultless), "error %d", err);
    return err == 0;
}

static void *lock_all(void *arg) {
    hd_mutex **m = arg;
    for (int i = 0; i < 100; i++) {
        if (m[0]) hd_mutex_lock(m[0]);
        if (m[1]) hd_mutex_lock(m[1]);
        if (m[1]) hd_mutex_unlock(m[1]);
        if (m[0]) hd_mutex_unlock(m[0]);
    }
    return NULL;
}

static int use(void *arg) {
    hd_thread *t[3];
    int started = 0, err;
    for (int i = 0; i < 3; i++)
        if (hd_spawn(&t[started], NULL, lock_all, arg) == 0)
            started++;
    lock_all(arg);
    for (int i = 0; i < started; i++)
        CHECK_OK(hd_join(t[i], NULL));
    struct hd_lock_counts counts[4] = {{.size = sizeof counts[0]}};
    int n = hd_lock_counts_get(counts, 4);
    CHECK(n == (((hd_mutex **)arg)[0] != NULL) || (n == -ENOMEM && !faultless));
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    err = hd_lock_report(fd, 4);
    CHECK(err == 0 || !faultless);
    close(fd);
    return 0;
}

/* Once through all of it, in whatever state the seam is. */
static void scenario(void) {
    hd_mutex counted, heir;
    hd_rwlock table;
    hd_mutex *m[2] = {NULL, NULL};
    if (made(hd_mutex_init(&counted, HD_LOCK_ATTR(.rank = 1, .flags = HD_LOCK_COUNT))))
        m[0] = &counted;
    if (made(hd_mutex_init(&heir, HD_LOCK_ATTR(.rank = 2, .flags = HD_LOCK_INHERIT))))
        m[1] = &heir;
    if (made(hd_rwlock_init(&table, HD_LOCK_ATTR(.rank = 3, .flags = HD_LOCK_READ_MOSTLY)))) {
        hd_rwlock_rdlock(&table);
        hd_rwlock_rdunlock(&table);
        hd_rwlock_finish(&table);
    }
    int err = hd_run(HD_CONFIG(.workers = 2), use, m);
    CHECK_MSG(err == 0 || !faultless, "hd_run: %d", err);
    hd_mutex_finish(m[0]);
    hd_mutex_finish(m[1]);
    CHECK_EQ(hd_lock_counts_get(NULL, 0), 0);
}

FAIL_IN_TURN(scenario)
