/* SPDX-License-Identifier: MIT */
/* hd_run, hd_start, hd_stop: checks the configuration, fills the defaults, calls down. */
#include <heddle/heddle.h>

#include <errno.h>
#include <string.h>

#include "api/options.h"
#include "base/check.h"
#include "ctx/stack.h"
#include "io/io.h"
#include "os/cpu.h"
#include "os/env.h"
#include "os/interrupt.h"
#include "sched/runtime.h"
#include "sched/worker.h"

enum { CARRIERS_MAX = 30000, DEFAULT_SPARES = 256 };
enum { DEFAULT_SLICE_US = 10000, DEFAULT_SPIN_US = 20, DEFAULT_STACK = 64 * 1024 };

static int check(const struct hd_config *c) {
    if (c->workers > HD__WORKERS_MAX) return -EINVAL;
    if ((c->slice_us < 100 || c->slice_us > 1000000) && c->slice_us != HD_SLICE_NONE)
        return -EINVAL;
    if (c->preempt < HD_PREEMPT_DEFAULT || c->preempt > HD_PREEMPT_OFF) return -EINVAL;
    if (!hd__os_interrupt_usable(c->preempt_signal)) return -EINVAL;
    if (c->carriers_max < c->workers || c->carriers_max > CARRIERS_MAX) return -EINVAL;
    if (c->io < HD_IO_AUTO || c->io > HD_IO_EPOLL) return -EINVAL;
    if (strcmp(c->policy, "steal") != 0) return -EINVAL;
    if (c->stack_size < hd_stack_min() || c->stack_size > (size_t)1 << 30) return -EINVAL;
    if (c->spin_us > 1000000 && c->spin_us != HD_SPIN_NONE) return -EINVAL;
    if (c->deadlock < HD_DEADLOCK_ABORT || c->deadlock > HD_DEADLOCK_IGNORE) return -EINVAL;
    if (c->bind_workers != 0 && c->bind_workers != 1) return -EINVAL;
    return 0;
}

static int io_from_environment(struct hd_config *c) {
    const char *text = hd__os_env_text("HEDDLE_IO");
    if (!text || strcmp(text, "auto") == 0) return 0;
    if (strcmp(text, "io_uring") == 0) {
        c->io = HD_IO_URING;
    } else if (strcmp(text, "epoll") == 0) {
        c->io = HD_IO_EPOLL;
    } else {
        hd__print_fd2("heddle: HEDDLE_IO=%s is not auto, io_uring or epoll\n", text);
        return -EINVAL;
    }
    return 0;
}

/* The environment speaks only where the program left the default. */
static int from_environment(struct hd_config *c) {
    uint64_t v;
    if (c->workers == 0) {
        int got = hd__os_env_u64("HEDDLE_WORKERS", 1, HD__WORKERS_MAX, &v);
        if (got < 0) return got;
        if (got) c->workers = (unsigned)v;
    }
    if (c->stack_size == 0) {
        int got = hd__os_env_u64("HEDDLE_STACK_SIZE", hd_stack_min(), (uint64_t)1 << 30, &v);
        if (got < 0) return got;
        if (got) c->stack_size = (size_t)v;
    }
    return c->io == HD_IO_AUTO ? io_from_environment(c) : 0;
}

static int complete(const struct hd_config *given, struct hd_config *c) {
    hd__poller.start = hd__io_init;
    hd__poller.stop = hd__io_finish;
    memset(c, 0, sizeof *c);
    int err = hd__options_copy(c, sizeof *c, given, given ? given->size : 0);
    if (err) return err;
    err = from_environment(c);
    if (err) return err;
    if (c->workers == 0) {
        hd_cpuset allowed;
        int n = hd__os_cpus_allowed(&allowed);
        c->workers = n > 0 ? (unsigned)n : 1;
    }
    if (c->slice_us == 0) c->slice_us = DEFAULT_SLICE_US;
    if (c->carriers_max == 0) c->carriers_max = c->workers + DEFAULT_SPARES;
    if (!c->policy) c->policy = "steal";
    if (c->stack_size == 0) c->stack_size = DEFAULT_STACK;
    if (c->spin_us == 0) c->spin_us = DEFAULT_SPIN_US;
    return check(c);
}

int hd_run(const struct hd_config *cfg, int (*fn)(void *arg), void *arg) {
    HD__CHECK(fn != NULL, "hd_run: fn is NULL; pass the function to run");
    HD__CHECK(!hd__worker_get(), "hd_run: called from a heddle thread; spawn a thread instead");
    struct hd_config c;
    int err = complete(cfg, &c);
    return err ? err : hd__runtime_run(&c, fn, arg);
}

int hd_start(const struct hd_config *cfg) {
    HD__CHECK(!hd__worker_get(), "hd_start: called from a heddle thread; the runtime runs already");
    struct hd_config c;
    int err = complete(cfg, &c);
    return err ? err : hd__runtime_start(&c);
}

int hd_stop(void) {
    return hd__runtime_stop();
}

unsigned hd_worker_count(void) {
    return atomic_load_explicit(&hd__rt.state, memory_order_acquire) == HD__RT_ON
               ? hd__rt.worker_count
               : 0;
}

const char *hd_stack_guard_kind(void) {
    return hd_worker_count() ? hd__stack_guard_kind() : NULL;
}
