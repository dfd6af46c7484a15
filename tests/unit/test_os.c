/* SPDX-License-Identifier: MIT */
/* The os layer: memory, futexes, clocks, CPUs, kernel threads, the environment. Signals are in
 * test_signal.c. */
#include "base/check.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/env.h"
#include "os/futex.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "os/process.h"

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* ---- memory ---- */

static bool all_zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

TEST(mappings_are_zero_and_writable) {
    size_t page = hd__os_page_size();
    CHECK_EQ(page, (size_t)sysconf(_SC_PAGESIZE));
    char *p = hd__os_map(8 * page);
    CHECK(p != NULL);
    CHECK_EQ((uintptr_t)p % page, 0);
    CHECK(all_zero(p, 8 * page));
    memset(p, 7, 8 * page);
    hd__os_unmap(p, 8 * page);
}

TEST(aligned_mappings) {
    size_t page = hd__os_page_size(), align = 64 * page;
    for (size_t pages = 1; pages <= 129; pages += 16) {
        char *p = hd__os_map_aligned(align, pages * page);
        CHECK(p != NULL);
        CHECK_EQ((uintptr_t)p % align, 0u);
        for (size_t i = 0; i < pages * page; i += page / 2) {
            CHECK_EQ(p[i], 0);
            p[i] = 1;
        }
        CHECK(hd__os_unmap_part(p, pages * page));
        CHECK_DEATH("", *(volatile char *)p = 1);
    }
    CHECK_EQ(hd__os_map_aligned(align, (size_t)1 << 62), NULL);
}

static void say_goodbye(void) {
    hd__print_fd2("goodbye\n");
}

TEST(functions_at_exit) {
    CHECK_DEATH("goodbye", {
        CHECK_OK(hd__os_at_exit(say_goodbye));
        exit(1);
    });
}

TEST(a_mapping_that_cannot_be_is_null) {
    CHECK_EQ(hd__os_map((size_t)1 << 62), NULL);
}

TEST(discarded_pages_are_zero_again) {
    size_t page = hd__os_page_size();
    char *p = hd__os_map(4 * page);
    memset(p, 7, 4 * page);
    CHECK_OK(hd__os_discard(p + page, page));
    CHECK_EQ(p[page - 1], 7);
    CHECK(all_zero(p + page, page));
    CHECK_EQ(p[2 * page], 7);
    hd__os_unmap(p, 4 * page);
}

TEST(protected_pages_fault) {
    size_t page = hd__os_page_size();
    char *p = hd__os_map(4 * page);
    CHECK_OK(hd__os_protect_none(p + page, page));
    p[page - 1] = p[2 * page] = 1;
    CHECK_DEATH("", *(volatile char *)(p + page) = 1);
    CHECK_DEATH("", *(volatile char *)(p + 2 * page - 1) = 1);
    hd__os_unmap(p, 4 * page);
}

TEST(guarded_pages_fault) {
    size_t page = hd__os_page_size();
    char *p = hd__os_map(4 * page);
    int err = hd__os_guard(p + page, page);
    if (err == -EINVAL) {
        SKIP("this kernel has no MADV_GUARD_INSTALL");
    }
    CHECK_OK(err);
    p[page - 1] = p[2 * page] = 1;
    CHECK_DEATH("", *(volatile char *)(p + page) = 1);
    CHECK_DEATH("", *(volatile char *)(p + 2 * page - 1) = 1);
    CHECK_OK(hd__os_discard(p, 4 * page));
    CHECK_DEATH("", *(volatile char *)(p + page) = 1);
    hd__os_unmap(p, 4 * page);
}

TEST(many_guards_at_once) {
    enum { GUARDS = 300, STRIDE = 4 };
    size_t page = hd__os_page_size();
    /* Valgrind 3.19 does not know the call that takes many at once, and says so. */
    for (int batched = 0; batched < (test_under_valgrind() ? 1 : 2); batched++) {
        char *p = hd__os_map(GUARDS * STRIDE * page);
        int err = hd__os_guard_many(p, page, STRIDE * page, GUARDS, batched);
        if (err == -EINVAL) {
            SKIP("this kernel has no MADV_GUARD_INSTALL");
        }
        CHECK_OK(err);
        for (size_t i = 0; i < GUARDS; i++) {
            memset(p + i * STRIDE * page + page, 1, (STRIDE - 1) * page);
        }
        for (size_t i = 0; i < GUARDS; i += 37) {
            CHECK_DEATH("", *(volatile char *)(p + i * STRIDE * page) = 1);
        }
        CHECK_DEATH("", *(volatile char *)(p + (GUARDS - 1) * STRIDE * page) = 1);
        CHECK_OK(hd__os_guard_many(p, page, STRIDE * page, GUARDS, batched));
        CHECK_OK(hd__os_guard_many(p, page, STRIDE * page, 0, batched));
        hd__os_unmap(p, GUARDS * STRIDE * page);
    }
}

