/* SPDX-License-Identifier: MIT */
/* io_uring through liburing; see uring.h. */
#include "os/uring.h"

#include <errno.h>

#ifdef HD_HAVE_URING

#include "os/fault.h"
#include "os/mem.h"

#include <liburing.h>
#include <string.h>

#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif

struct hd__os_uring {
    struct io_uring ring;
};

static const uint8_t opcodes[] = {
    [HD__URING_READ] = IORING_OP_READ,         [HD__URING_WRITE] = IORING_OP_WRITE,
    [HD__URING_READV] = IORING_OP_READV,       [HD__URING_WRITEV] = IORING_OP_WRITEV,
    [HD__URING_RECV] = IORING_OP_RECV,         [HD__URING_RECVMSG] = IORING_OP_RECVMSG,
    [HD__URING_ACCEPT] = IORING_OP_ACCEPT,     [HD__URING_CONNECT] = IORING_OP_CONNECT,
    [HD__URING_OPENAT] = IORING_OP_OPENAT,     [HD__URING_FSYNC] = IORING_OP_FSYNC,
    [HD__URING_CLOSE] = IORING_OP_CLOSE,
    [HD__URING_CANCEL] = IORING_OP_ASYNC_CANCEL,
};

/* FAST_POLL: waiting for a socket takes no kernel thread. NODROP: results that the ring cannot hold
 * are kept. RW_CUR_POS: offset -1 is the file position. SUBMIT_STABLE: what an operation points to
 * may go with it, but for buffers. Linux 5.7 has them all. */
static const unsigned needed_features = IORING_FEAT_FAST_POLL | IORING_FEAT_NODROP |
                                        IORING_FEAT_RW_CUR_POS | IORING_FEAT_SUBMIT_STABLE;

static bool has_all(struct io_uring *ring) {
    /* Not io_uring_get_probe(), which takes memory from the C library; see os/mem.h. */
    enum { OPS = 64 };
    _Alignas(struct io_uring_probe) unsigned char
        memory[sizeof(struct io_uring_probe) + OPS * sizeof(struct io_uring_probe_op)];
    struct io_uring_probe *probe = (struct io_uring_probe *)memory;
    memset(memory, 0, sizeof memory);
    bool all = io_uring_register_probe(ring, probe, OPS) == 0;
    for (size_t i = 0; all && i < HD__COUNTOF(opcodes); i++) {
        all = io_uring_opcode_supported(probe, opcodes[i]);
    }
    return all;
}

static int set_up(struct io_uring *ring, unsigned entries) {
    /* A batch goes on behind an operation that fails at once: Linux 5.18. Before, the rest takes
     * another call; see hd__os_uring_submit(). */
    static const unsigned flags[] = {IORING_SETUP_SUBMIT_ALL, 0};
    int err = 0;
    for (size_t i = 0; i < HD__COUNTOF(flags); i++) {
        struct io_uring_params p;
        memset(&p, 0, sizeof p);
        p.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | flags[i];
        p.cq_entries = 8 * entries;
        err = io_uring_queue_init_params(entries, ring, &p);
        if (err != -EINVAL) {
            break;
        }
    }
    if (err != 0) {
        return err == -EINVAL ? -ENOSYS : err;
    }
    if ((ring->features & needed_features) != needed_features || !has_all(ring)) {
        io_uring_queue_exit(ring);
        return -ENOSYS;
    }
    return 0;
}

int hd__os_uring_create(struct hd__os_uring **out, unsigned entries) {
    struct hd__os_uring *u = hd__os_alloc(sizeof *u);
    if (u == NULL) {
        return -ENOMEM;
    }
    int saved = errno;
    int err = HD__FAULT("io_uring_setup") ? -ENOMEM : set_up(&u->ring, entries);
    errno = saved;
    if (err != 0) {
        hd__os_free(u);
        return err;
    }
    *out = u;
    return 0;
}

void hd__os_uring_destroy(struct hd__os_uring *u) {
    if (u != NULL) {
        io_uring_queue_exit(&u->ring);
        hd__os_free(u);
    }
}

int hd__os_uring_fd(const struct hd__os_uring *u) {
    return u->ring.ring_fd;
}

bool hd__os_uring_push(struct hd__os_uring *u, const struct hd__uring_op *op, uint64_t tag) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe == NULL) {
        return false;
    }
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = opcodes[op->code];
    sqe->flags = op->async ? IOSQE_ASYNC : 0;
    sqe->fd = op->fd;
    sqe->off = op->off;
    sqe->addr = (uintptr_t)op->addr;
    sqe->len = op->len;
    sqe->rw_flags = (int)op->flags; /* one place, with a name for each kind of operation */
    sqe->user_data = tag;
    return true;
}

unsigned hd__os_uring_pushed(const struct hd__os_uring *u) {
    return io_uring_sq_ready(&u->ring);
}

int hd__os_uring_submit(struct hd__os_uring *u) {
    while (io_uring_sq_ready(&u->ring) != 0) {
        int n = HD__FAULT("io_uring_enter") ? -EAGAIN : io_uring_submit(&u->ring);
        if (n == -EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? n : -EBUSY;
        }
    }
    return 0;
}

bool hd__os_uring_ready(const struct hd__os_uring *u) {
    unsigned head = __atomic_load_n(u->ring.cq.khead, __ATOMIC_RELAXED);
    unsigned tail = __atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE);
    unsigned flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
    return head != tail || (flags & IORING_SQ_CQ_OVERFLOW);
}

unsigned hd__os_uring_reap(struct hd__os_uring *u, struct hd__uring_result *out, unsigned max) {
    enum { BATCH = 64 };
    struct io_uring_cqe *cqes[BATCH];
    unsigned n = io_uring_peek_batch_cqe(&u->ring, cqes, max < BATCH ? max : BATCH);
    for (unsigned i = 0; i < n; i++) {
        out[i].tag = cqes[i]->user_data;
        out[i].result = cqes[i]->res;
    }
    io_uring_cq_advance(&u->ring, n);
    return n;
}

#else

int hd__os_uring_create(struct hd__os_uring **out, unsigned entries) {
    (void)out, (void)entries;
    return -ENOSYS;
}

/* There is no ring that the others could be called with. */
void hd__os_uring_destroy(struct hd__os_uring *u) {
    (void)u;
}

int hd__os_uring_fd(const struct hd__os_uring *u) {
    (void)u;
    return -1;
}

bool hd__os_uring_push(struct hd__os_uring *u, const struct hd__uring_op *op, uint64_t tag) {
    (void)u, (void)op, (void)tag;
    return false;
}

unsigned hd__os_uring_pushed(const struct hd__os_uring *u) {
    (void)u;
    return 0;
}

int hd__os_uring_submit(struct hd__os_uring *u) {
    (void)u;
    return -ENOSYS;
}

bool hd__os_uring_ready(const struct hd__os_uring *u) {
    (void)u;
    return false;
}

unsigned hd__os_uring_reap(struct hd__os_uring *u, struct hd__uring_result *out, unsigned max) {
    (void)u, (void)out, (void)max;
    return 0;
}

#endif
