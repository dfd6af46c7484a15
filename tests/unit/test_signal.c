/* SPDX-License-Identifier: MIT */
/* Fault handlers and alternate signal stacks: what is ours, and what must reach others as if we
 * were not there. */
#include "base/check.h"
#include "ctx/context.h"
#include "ctx/stack.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "os/signal.h"

#include "test.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static char *page_without_access(void) {
    char *p = hd__os_map(hd__os_page_size());
    CHECK_OK(hd__os_protect_none(p, hd__os_page_size()));
    return p;
}

static void skip_with_own_handlers(void) {
    if (TEST_ASAN || TEST_TSAN) {
        SKIP("the sanitizers have handlers of their own");
    }
    if (test_under_valgrind()) {
        SKIP("Valgrind counts every fault as an error");
    }
}

/* ---- faults that we deal with ---- */

static void *volatile seen_addr;
static void *volatile handler_frame;
static char *volatile repairable;

static bool repair(void *addr, void *ucontext) {
    CHECK(ucontext != NULL);
    seen_addr = addr;
    handler_frame = __builtin_frame_address(0);
    if ((char *)addr < repairable || (char *)addr >= repairable + hd__os_page_size()) {
        return false;
    }
    return mprotect(repairable, hd__os_page_size(), PROT_READ | PROT_WRITE) == 0;
}

TEST(a_fault_that_is_dealt_with_is_tried_again) {
    skip_with_own_handlers();
    struct hd__os_altstack alt;
    CHECK_OK(hd__os_altstack_init(&alt));
    CHECK(alt.map != NULL);
    CHECK_OK(hd__os_fault_handler_install(repair));
    repairable = page_without_access();
    ((volatile char *)repairable)[100] = 7;
    CHECK_EQ(repairable[100], 7);
    CHECK_EQ(seen_addr, repairable + 100);
    CHECK_GE(handler_frame, alt.map);
    CHECK_LT(handler_frame, (char *)alt.map + alt.bytes);
    hd__os_fault_handler_restore();
    hd__os_altstack_finish(&alt);
}

static bool deny(void *addr, void *ucontext) {
    (void)ucontext;
    seen_addr = addr;
    return false;
}

TEST(other_faults_end_the_program_as_ever) {
    skip_with_own_handlers();
    CHECK_OK(hd__os_fault_handler_install(deny));
    CHECK_DEATH("", *(volatile char *)page_without_access() = 1);
    hd__os_fault_handler_restore();
}

/* ---- handlers that were there before ---- */

static sigjmp_buf back_here;
static volatile int previous_called;

static void previous_with_info(int sig, siginfo_t *info, void *ucontext) {
    CHECK_EQ(sig, SIGSEGV);
    CHECK(ucontext != NULL);
    seen_addr = info->si_addr;
    previous_called = 1;
    siglongjmp(back_here, 1);
}

static void previous_plain(int sig) {
    CHECK_EQ(sig, SIGSEGV);
    previous_called = 2;
    siglongjmp(back_here, 1);
}

static void fault_and_come_back(void) {
    char *p = page_without_access();
    previous_called = 0;
    if (sigsetjmp(back_here, 1) == 0) {
        *(volatile char *)(p + 5) = 1;
    }
}

TEST(previous_handlers_get_what_is_not_ours) {
    skip_with_own_handlers();
    struct sigaction with_info = { .sa_sigaction = previous_with_info, .sa_flags = SA_SIGINFO };
    struct sigaction plain = { .sa_handler = previous_plain };
    struct sigaction now;
    CHECK_EQ(sigaction(SIGSEGV, &with_info, NULL), 0);
    CHECK_OK(hd__os_fault_handler_install(deny));
    CHECK_ERR(hd__os_fault_handler_install(deny), -EBUSY);
    fault_and_come_back();
    CHECK_EQ(previous_called, 1);
    hd__os_fault_handler_restore();
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    CHECK_EQ((void *)now.sa_sigaction, (void *)previous_with_info);

    CHECK_EQ(sigaction(SIGSEGV, &plain, NULL), 0);
    CHECK_OK(hd__os_fault_handler_install(deny));
    fault_and_come_back();
    CHECK_EQ(previous_called, 2);
    hd__os_fault_handler_restore();
    hd__os_fault_handler_restore();
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    CHECK_EQ((void *)now.sa_handler, (void *)previous_plain);
}

/* Somebody installs a handler over ours and calls ours from it. */
static struct sigaction ours;

static void later_one(int sig, siginfo_t *info, void *ucontext) {
    ours.sa_sigaction(sig, info, ucontext);
}

