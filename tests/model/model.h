/* SPDX-License-Identifier: MIT */
/* What a model program is written with. A model program is a handful of short threads over sources
 * of the library, which are compiled into it with the compiler's thread instrumentation. Each
 * access to memory so becomes a call into the checker, which takes the place of ThreadSanitizer's
 * library: it runs the threads as coroutines, and explores every execution that the C11 memory
 * model permits, but for those in which a thread reads what depends on that read (out of thin air,
 * and load buffering). The idea is at the head of explore.c; doc/HACKING.md says how to add one.
 *
 *     static _Atomic int flag;
 *     static int data;
 *     static void writer(void) { data = 1; atomic_store_explicit(&flag, 1, memory_order_release); }
 *     static void reader(void) {
 *         if (atomic_load_explicit(&flag, memory_order_acquire)) MODEL_ASSERT(data == 1);
 *     }
 *     static const struct model message = {.name = "message", .threads = {writer, reader}};
 *     TEST(message_arrives) { model_must_hold(&message); }
 *
 * What ends an execution as a failure: MODEL_ASSERT, hd__fatal(), a data race on plain accesses
 * (all of them are watched), an access to freed memory or beyond what was allocated, a fault, and
 * the state in which nobody can go on and nobody who waits could see anything new.
 *
 * Threads must be deterministic but for what they read and choose. They begin with the memory that
 * setup() leaves; all static and thread-local variables are put back before each execution. */
#ifndef HEDDLE_MODEL_H
#define HEDDLE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_THREADS = 5 };

/* A weakening that is not found, and why that is right: what the model does not show, or what is
 * not needed. `mutant` is FUNCTION OPERATION[#N] FROM->TO, as the report names it, for the N-th
 * such operation of the function; may hold * and ?. */
struct model_spared {
    const char *mutant, *reason; /* no reason: it is left to the programs that are long, which find
                                  * it */
};

struct model {
    const char *name;
    void (*setup)(void);                  /* alone, before the threads; may be NULL */
    void (*threads[MODEL_THREADS])(void); /* up to the first NULL */
    void (*after)(void);                  /* alone, after all of them have ended; may be NULL */
    unsigned steps_max;                   /* events of one thread; 0: 120 */
    uint64_t executions_max;              /* 0: 20 million */
    bool is_long;                         /* only with HEDDLE_MODEL_LONG (make model) */
};

struct model_result {
    uint64_t executions;   /* complete ones, all different */
    uint64_t blocked;      /* those that ended where somebody waits for what others show */
    uint64_t inconsistent; /* begun, and given up since the memory model forbids them */
    uint64_t cut;          /* ended by the bound of steps: not explored any further */
    bool complete;         /* nothing was left out, but for what `cut` says */
    bool failed;
    unsigned failure_steps; /* of the shortest failure that was found */
    double seconds;
    char message[400];
    char *replay;          /* what repeats the failure: HEDDLE_MODEL_REPLAY */
};

/* Explores. The result's failure has been printed to standard error if `print`. */
struct model_result model_explore(const struct model *m, bool print);

/* Explores, and fails the test if something is wrong or the exploration is not complete. One that
 * is long is skipped in a short run. */
void model_must_hold(const struct model *m);

/* For programs that hold, up to a NULL: weakens each atomic operation and fence that they use, one
 * at a time. Each such mutant must be found by one of them, but for those that are spared, which
 * must not be. `sources`: a pattern of the files whose operations are weakened. */
void model_mutants_must_fail(const struct model *const *programs, const char *sources,
                             const struct model_spared *spared);

/* Explores, and fails the test unless a failure whose message contains `what` is found. */
void model_must_fail(const struct model *m, const char *what);

/* ---- for the threads ---- */

#define MODEL_ASSERT(cond) \
    ((cond) ? (void)0 : model_fail("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond))
_Noreturn void model_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* 0 to n - 1: each is explored. */
unsigned model_choose(unsigned n);

/* The thread has looked in vain, and would look again: it goes on in those executions only in which
 * one of the reads since its last write sees something else. For loops without effects. */
_Noreturn void model_spin(void);

/* This execution is of no interest: it is not counted as one in which a thread is stuck. */
_Noreturn void model_give_up(void);

/* Number of the calling thread, from 0. */
unsigned model_self(void);

/* Memory that is never handed out twice in an execution. Freeing is checked against all uses. */
void *model_alloc(size_t bytes);
void model_free(void *p);

/* A name for the trace. */
void model_name(const volatile void *p, size_t bytes, const char *name);

/* Waiting in the kernel on a word, with the order that the kernel gives: wait() returns when
 * somebody wakes after the look, or false at once if the word is not `expect`. */
bool model_futex_wait(_Atomic uint32_t *word, uint32_t expect);
void model_futex_wake(_Atomic uint32_t *word);

/* A barrier on another thread, wherever that is (membarrier()), with full ones before and after.
 * The other one has called model_take_barriers(): it is interrupted once, before some atomic
 * operation or at its end, if there is a barrier. One an execution. */
void model_membarrier(unsigned thread);
void model_take_barriers(void);

/* Before some atomic operation of the calling thread, or never (each is explored), calls handler()
 * on it, as a signal would; once. NULL: no more. */
void model_on_interrupt(void (*handler)(void));

/* ---- for the outcomes of litmus tests ---- */

/* Called in after(): counts an execution under this name. */
void model_outcome(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* After model_explore(): the names that were counted, sorted, with blanks between. */
const char *model_outcomes(void);

#endif
