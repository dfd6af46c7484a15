/* SPDX-License-Identifier: MIT */
/* hd_run, hd_start, hd_stop: call down. config.c has the configuration. */
#include <heddle/heddle.h>

#include "api/config.h"
#include "api/debug.h"
#include "base/check.h"
#include "ctx/stack.h"
#include "io/io.h"
#include "os/env.h"
#include "sched/runtime.h"
#include "sched/worker.h"
#include "sync/watch.h"

/* Else the linker would leave the table out of a program that is linked statically. */
static const struct hd__debug *volatile for_tools;

/* What is wrong with a configuration is a bug of the program or a slip of its user, and -EINVAL
 * says too little for both: so it is told on standard error. */
static int complete(const struct hd_config *given, struct hd_config *c, bool *follow) {
    char why[200];
    *follow = !hd__os_env_text("HEDDLE_WORKERS");
    hd__poller.start = hd__io_init;
    hd__poller.stop = hd__io_finish;
    hd__deadlock_describe = hd__sync_describe;
    for_tools = &hd__debug;
    int err = hd__config_complete(given, c, why, sizeof why);
    if (err) hd__print_fd2("heddle: %s\n", why);
    if (!err && given && given->workers != 0) *follow = false;
    return err;
}

int hd_run(const struct hd_config *cfg, int (*fn)(void *arg), void *arg) {
    HD__CHECK(fn != NULL, "hd_run: fn is NULL; pass the function to run");
    HD__CHECK(!hd__worker_get(), "hd_run: called from a heddle thread; spawn a thread instead");
    struct hd_config c;
    bool follow;
    int err = complete(cfg, &c, &follow);
    return err ? err : hd__runtime_run(&c, follow, fn, arg);
}

int hd_start(const struct hd_config *cfg) {
    HD__CHECK(!hd__worker_get(), "hd_start: called from a heddle thread; the runtime runs already");
    struct hd_config c;
    bool follow;
    int err = complete(cfg, &c, &follow);
    return err ? err : hd__runtime_start(&c, follow);
}

int hd_stop(void) {
    return hd__runtime_stop();
}

unsigned hd_worker_count(void) {
    return atomic_load_explicit(&hd__rt.state, memory_order_acquire) == HD__RT_ON
               ? atomic_load_explicit(&hd__rt.active, memory_order_relaxed)
               : 0;
}

const char *hd_stack_guard_kind(void) {
    return hd_worker_count() ? hd__stack_guard_kind() : NULL;
}