TEST(resident_part_of_a_range) {
    if (test_under_qemu() || TEST_ASAN) {
        SKIP("what is in memory is not what was touched there");
    }
    size_t page = hd__os_page_size(), pages = 3000; /* more than one look takes */
    char *p = hd__os_map(pages * page);
    hd__os_nohuge(p, pages * page);
    CHECK_EQ(hd__os_resident_from(p, pages * page), 0);
    p[(pages - 1) * page] = 1;
    CHECK_EQ(hd__os_resident_from(p, pages * page), page);
    p[1100 * page] = 1;
    CHECK_EQ(hd__os_resident_from(p, pages * page), (pages - 1100) * page);
    p[0] = 1;
    CHECK_EQ(hd__os_resident_from(p, pages * page), pages * page);
    hd__os_unmap(p, pages * page);
}

TEST(allocations) {
    char *p = hd__os_alloc(100);
    CHECK(p != NULL);
    hd__os_free(p);
    p = hd__os_calloc(10, 10);
    CHECK(p != NULL && all_zero(p, 100));
    hd__os_free(p);
    for (size_t align = sizeof(void *); align <= 4096; align *= 2) {
        p = hd__os_alloc_aligned(align, 3 * align);
        CHECK(p != NULL);
        CHECK_EQ((uintptr_t)p % align, 0);
        hd__os_free(p);
    }
    hd__os_free(NULL);
}

/* ---- clocks and futexes ---- */

TEST(clock_goes_up) {
    uint64_t last = hd__os_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = hd__os_now_ns();
        CHECK_GE(now, last);
        last = now;
    }
}

TEST(sleep_until_a_deadline) {
    uint64_t start = hd__os_now_ns();
    CHECK_OK(hd__os_sleep_until(start + 20 * MS));
    CHECK_GE(hd__os_now_ns(), start + 20 * MS);
    CHECK_OK(hd__os_sleep_until(start));
    CHECK_OK(hd__os_sleep_until(0));
}

TEST(cpu_time_is_less_than_time) {
    uint64_t process = hd__os_process_cpu_ns(), thread = hd__os_thread_cpu_ns();
    CHECK_OK(hd__os_sleep_until(hd__os_now_ns() + 50 * MS));
    CHECK_LT(hd__os_thread_cpu_ns() - thread, 40 * MS);
    CHECK_GE(hd__os_process_cpu_ns(), process);
}

TEST(futex_wait_looks_at_the_word) {
    _Atomic uint32_t word = 5;
    CHECK_ERR(hd__os_futex_wait(&word, 4, HD_FOREVER), -EAGAIN);
}

TEST(futex_wait_times_out) {
    _Atomic uint32_t word = 5;
    uint64_t start = hd__os_now_ns();
    CHECK_ERR(hd__os_futex_wait(&word, 5, start + 20 * MS), -ETIMEDOUT);
    CHECK_GE(hd__os_now_ns(), start + 20 * MS);
    CHECK_ERR(hd__os_futex_wait(&word, 5, start), -ETIMEDOUT);
    CHECK_ERR(hd__os_futex_wait(&word, 5, 0), -ETIMEDOUT);
}

static void wait_for_change(void *arg) {
    _Atomic uint32_t *word = arg;
    while (atomic_load(word) == 0) {
        int err = hd__os_futex_wait(word, 0, HD_FOREVER);
        CHECK(err == 0 || err == -EAGAIN || err == -EINTR);
    }
}

TEST(futex_wakes_waiters) {
    static _Atomic uint32_t word;
    struct hd__os_kthread waiters[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(hd__os_kthread_create("waiter", wait_for_change, &word, &waiters[i]));
    }
    CHECK_OK(hd__os_sleep_until(hd__os_now_ns() + 20 * MS));
    atomic_store(&word, 1);
    CHECK_LE(hd__os_futex_wake(&word, 1), 1);
    CHECK_LE(hd__os_futex_wake(&word, UINT32_MAX), 3);
    for (int i = 0; i < 3; i++) {
        hd__os_kthread_join(&waiters[i]);
    }
    CHECK_EQ(hd__os_futex_wake(&word, 1), 0);
}

/* ---- CPUs ---- */

TEST(allowed_cpus) {
    hd_cpuset allowed, again, one = { { 0 } };
    int n = hd__os_cpus_allowed(&allowed);
    CHECK_GT(n, 0);
    CHECK_EQ(n, hd__os_cpus_count(&allowed));
    unsigned first = hd__os_cpus_first(&allowed);
    CHECK_LT(first, HD_CPU_MAX);
    one.bits[first / 64] = UINT64_C(1) << (first % 64);
    CHECK_OK(hd__os_cpus_set(&one));
    CHECK_EQ(hd__os_cpus_allowed(&again), 1);
    CHECK_EQ(hd__os_cpus_first(&again), first);
    CHECK_EQ(hd__os_cpu_current(), first);
    CHECK_OK(hd__os_cpus_set(&allowed));
    CHECK_EQ(hd__os_cpus_allowed(&again), n);
}

