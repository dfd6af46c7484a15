/* SPDX-License-Identifier: MIT */
/* Light threads on a kernel thread for which other light threads wait already: it cannot be held,
 * since nobody else can run those. All threads are light ones, and so all on that one, but for the
 * last test's. */
#include "preempt_test.h"

#include <sys/syscall.h>

static void skip_without_light(void) {
    if (TEST_TSAN)
        SKIP("light threads are preempted the default way under ThreadSanitizer");
}

static int run_light(int (*fn)(void *), void *arg) {
    return hd_run(QUICK(.workers = 1, .preempt = HD_PREEMPT_LIGHT), fn, arg);
}

/* ---- one that waits for the kernel thread all the time, and does not leave by itself ---- */

struct below {
    counter steps;
    _Atomic bool stop;
    hd_thread *thread;
};

static void *count_steps(void *arg) {
    struct below *b = arg;
    while (!atomic_load_explicit(&b->stop, memory_order_relaxed))
        count_up(&b->steps);
    return NULL;
}

/* Returns when it has been preempted the light way: by the caller. */
static void below_start(struct below *b) {
    uint64_t before = metrics().preempted_light;
    b->thread = spawn(count_steps, b);
    while (metrics().preempted_light == before)
        hd_yield();
}

static void below_stop(struct below *b) {
    atomic_store(&b->stop, true);
    join(b->thread);
}

/* Until the one below has gone on: that is, until the caller was preempted. */
static void spin_until_preempted(struct below *b) {
    spin_until(&b->steps, count_of(&b->steps) + 1);
}

/* ---- a mask of signals ---- */

static void block_own(int sig, sigset_t *own, sigset_t *old) {
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGURG);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, old), 0);
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, own), 0);
}

static void check_own(int sig) {
    static const int looked_at[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH, SIGURG};
    sigset_t now;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    for (size_t i = 0; i < HD__COUNTOF(looked_at); i++)
        CHECK_EQ(sigismember(&now, looked_at[i]), looked_at[i] == sig);
}

/* A thread with a mask of its own must not wait or yield: the kernel thread would keep the mask. */
#ifdef HD_HOSTILE
enum { CALLS_YIELD = 1 };
#else
enum { CALLS_YIELD = 0 };
#endif

struct masked {
    struct below *below;
    int sig;
    bool calls; /* it is preempted in calls, perhaps */
};