TEST(later_handlers_may_chain_to_ours) {
    skip_with_own_handlers();
    struct sigaction plain = { .sa_handler = previous_plain };
    struct sigaction later = { .sa_sigaction = later_one, .sa_flags = SA_SIGINFO }, now;
    CHECK_EQ(sigaction(SIGSEGV, &plain, NULL), 0);
    CHECK_OK(hd__os_fault_handler_install(repair));
    CHECK_EQ(sigaction(SIGSEGV, &later, &ours), 0);
    repairable = page_without_access();
    ((volatile char *)repairable)[1] = 7;
    CHECK_EQ(repairable[1], 7);
    /* Ours is gone, the later one stays, and calls it still. */
    hd__os_fault_handler_restore();
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    CHECK_EQ((void *)now.sa_sigaction, (void *)later_one);
    fault_and_come_back();
    CHECK_EQ(previous_called, 2);
}

TEST(a_signal_that_was_sent_is_no_fault) {
    skip_with_own_handlers();
    CHECK_OK(hd__os_fault_handler_install(repair));
    seen_addr = NULL;
    CHECK_DEATH("", {
        raise(SIGSEGV);
        _exit(0); /* which would be survival */
    });
    CHECK_EQ(seen_addr, NULL);
    hd__os_fault_handler_restore();
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    CHECK_EQ(sigaction(SIGSEGV, &ignore, NULL), 0);
    CHECK_OK(hd__os_fault_handler_install(repair));
    raise(SIGSEGV);
    CHECK_DEATH("", *(volatile char *)page_without_access() = 1);
    hd__os_fault_handler_restore();
}

/* ---- the purpose of it all ---- */

static struct hd__context host, guest;

static bool report_overflow(void *addr, void *ucontext) {
    struct hd__stack_hit hit;
    (void)ucontext;
    if (hd__stack_find(addr, &hit) && hit.in_guard) {
        hd__print_fd2("overflow of a stack of %zu bytes owned by %s\n", (size_t)hit.stack->size,
                      (const char *)hit.stack->owner);
        _exit(7);
    }
    return false;
}

static HD__NOINLINE int dig_without_end(int depth) {
    volatile char frame[100];
    frame[0] = (char)depth;
    return depth < 0 ? 0 : dig_without_end(depth + 1) + frame[0];
}

static void overflow_entry(void *pass, void *arg) {
    (void)arg;
    dig_without_end(0);
    hd__ctx_jump(&guest, &host, pass);
}

static void overflow(void) {
    struct hd__os_altstack alt;
    unsigned klass = hd__stack_class(64 * 1024);
    CHECK_OK(hd__os_altstack_init(&alt));
    CHECK_OK(hd__os_fault_handler_install(report_overflow));
    CHECK_OK(hd__stack_reserve(klass, 1));
    struct hd__stack *s = hd__stack_get(NULL, klass);
    static char owner[] = "the test";
    s->owner = owner;
    hd__ctx_adopt(&host);
    hd__ctx_make(&guest, s, overflow_entry, NULL);
    hd__ctx_switch(&host, &guest, NULL);
}

TEST(an_overflow_is_found_on_the_alternate_stack) {
    skip_with_own_handlers();
    CHECK_DEATH("overflow of a stack of 61440 bytes owned by the test", overflow());
}

/* ---- alternate stacks ---- */

TEST(an_alternate_stack_that_is_there_is_left_alone) {
    static char theirs[65536];
    stack_t before, st = { .ss_sp = theirs, .ss_size = sizeof theirs }, now;
    struct hd__os_altstack alt;
    CHECK_EQ(sigaltstack(&st, &before), 0);
    CHECK_OK(hd__os_altstack_init(&alt));
    CHECK_EQ(alt.map, NULL);
    hd__os_altstack_finish(&alt);
    CHECK_EQ(sigaltstack(&before, &now), 0);
    CHECK_EQ(now.ss_sp, (void *)theirs);
}

static void altstack_body(void *arg) {
    struct hd__os_altstack alt;
    stack_t now;
    (void)arg;
    CHECK_OK(hd__os_altstack_init(&alt));
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(!(now.ss_flags & SS_DISABLE));
    CHECK_GE(now.ss_size, hd__os_signal_frame_bytes() + 16384);
    hd__os_altstack_finish(&alt);
    hd__os_altstack_finish(&alt);
}

TEST(each_kernel_thread_has_its_own) {
    struct hd__os_kthread k[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hd__os_kthread_create("altstack", altstack_body, NULL, &k[i]));
    }
    for (int i = 0; i < 2; i++) {
        hd__os_kthread_join(&k[i]);
    }
}

TEST(a_frame_has_a_size) {
    CHECK_GE(hd__os_signal_frame_bytes(), 1024);
    CHECK_LE(hd__os_signal_frame_bytes(), 1024 * 1024);
}