TEST(an_empty_set_of_cpus_is_refused) {
    hd_cpuset none = { { 0 } };
    CHECK_ERR(hd__os_cpus_set(&none), -EINVAL);
    CHECK_EQ(hd__os_cpus_count(&none), 0);
    CHECK_EQ(hd__os_cpus_first(&none), HD_CPU_MAX);
}

TEST(membarrier) {
    int err = hd__os_membarrier_register();
    if (err != 0) {
        SKIP("membarrier() cannot be had here: error %d", err);
    }
    hd__os_membarrier();
}

/* ---- kernel threads ---- */

struct kthread_report {
    int tid;
    sigset_t mask;
    char name[16];
    _Atomic uint32_t stop;
    void *low, *top, *local;
};

static void kthread_body(void *arg) {
    struct kthread_report *r = arg;
    r->tid = hd__os_gettid();
    r->local = __builtin_frame_address(0);
    pthread_sigmask(SIG_SETMASK, NULL, &r->mask);
    pthread_getname_np(pthread_self(), r->name, sizeof r->name);
    CHECK_OK(hd__os_kthread_stack(&r->low, &r->top));
    wait_for_change(&r->stop);
}

TEST(kernel_threads) {
    static struct kthread_report r;
    struct hd__os_kthread k;
    sigset_t mine;
    int before = hd__os_kthread_count();
    CHECK_GE(before, 1);
    CHECK_OK(hd__os_kthread_create("a-name-that-is-too-long", kthread_body, &r, &k));
    if (!test_under_qemu() && !TEST_TSAN) { /* which have threads of their own */
        CHECK_EQ(hd__os_kthread_count(), before + 1);
    }
    atomic_store(&r.stop, 1);
    hd__os_futex_wake(&r.stop, 1);
    hd__os_kthread_join(&k);
    CHECK_NE(r.tid, hd__os_gettid());
    CHECK_STR_EQ(r.name, "a-name-that-is-");
    CHECK_GE(r.local, r.low);
    CHECK_LT(r.local, r.top);
    /* What a fault raises is let through, everything else is not. */
    CHECK(!sigismember(&r.mask, SIGSEGV) && !sigismember(&r.mask, SIGBUS));
    CHECK(sigismember(&r.mask, SIGINT) && sigismember(&r.mask, SIGTERM));
    CHECK(sigismember(&r.mask, SIGUSR1) && sigismember(&r.mask, SIGALRM));
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    CHECK(!sigismember(&mine, SIGINT) && !sigismember(&mine, SIGUSR1));
}

TEST(stack_of_the_first_kernel_thread) {
    void *low, *top;
    CHECK_OK(hd__os_kthread_stack(&low, &top));
    CHECK_GE(__builtin_frame_address(0), low);
    CHECK_LT(__builtin_frame_address(0), top);
}

/* ---- the environment ---- */

TEST(numbers_in_texts) {
    uint64_t value = 77;
    CHECK_OK(hd__os_parse_u64("123", &value));
    CHECK_EQ(value, 123);
    CHECK_OK(hd__os_parse_u64("0", &value));
    CHECK_EQ(value, 0);
    CHECK_OK(hd__os_parse_u64("0x10", &value));
    CHECK_EQ(value, 16);
    CHECK_OK(hd__os_parse_u64("64k", &value));
    CHECK_EQ(value, 65536);
    CHECK_OK(hd__os_parse_u64("1M", &value));
    CHECK_EQ(value, 1 << 20);
    CHECK_OK(hd__os_parse_u64("18446744073709551615", &value));
    CHECK_EQ(value, UINT64_MAX);
    static const char *const bad[] = { "", "-1", " 5", "5 ", "1x", "1kk", "k", "1.5", "+5", "ten",
                                       "99999999999999999999", "18446744073709551615k" };
    for (size_t i = 0; i < HD__COUNTOF(bad); i++) {
        value = 77;
        CHECK_ERR(hd__os_parse_u64(bad[i], &value), -EINVAL);
        CHECK_EQ(value, 77);
    }
}

TEST(environment_text) {
    setenv("HEDDLE_TEST_TEXT", "", 1);
    CHECK_EQ(hd__os_env_text("HEDDLE_TEST_TEXT"), NULL);
    setenv("HEDDLE_TEST_TEXT", "abc", 1);
    CHECK_STR_EQ(hd__os_env_text("HEDDLE_TEST_TEXT"), "abc");
}
