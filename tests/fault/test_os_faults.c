/* SPDX-License-Identifier: MIT */
/* The bottom layers with each allocation and each system call failing once: the error arrives, and
 * nothing is lost by it. Only in builds with the fault seam. */
#include "ctx/stack.h"
#include "os/cpu.h"
#include "os/fault.h"
#include "os/futex.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "os/signal.h"

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Runs the scenario with its nth call failing, for n = 1, 2, ... until none is left to fail. */
static void fail_each(int (*scenario)(void)) {
    unsigned long n = 1;
    for (;; n++) {
        hd__fault_arm(n);
        int err = scenario();
        if (hd__fault_failed() == 0) {
            CHECK_OK(err);
            break;
        }
        test_note("call %lu (%s) failed: the scenario returned %d", n, hd__fault_site(), err);
        CHECK_LE(err, 0);
        CHECK(err == 0 || err == -ENOMEM || err == -EAGAIN || err == -EINVAL || err == -ENOSYS ||
              err == -EINTR);
        hd__fault_arm(0);
        CHECK_OK(scenario());
        CHECK_LT(n, 10000);
    }
    hd__fault_arm(0);
    CHECK_GT(n, 1);
}

TEST(the_seam_counts_and_fails) {
    hd__os_free(hd__os_alloc(1)); /* the first one maps memory */
    hd__fault_arm(0);
    hd__os_free(hd__os_alloc(1));
    CHECK_EQ(hd__fault_hits(), 1);
    CHECK_EQ(hd__fault_failed(), 0);
    CHECK_EQ(hd__fault_site(), NULL);
    hd__fault_arm(2);
    void *first = hd__os_alloc(1), *second = hd__os_calloc(1, 1), *third = hd__os_alloc(1);
    CHECK(first != NULL && second == NULL && third != NULL);
    CHECK_EQ(hd__fault_failed(), 1);
    CHECK_STR_EQ(hd__fault_site(), "calloc");
    hd__os_free(first);
    hd__os_free(third);
    hd__fault_arm_from(2);
    first = hd__os_alloc(1);
    second = hd__os_alloc(1);
    third = hd__os_alloc(1);
    CHECK(first != NULL && second == NULL && third == NULL);
    hd__os_free(first);
}

static int reserve_and_use(void) {
    unsigned klass = hd__stack_class(64 * 1024);
    struct hd__stack_cache cache = { .head = NULL };
    struct hd__stack_stats stats;
    struct hd__stack *s[200];
    hd__stack_set_workers(1);
    int err = hd__stack_reserve(klass, 200);
    hd__stack_stats(&stats);
    CHECK_EQ(stats.reserved, err == 0 ? 200 : 0);
    for (int i = 0; i < 200 && err == 0; i++) {
        s[i] = hd__stack_get(&cache, klass); /* cannot fail, whatever the guards say */
        *(volatile char *)s[i]->low = 1;
    }
    for (int i = 0; i < 200 && err == 0; i++) {
        hd__stack_put(&cache, s[i]);
    }
    if (err == 0) {
        hd__stack_unreserve(klass, 200);
    }
    hd__stack_release_all();
    return err;
}

TEST(stacks) {
    fail_each(reserve_and_use);
}

TEST(stacks_without_any_guard_left) {
    struct hd__stack_stats stats;
    unsigned klass = hd__stack_class(64 * 1024);
    CHECK_OK(hd__stack_reserve(klass, 3));
    hd__fault_arm_from(1);
    for (int i = 0; i < 3; i++) {
        struct hd__stack *s = hd__stack_get(NULL, klass);
        CHECK(!s->guarded);
        *(volatile char *)s->low = 1;
    }
    hd__fault_arm(0);
    hd__stack_stats(&stats);
    CHECK_EQ(stats.unguarded, 3);
}

static const uint16_t numbers[3] = { 0, 1, 2 };

/* Of huge pages as well, on several nodes, trimmed in between. */
static int reserve_and_trim(void) {
    unsigned klass[] = { hd__stack_class(64 * 1024), hd__stack_huge_class(1, false),
                         hd__stack_huge_class(1, true) };
    int nodes_err = hd__stack_set_nodes(3, numbers), err = 0;
    CHECK_EQ(hd__stack_nodes(), nodes_err == 0 ? 3 : 1);
    for (unsigned i = 0; i < 9 && err == 0; i++) {
        struct hd__stack *s[5];
        unsigned k = klass[i / 3], node = i % 3;
        err = hd__stack_reserve_at(node, k, 5);
        for (int n = 0; n < 5 && err == 0; n++) {
            s[n] = hd__stack_get_at(node, k);
            ((volatile char *)s[n]->top)[-1] = 1;
            CHECK(s[n]->pages != HD__PAGES_UNKNOWN);
        }
        for (int n = 0; n < 5 && err == 0; n++) {
            hd__stack_put(NULL, s[n]);
        }
        if (err == 0) {
            hd__stack_unreserve(k, 5);
            struct hd__stack *chain = hd__stack_trim_take(node, k);
            if (chain != NULL) {
                hd__stack_trim_discard(&chain);
                hd__stack_trim_give(chain);
            }
        }
    }
    hd__stack_release_all();
    return err == 0 ? nodes_err : err;
}

