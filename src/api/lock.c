/* SPDX-License-Identifier: MIT */
/* Making locks with attributes, and the report. */
#include <heddle/lock.h>

#include "api/options.h"
#include "base/check.h"
#include "os/iocall.h"
#include "os/mem.h"
#include "sync/watch.h"

#include <errno.h>

static int init(void *lock, const struct hd_lock_attr *given, const char *call,
                int (*make)(void *lock, const struct hd_lock_attr *attr)) {
    struct hd_lock_attr own = {0};
    HD__CHECK(lock != NULL, "%s: the lock is NULL", call);
    int err = given ? hd__options_copy(&own, sizeof own, given, given->size) : 0;
    return err ? err : make(lock, given ? &own : NULL);
}

static int make_mutex(void *m, const struct hd_lock_attr *attr) {
    return hd__mutex_init(m, attr);
}

static int make_rwlock(void *l, const struct hd_lock_attr *attr) {
    return hd__rwlock_init(l, attr);
}

int hd_mutex_init(hd_mutex *m, const struct hd_lock_attr *attr) {
    return init(m, attr, "hd_mutex_init", make_mutex);
}

int hd_rwlock_init(hd_rwlock *l, const struct hd_lock_attr *attr) {
    return init(l, attr, "hd_rwlock_init", make_rwlock);
}

/* ---- The report ---- */

static int write_all(int fd, const char *text, size_t length) {
    while (length > 0) {
        ssize_t n = hd__os_write(fd, text, length);
        if (n == -EINTR) continue;
        if (n < 0) return (int)n;
        text += n;
        length -= (size_t)n;
    }
    return 0;
}

enum { LINE = 200 };

static int write_line(int fd, const struct hd_lock_counts *c) {
    char line[LINE];
    uint64_t taken = c->fast + c->slow;
    unsigned slow = taken ? (unsigned)(c->slow * 1000 / taken) : 0;
    size_t n = hd__format(line, sizeof line,
                          "%-31s %18p %12llu %5u.%u %10llu %10llu %8llu %10llu.%03llu %9llu\n",
                          *c->name ? c->name : "-", c->lock, (unsigned long long)taken, slow / 10,
                          slow % 10, (unsigned long long)c->spun, (unsigned long long)c->parked,
                          (unsigned long long)c->failed,
                          (unsigned long long)(c->waited_ns / 1000000),
                          (unsigned long long)(c->waited_ns / 1000 % 1000),
                          (unsigned long long)(c->longest_ns / 1000));
    return write_all(fd, line, n < sizeof line ? n : sizeof line - 1);
}

static int report(int fd, struct hd_lock_counts *list, size_t n) {
    char line[LINE];
    list[0].size = sizeof *list;
    int found = hd_lock_counts_get(list, n);
    if (found < 0) return found;
    size_t length = hd__format(line, sizeof line, "%-31s %18s %12s %7s %10s %10s %8s %14s %9s\n",
                               "lock", "address", "taken", "slow %", "spun", "parked", "failed",
                               "waited ms", "worst us");
    int err = write_all(fd, line, length);
    for (size_t i = 0; i < n && i < (size_t)found && !err; i++) err = write_line(fd, &list[i]);
    return err;
}

int hd_lock_report(int fd, size_t n) {
    if (n == 0) return 0;
    if (n > 100000) n = 100000;
    hd__sched_enter();
    struct hd_lock_counts *list = hd__os_calloc(n, sizeof *list);
    hd__sched_leave();
    if (!list) return -ENOMEM;
    int err = report(fd, list, n);
    hd__sched_enter();
    hd__os_free(list);
    hd__sched_leave();
    return err;
}
