/* SPDX-License-Identifier: MIT */
/* What the tests of waiting for descriptors share (src/io/ready.c). Where passes are switched off,
 * what was lost would be lost for good: such a test does not end. */
#ifndef HEDDLE_TEST_IO_READY_TEST_H
#define HEDDLE_TEST_IO_READY_TEST_H

#include "io_test.h"

#include "io/ready.h"

static inline void switch_passes_off(void) {
    atomic_store(&hd__io_check_every_ns, UINT64_C(3600000) * MS);
}

static inline void pass_often(void) {
    atomic_store(&hd__io_check_every_ns, MS);
}

static inline struct hd_metrics metrics(void) {
    struct hd_metrics m = HD_METRICS_INIT;
    CHECK_OK(hd_metrics_get(&m));
    return m;
}

struct later {
    int fd;
    const char *text;
};

static inline void *send_later(void *arg) {
    const struct later *l = arg;
    let_wait();
    CHECK_EQ(hd_send(l->fd, l->text, strlen(l->text), 0), (ssize_t)strlen(l->text));
    return NULL;
}

static inline void *write_later(void *arg) {
    const struct later *l = arg;
    let_wait();
    CHECK_EQ(hd_write(l->fd, l->text, strlen(l->text)), (ssize_t)strlen(l->text));
    return NULL;
}

/* The next wait to receive from fd is the cheap one. */
static inline bool is_settled(int fd) {
    struct hd__io_place *p = hd__io_place_of(fd, false);
    return p && (atomic_load(&p->hint) & HD__IO_TCP) && (atomic_load(&p->watched) & POLLIN) &&
           atomic_load(&p->drained) == atomic_load(&p->edges);
}

/* Has fd receive from its peer until that is so. */
static inline void settle(int fd, int peer) {
    char buf[8];
    for (int i = 0; i < 1000 && !is_settled(fd); i++) {
        struct later l = {peer, "s"};
        hd_thread *t = spawn(send_later, &l);
        CHECK_EQ(hd_recv(fd, buf, sizeof buf, 0), 1);
        join(t);
    }
    CHECK(is_settled(fd));
}

static inline void make_settled(int ends[2]) {
    make_connection(ends);
    settle(ends[0], ends[1]);
}

static inline void make_kind(int kind, int ends[2]) {
    if (kind == 0)
        make_connection(ends);
    else if (kind == 1)
        make_pair(SOCK_STREAM, ends);
    else if (kind == 2)
        make_pair(SOCK_DGRAM, ends);
    else
        make_pipe(ends);
}

#endif