static void *keep_own_mask(void *arg) {
    struct masked *m = arg;
    sigset_t own, old;
    hd_sem sem = HD_SEM_INIT(0);
    block_own(m->sig, &own, &old);
    for (unsigned long i = 0; i < test_iterations(30); i++) {
        uint64_t until = count_of(&m->below->steps) + 1;
        while (m->calls && count_of(&m->below->steps) < until)
            hd_sem_post(&sem);
        spin_until(&m->below->steps, until);
        check_own(m->sig);
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    return NULL;
}

static int masks_above(void *arg) {
    static const int own[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH};
    struct below below = {.steps = 0};
    struct masked m[4];
    hd_thread *t[4];
    sigset_t before, after;
    (void)arg;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    below_start(&below);
    for (int i = 0; i < 4; i++) {
        m[i] = (struct masked){&below, own[i], i >= 2 && !CALLS_YIELD};
        t[i] = spawn(keep_own_mask, &m[i]);
    }
    for (int i = 0; i < 4; i++)
        join(t[i]);
    below_stop(&below);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    CHECK_MEM_EQ(&before, &after, 8); /* all that the kernel knows */
    return 0;
}

TEST_WITHIN(one_with_a_mask_of_its_own_is_preempted, 60) {
    skip_without_light();
    CHECK_OK(run_light(masks_above, NULL));
}

/* A handler runs on the stack of whoever is there; not of one that blocks the signal. */
static _Atomic uintptr_t blocked_stack;
static _Atomic int tid_there;
static _Atomic bool storm_ends;
static counter handled, handled_there;

static void on_storm(int sig) {
    char here;
    uintptr_t top = atomic_load(&blocked_stack), at = (uintptr_t)&here;
    (void)sig;
    count_up(&handled);
    if (at < top && top - at < 16 * 1024)
        count_up(&handled_there);
}

static void *storm(void *arg) {
    while (!atomic_load(&storm_ends)) {
        syscall(SYS_tgkill, getpid(), atomic_load(&tid_there), SIGUSR2);
        usleep(20);
    }
    return arg;
}

static void *stay_undisturbed(void *arg) {
    struct below *b = arg;
    volatile char here = 0;
    sigset_t own, old;
    block_own(SIGUSR2, &own, &old);
    atomic_store(&blocked_stack, (uintptr_t)&here);
    for (unsigned long i = 0; i < test_iterations(100); i++)
        spin_until_preempted(b);
    atomic_store(&blocked_stack, 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    return NULL;
}

static int storm_above(void *arg) {
    struct below below = {.steps = 0};
    atomic_store(&tid_there, (int)syscall(SYS_gettid));
    below_start(&below);
    pthread_t p = foreign(storm, arg);
    join(spawn(stay_undisturbed, &below));
    spin_until(&handled, 1);
    below_stop(&below);
    atomic_store(&storm_ends, true);
    foreign_join(p);
    return 0;
}

TEST_WITHIN(what_it_blocks_is_not_handled_on_its_stack, 60) {
    struct sigaction action = {.sa_handler = on_storm, .sa_flags = SA_RESTART};
    skip_without_light();
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    CHECK_OK(run_light(storm_above, NULL));
    CHECK_GT(count_of(&handled), 0);
    CHECK_EQ(count_of(&handled_there), 0);
}

/* ---- where it cannot be preempted: until it is elsewhere ---- */

static void *in_the_c_library(void *arg) {
    static char text[1 << 14];
    struct below *b = arg;
    memset(text, 'x', sizeof text - 1);
    for (unsigned long i = 0; i < test_iterations(10); i++) {
        uint64_t until = count_of(&b->steps) + 1;
        while (count_of(&b->steps) < until) {
            CHECK_EQ(strlen(text), sizeof text - 1);
            for (volatile int k = 0; k < 1000; k++) {
            }
        }
    }
    return NULL;
}

static int library_above(void *arg) {
    struct below below = {.steps = 0};
    below_start(&below);
    join(spawn(in_the_c_library, &below));
    below_stop(&below);
    return arg != NULL;
}

TEST_WITHIN(one_that_is_often_in_the_c_library_is_preempted, 60) {
    skip_without_light();
    CHECK_OK(run_light(library_above, NULL));
}

static struct below *under_handler;
static struct clockwork *handler_clock;
static counter handlers;

static void be_on_another_stack(int sig) {
    uint64_t before = count_of(&under_handler->steps);
    (void)sig;
    clockwork_spin(handler_clock, 10);
    CHECK_EQ(count_of(&under_handler->steps), before);
    count_up(&handlers);
}

static void *raise_above(void *arg) {
    sigset_t own, old;
    block_own(SIGUSR2, &own, &old);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(raise(SIGUSR1), 0);
        spin_until_preempted(arg);
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    return NULL;
}

static int handler_above(void *arg) {
    struct below below = {.steps = 0};
    struct clockwork clock = {.asked = 0};
    under_handler = &below;
    handler_clock = &clock;
    clockwork_start(&clock);
    below_start(&below);
    join(spawn(raise_above, &below));
    below_stop(&below);
    clockwork_stop(&clock);
    return arg != NULL;
}

TEST_WITHIN(one_on_an_alternate_stack_goes_on_until_it_returns, 60) {
    struct sigaction action = {.sa_handler = be_on_another_stack, .sa_flags = SA_ONSTACK};
    skip_without_light();
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_OK(run_light(handler_above, NULL));
    CHECK_EQ(count_of(&handlers), 3);
}

/* ---- light threads of one worker on several kernel threads ---- */

/* Beside light threads that were preempted on one kernel thread, threads of the default kind run on
 * another, and so do light ones, which are preempted there as well. With no more kernel threads
 * than that, light ones have to run in place of the others: each where it was preempted. */
static _Thread_local char kernel_thread;

static HD__NOINLINE char *where(void) {
    char *at = &kernel_thread;
    __asm__ volatile("" : "+r"(at));
    return at;
}

static void *stay(void *arg) {
    char *begun = where();
    for (unsigned long i = test_iterations(3000000); i > 0; i--)
        CHECK(where() == begun);
    return arg;
}

static int stay_where_they_are(void *arg) {
    enum { THREADS = 12 };
    hd_thread *t[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        t[i] = spawn_kind(i % 3 == 2 ? HD_PREEMPT_CARRIER : HD_PREEMPT_LIGHT, stay, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        join(t[i]);
    *(uint64_t *)arg += metrics().preempted_light;
    return 0;
}

TEST_WITHIN(all_stay_on_their_kernel_threads, 60) {
    uint64_t preempted = 0;
    skip_without_light();
    for (unsigned i = 0; i < 2 * 4; i++)
        CHECK_OK(hd_run(QUICK(.workers = 1 + i % 2, .carriers_max = 2 + i % 2 + i / 2),
                        stay_where_they_are, &preempted));
    CHECK_GT(preempted, 0);
}