TEST(stacks_on_nodes_and_of_huge_pages) {
    hd__stack_set_workers(0);
    fail_each(reserve_and_trim);
}

static bool huge_without_asking(void) {
    char text[128] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    bool read = file != NULL && fgets(text, sizeof text, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    return read && strstr(text, "[always]") != NULL;
}

/* Where there are none set aside the stack has transparent ones; where these are refused, ordinary
 * ones; and it says so. */
TEST(huge_pages_have_a_fallback) {
    if (hd__os_page_size() != 4096) {
        SKIP("huge pages are not of 2 MiB here");
    }
    unsigned klass = hd__stack_huge_class(1, true);
    hd__stack_set_workers(0);
    for (uint64_t n = 1; n < 12; n++) {
        hd__fault_arm(n);
        int err = hd__stack_reserve(klass, 1);
        const char *site = hd__fault_site();
        hd__fault_arm(0);
        if (err == 0) {
            struct hd__stack *s = hd__stack_get(NULL, klass);
            *(volatile char *)s->low = 1;
            test_note("%s failed: kind %d", site ? site : "nothing", s->pages);
            if (site != NULL && strcmp(site, "mmap-huge") == 0) {
                CHECK(s->pages == HD__PAGES_TRANSPARENT || s->pages == HD__PAGES_MISSED);
                CHECK(s->guarded);
            }
        } else {
            CHECK_EQ(err, -ENOMEM);
        }
        hd__stack_release_all();
    }
    /* All that makes huge pages is refused. */
    CHECK_OK(hd__stack_reserve(hd__stack_class(1), 1)); /* and memory for records is there */
    klass = hd__stack_huge_class(1, false);
    hd__fault_arm(3); /* after the record and the mapping: the advice */
    CHECK_OK(hd__stack_reserve(klass, 1));
    CHECK_STR_EQ(hd__fault_site(), "madvise-huge");
    hd__fault_arm(0);
    if (!huge_without_asking()) {
        CHECK_EQ(hd__stack_get(NULL, klass)->pages, HD__PAGES_MISSED);
    }
    hd__stack_release_all();
}

static void do_nothing(void *arg) {
    (void)arg;
}

static int create_and_join(void) {
    struct hd__os_kthread k;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int err = hd__os_kthread_create("fault", do_nothing, NULL, &k);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK_EQ(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    if (err == 0) {
        hd__os_kthread_join(&k);
    }
    return err;
}

TEST(kernel_threads) {
    fail_each(create_and_join);
}

static int alternate_stack(void) {
    struct hd__os_altstack alt;
    int err = hd__os_altstack_init(&alt);
    hd__os_altstack_finish(&alt);
    return err;
}

TEST(alternate_stacks) {
    stack_t none = { .ss_flags = SS_DISABLE };
    sigaltstack(&none, NULL);
    fail_each(alternate_stack);
}

static bool deny(void *addr, void *ucontext) {
    (void)addr, (void)ucontext;
    return false;
}

static int handlers(void) {
    struct sigaction before, after;
    sigaction(SIGSEGV, NULL, &before);
    int err = hd__os_fault_handler_install(deny);
    hd__os_fault_handler_restore();
    sigaction(SIGSEGV, NULL, &after);
    CHECK_EQ((void *)before.sa_handler, (void *)after.sa_handler);
    return err;
}

TEST(fault_handlers) {
    fail_each(handlers);
}

static int cpus(void) {
    hd_cpuset set;
    int n = hd__os_cpus_allowed(&set);
    if (n < 0) {
        CHECK_EQ(hd__os_cpus_count(&set), 0);
        return n;
    }
    int err = hd__os_cpus_set(&set);
    int threads = err == 0 ? hd__os_kthread_count() : err;
    return threads < 0 ? threads : 0;
}

TEST(cpu_calls) {
    fail_each(cpus);
}

static int wait_a_moment(void) {
    _Atomic uint32_t word = 0;
    int err = hd__os_futex_wait(&word, 0, 1);
    return err == -ETIMEDOUT ? 0 : err;
}

TEST(futexes) {
    fail_each(wait_a_moment);
}
