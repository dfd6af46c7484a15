/* SPDX-License-Identifier: MIT */
/* forkjoin: work that splits into a thread per call.
 *
 * fib(n) by its definition: fib(n - 1) in a new thread, fib(n - 2) by the caller itself, then a
 * join, down to n = 1, without a cut-off. skynet: a tree in which every inner node starts ten
 * threads and adds up what they return; its leaves return their number. Results are checked.
 *
 * With kernel threads nearly all of them may be alive at once, so that only small trees are
 * possible: larger ones end with an error that says so, and `list` leaves the experiment out. */
#include "subject.h"
#include "workloads.h"

#include <string.h>

enum { WORK_FIB, WORK_SKYNET, SKYNET_BRANCHES = 10 };

static int spawn_error; /* the first error of any thread; atomic */

static void fork_failed(int error) {
    int none = 0;
    __atomic_compare_exchange_n(&spawn_error, &none, error, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
}

struct fib {
    uint64_t n, result;
};

static uint64_t fib(uint64_t n);

static void *fib_thread(void *arg) {
    struct fib *f = (struct fib *)arg;
    f->result = fib(f->n);
    return NULL;
}

static uint64_t fib(uint64_t n) {
    if (n < 2) {
        return n;
    }
    struct fib child = {n - 1, 0};
    subject_thread t;
    int error = subject_fork(&t, fib_thread, &child);
    if (error) {
        fork_failed(error);
        return 0;
    }
    uint64_t other = fib(n - 2);
    subject_join(&t);
    return child.result + other;
}

struct node {
    uint64_t first, leaves, result;
};

static void *skynet_thread(void *arg) {
    struct node *node = (struct node *)arg;
    if (node->leaves == 1) {
        node->result = node->first;
        return NULL;
    }
    struct node children[SKYNET_BRANCHES];
    subject_thread threads[SKYNET_BRANCHES];
    uint64_t each = node->leaves / SKYNET_BRANCHES, sum = 0;
    unsigned started = 0;
    for (; started < SKYNET_BRANCHES; started++) {
        struct node *c = &children[started];
        c->first = node->first + started * each;
        c->leaves = each;
        c->result = 0;
        int error = subject_fork(&threads[started], skynet_thread, c);
        if (error) {
            fork_failed(error);
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        subject_join(&threads[i]);
        sum += children[i].result;
    }
    node->result = sum;
    return NULL;
}

/* How many threads the work makes, for a subject that is limited. */
static uint64_t fib_threads(uint64_t n) {
    uint64_t a = 0, b = 0; /* of n - 2 and n - 1 */
    for (uint64_t i = 2; i <= n; i++) {
        uint64_t next = a + b + 1;
        a = b;
        b = next;
    }
    return b;
}

static uint64_t fib_value(uint64_t n) {
    uint64_t a = 0, b = 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

static int forkjoin_body(void *arg) {
    (void)arg;
    bool is_fib = bench_value("work") == WORK_FIB;
    uint64_t n = bench_value("n"), leaves = bench_value("leaves");
    uint64_t expected = is_fib ? fib_value(n) : leaves * (leaves - 1) / 2;
    for (uint64_t i = 0; i < bench_value("samples") + 1; i++) {
        struct node root = {0, leaves, 0};
        uint64_t begin = bench_now_ns(), result;
        if (is_fib) {
            result = fib(n);
        } else {
            skynet_thread(&root);
            result = root.result;
        }
        double ms = (double)(bench_now_ns() - begin) / 1e6;
        if (spawn_error) {
            return bench_error("a thread could not be started: %s", strerror(spawn_error));
        }
        if (result != expected) {
            return bench_error("wrong result: %llu instead of %llu", (unsigned long long)result,
                               (unsigned long long)expected);
        }
        if (i > 0) { /* the first round warms up */
            bench_sample(is_fib ? "fib_ms" : "skynet_ms", "ms", ms);
        }
    }
    return BENCH_OK;
}

static int forkjoin_run(void) {
    bool is_fib = bench_value("work") == WORK_FIB;
    uint64_t leaves = bench_value("leaves"), rest = leaves;
    while (rest % SKYNET_BRANCHES == 0) {
        rest /= SKYNET_BRANCHES;
    }
    if (!is_fib && rest != 1) {
        return bench_error("skynet needs a power of ten as its number of leaves");
    }
    uint64_t threads = is_fib ? fib_threads(bench_value("n")) : leaves + (leaves - 1) / 9 - 1;
    if (SUBJECT_LIMIT > 0 && threads > SUBJECT_LIMIT) {
        return bench_error("needs %llu threads, nearly all alive at once: too many kernel threads",
                           (unsigned long long)threads);
    }
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    return subject_run(&setup, forkjoin_body, NULL);
}

const struct bench_experiment bench_forkjoin = {
    "forkjoin",
    SUBJECT_LIMIT == 0,
    forkjoin_run,
    {{"work", WORK_FIB, 0, 1, "fib skynet"},
     {"n", 32, 0, 60, NULL},
     {"leaves", 1000000, 1, 100000000, NULL},
     {"workers", 1, 0, 1024, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
