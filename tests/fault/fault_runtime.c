/* SPDX-License-Identifier: MIT */
/* Every allocation and system call of a small program fails once, then all from some point on. Each
 * call of ours either works or says -ENOMEM or -EAGAIN; nothing hangs, nothing is left behind, and
 * the same process can run the runtime again. */
#include "test.h"

#include "ctx/stack.h"
#include "os/fault.h"

#include <heddle/heddle.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

static hd_key key;
static bool faultless; /* nothing is armed: everything must work */
static _Atomic int started, ended, values, destroyed;

/* Whether the call worked. */
static bool worked(int err) {
    if (err == 0)
        return true;
    CHECK_MSG(!faultless, "error %d without a fault", err);
    CHECK_MSG(err == -ENOMEM || err == -EAGAIN, "error %d after a fault in %s", err,
              hd__fault_site() ? hd__fault_site() : "(none)");
    return false;
}

static void count_destroyed(void *value) {
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

static void *leaf(void *arg) {
    hd_yield();
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void *set_and_sleep(void *arg) {
    if (worked(hd_set(key, &key))) {
        atomic_fetch_add(&values, 1);
        CHECK_EQ(hd_get(key), &key);
    } else {
        CHECK_EQ(hd_get(key), NULL);
    }
    CHECK_OK(hd_sleep_for(1000));
    return leaf(arg);
}

static void *send(void *arg) {
    for (int i = 0; i < 10; i++)
        CHECK_OK(hd_chan_send(arg, &i));
    hd_chan_close(arg);
    atomic_fetch_add(&ended, 1);
    return arg;
}

static hd_thread *start(const struct hd_attr *attr, hd_fn fn, void *arg) {
    hd_thread *t = NULL;
    if (!worked(hd_spawn(&t, attr, fn, arg))) {
        CHECK_EQ(t, NULL);
        return NULL;
    }
    atomic_fetch_add(&started, 1);
    return t;
}

static void finish(hd_thread *t, void *expected) {
    void *result = NULL;
    if (!t)
        return;
    CHECK_OK(hd_join(t, &result));
    CHECK_EQ(result, expected);
}

static void use_channel(size_t capacity) {
    hd_chan *c = hd_chan_create(sizeof(int), capacity);
    int n = 0, value;
    if (!worked(c ? 0 : -ENOMEM))
        return;
    hd_thread *t = start(HD_ATTR(.name = "sender"), send, c);
    while (t && hd_chan_recv(c, &value) == 0)
        CHECK_EQ(value, n++);
    CHECK_EQ(n, t ? 10 : 0);
    finish(t, c);
    hd_chan_destroy(c);
}

/* From a thread and from foreign kernel threads alike. */
static void *use_everything(void *arg) {
    hd_thread *t[3];
    hd_cpuset all;
    memset(&all, 0xff, sizeof all);
    t[0] = start(HD_ATTR(.cpus = &all), set_and_sleep, &all);
    t[1] = start(HD_ATTR(.stack_size = 1 << 17, .flags = HD_ATTR_PAINT_STACK), leaf, &t[1]);
    t[2] = start(HD_ATTR(.stack_size = hd_stack_min(), .name = "small"), set_and_sleep, &t[2]);
    finish(t[0], &all);
    finish(t[1], &t[1]);
    finish(t[2], &t[2]);
    t[0] = start(HD_ATTR(.flags = HD_ATTR_STACK_HUGETLB), leaf, &t[0]);
    t[1] = start(HD_ATTR(.flags = HD_ATTR_STACK_HUGE, .fpu = HD_STATE_NONE), leaf, &t[1]);
    finish(t[0], &t[0]);
    hd_trim();
    finish(t[1], &t[1]);
    use_channel(0);
    use_channel(3);
    return arg;
}

static int everything_in_main(void *arg) {
    enum { N = 150 };
    hd_thread *t[N];
    /* More than what one slab of stacks, one batch of descriptors and one of credits hold. */
    for (int i = 0; i < N; i++)
        t[i] = start(i % 25 ? NULL : HD_ATTR(.name = "named"), leaf, &t[i]);
    for (int i = 0; i < N; i++)
        finish(t[i], &t[i]);
    use_everything(arg);
    return 77;
}

static void *in_a_thread(void *arg) {
    use_everything(NULL);
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void program(void) {
    int result = hd_run(HD_CONFIG(.workers = 2), everything_in_main, NULL);
    if (result != 77)
        CHECK(!worked(result));
    int err = hd_start(HD_CONFIG(.workers = 2, .bind_workers = 1));
    if (worked(err)) {
        pthread_t p;
        hd_thread *t = start(NULL, in_a_thread, &key);
        CHECK_EQ(pthread_create(&p, NULL, use_everything, NULL), 0);
        use_everything(NULL);
        finish(t, &key);
        CHECK_EQ(pthread_join(p, NULL), 0);
        start(NULL, set_and_sleep, NULL); /* for the stop to wait for */
        CHECK_OK(hd_stop());
    }
    CHECK_EQ(atomic_load(&ended), atomic_load(&started));
    CHECK_EQ(atomic_load(&destroyed), atomic_load(&values));
}

/* ---- what may not be left behind ---- */

static unsigned entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void check_clean(unsigned fds, unsigned kthreads) {
    struct hd__stack_stats stacks;
    hd__stack_stats(&stacks);
    CHECK_EQ(stacks.capacity, 0);
    CHECK_EQ(stacks.reserved, 0);
    CHECK_EQ(stacks.slabs, 0);
    CHECK_EQ(hd_worker_count(), 0);
    CHECK_EQ(entries("/proc/self/fd"), fds);
    CHECK_EQ(entries("/proc/self/task"), kthreads);
    CHECK_ERR(hd_stop(), -EINVAL);
}

static void run_faultless(void) {
    hd__fault_arm(0);
    faultless = true;
    program();
    faultless = false;
}

/* Runs the program with the nth call failing, for every n that it has. */
static void fail_each(void (*arm)(uint64_t), uint64_t step) {
    CHECK_OK(hd_key_create(&key, count_destroyed));
    run_faultless();
    uint64_t calls = hd__fault_hits(), n = 1;
    unsigned fds = entries("/proc/self/fd"), kthreads = entries("/proc/self/task");
    for (;; n += step) {
        arm(n);
        program();
        uint64_t failed = hd__fault_failed();
        const char *site = hd__fault_site();
        hd__fault_arm(0);
        test_note("%llu: %s", (unsigned long long)n, site ? site : "(none)");
        check_clean(fds, kthreads);
        if (n % 8 == 1)
            run_faultless();
        /* How many calls there are depends on how the threads are scheduled. */
        if (failed == 0 && n > calls)
            break;
    }
    run_faultless();
    check_clean(fds, kthreads);
    CHECK_GT(n, 20);
}

TEST_WITHIN(each_call_fails_once, 120) {
    fail_each(hd__fault_arm, 1);
}

TEST_WITHIN(all_calls_fail_from_some_point_on, 120) {
    fail_each(hd__fault_arm_from, 1);
}

/* The same under a policy with ranks, which has queues of its own. */
TEST_WITHIN(each_call_fails_once_under_ranks, 120) {
    setenv("HEDDLE_POLICY", "priority", 1);
    fail_each(hd__fault_arm, 1);
    fail_each(hd__fault_arm_from, 1);
}
