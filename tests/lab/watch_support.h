/* SPDX-License-Identifier: MIT */
/* Targets for the tests of a watch, and what was seen of them. */
#ifndef HEDDLE_TEST_WATCH_SUPPORT_H
#define HEDDLE_TEST_WATCH_SUPPORT_H

#include "test.h"

#include <sys/types.h>

#include "probe/watch_inside.h"

/* The child does something, between a byte that it gets and one that it sends; it ends when the
 * test does. */
struct child {
    pid_t pid;
    int to, from;
};

struct child start_child(void (*body)(int in, int out));
void end_child(struct child *c);

/* The test's side of the bytes, and the child's. */
void go(struct child *c);
void wait_done(struct child *c);
void expect_byte(int fd);
void done(int out);

enum { SEEN_THREADS = 512 };

struct seen {
    uint64_t count[PROBE_LOST + 1], backwards, lost, repeated, strangers, last_ns;
    struct {
        pid_t tid;
        uint8_t last;
    } thread[SEEN_THREADS];
    size_t threads;
    bool shell_named, exec_named;
    uint64_t after_exec; /* times that a CPU was got after an exec */
    uint64_t futex_looks, lock_looks, call;
};

/* A sink; arg is a struct seen. */
void see(void *arg, const struct probe_event *e);

/* Opens a watch; skips the test where a means is not to be had. */
struct probe_watch *watch(const struct probe_options *o);
void need(struct probe_watch *w, enum probe_means_id id);

/* Steps until it is over, and checks what must hold of all events; so many steps; until a counter
 * has reached a value, however busy the machine is. */
void to_the_end(struct probe_watch *w, struct seen *s);
void run_for(struct probe_watch *w, struct seen *s, int steps);
void run_until(struct probe_watch *w, struct seen *s, const uint64_t *counter, uint64_t value);

#endif
