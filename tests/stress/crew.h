/* SPDX-License-Identifier: MIT */
/* What the stress programs share: a crew of threads and foreign kernel threads that runs one body
 * for a share of the time, while somebody interrupts the threads at random. A lost wake-up shows
 * as a test that does not end; the runner then prints the seed that repeats its random choices.
 *
 * HEDDLE_STRESS_SECONDS is how long a program runs (2 by default, times HEDDLE_TEST_SCALE). */
#ifndef HEDDLE_TEST_CREW_H
#define HEDDLE_TEST_CREW_H

#include "test.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CREW_THREADS_MAX = 64, CREW_FOREIGN_MAX = 8 };

struct crew;

struct crew_member {
    struct crew *crew;
    void *shared;
    unsigned index; /* threads first, then foreign ones */
    bool foreign;
    struct test_rng rng;
    void (*body)(struct crew_member *);
};

struct crew {
    uint64_t end_ns;
    unsigned threads, foreign;
    struct crew_member members[CREW_THREADS_MAX + CREW_FOREIGN_MAX];
    hd_thread *handles[CREW_THREADS_MAX];
    pthread_t kernel_threads[CREW_FOREIGN_MAX];
    hd_waitgroup left;
};

/* This test's share of the program's time. */
static inline uint64_t crew_time_ns(unsigned tests) {
    const char *value = getenv("HEDDLE_STRESS_SECONDS");
    const char *scale = getenv("HEDDLE_TEST_SCALE");
    double seconds = value != NULL ? strtod(value, NULL) : 2;
    if (value == NULL && scale != NULL)
        seconds *= strtod(scale, NULL);
    return (uint64_t)(seconds * 1e9 / tests);
}

static inline bool crew_goes_on(const struct crew_member *m) {
    return hd_now_ns() < m->crew->end_ns;
}

static inline bool crew_chance(struct crew_member *m, unsigned one_in) {
    return test_rng_below(&m->rng, one_in) == 0;
}

/* A deadline that is often past, or comes at about the time of what is waited for; or none. */
static inline uint64_t crew_deadline(struct crew_member *m) {
    switch (test_rng_below(&m->rng, 4)) {
    case 0:
        return HD_FOREVER;
    case 1:
        return hd_now_ns() - 1;
    default:
        return hd_now_ns() + test_rng_below(&m->rng, 200 * 1000);
    }
}

/* Wastes a moment, so that the others come in between. */
static inline void crew_pause(struct crew_member *m) {
    unsigned long spins = test_rng_below(&m->rng, 200);
    for (volatile unsigned long i = 0; i < spins; i++) {
    }
    if (!m->foreign && crew_chance(m, 8))
        hd_yield();
}

static void *crew_run_member(void *arg) {
    struct crew_member *m = arg;
    m->body(m);
    hd_waitgroup_done(&m->crew->left);
    return NULL;
}

/* Runs the body in so many threads and foreign threads for `ns`, and returns when all have ended.
 * Foreign threads cannot be interrupted. From a thread of the runtime. */
static inline void crew_run(void (*body)(struct crew_member *), void *shared, unsigned threads,
                            unsigned foreign, uint64_t ns, bool interrupt) {
    struct crew *crew = calloc(1, sizeof *crew);
    struct test_rng rng = test_rng(1);
    crew->threads = threads;
    crew->foreign = foreign;
    crew->end_ns = hd_now_ns() + ns;
    hd_waitgroup_add(&crew->left, threads + foreign);
    for (unsigned i = 0; i < threads + foreign; i++) {
        struct crew_member *m = &crew->members[i];
        *m = (struct crew_member){crew, shared, i, i >= threads, test_rng(i + 2), body};
        if (m->foreign)
            CHECK_EQ(pthread_create(&crew->kernel_threads[i - threads], NULL, crew_run_member, m),
                     0);
        else
            CHECK_OK(hd_spawn(&crew->handles[i], NULL, crew_run_member, m));
    }
    for (;;) {
        uint64_t pause_ns = test_rng_below(&rng, 100 * 1000);
        int err =
            hd_waitgroup_wait_until(&crew->left, interrupt ? hd_now_ns() + pause_ns : HD_FOREVER);
        if (err == 0)
            break;
        CHECK_EQ(err, -ETIMEDOUT);
        if (threads > 0)
            hd_interrupt(crew->handles[test_rng_below(&rng, threads)]);
    }
    for (unsigned i = 0; i < threads; i++)
        CHECK_OK(hd_join(crew->handles[i], NULL));
    for (unsigned i = 0; i < foreign; i++)
        CHECK_EQ(pthread_join(crew->kernel_threads[i], NULL), 0);
    free(crew);
}

/* A test whose body is a runtime's first thread; one to three workers, as the seed says. */
#define STRESS_TEST(name)                                                                          \
    static int main_of_##name(void *arg);                                                          \
    TEST_WITHIN(name, 60) {                                                                        \
        struct test_rng rng = test_rng(0);                                                         \
        unsigned workers = 1 + (unsigned)test_rng_below(&rng, 3);                                  \
        test_note("%u workers", workers);                                                          \
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), main_of_##name, NULL));                     \
    }                                                                                              \
    static int main_of_##name(void *arg __attribute__((unused)))

#endif
