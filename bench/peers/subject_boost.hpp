/* SPDX-License-Identifier: MIT */
/* The subject boost: Boost.Fiber, with the round-robin scheduler on one worker and the
 * work-stealing one on several (each worker is a kernel thread on the library's own terms: idle
 * ones look for work all the time). Stacks come from pooled_fixedsize_stack on one worker, from
 * fixedsize_stack on several; neither has guard pages. Fork-join work launches children first
 * (launch::dispatch), since breadth-first a tree of a million leaves needs gigabytes. */
#ifndef HEDDLE_BENCH_SUBJECT_BOOST_H
#define HEDDLE_BENCH_SUBJECT_BOOST_H

#include <boost/fiber/all.hpp>

#include <chrono>
#include <malloc.h>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#define SUBJECT_LIMIT 0

namespace fibers = boost::fibers;

/* Raw memory until a spawn makes a fiber in it, and again after the join: the workloads keep
 * handles in plain arrays. */
struct subject_thread {
    alignas(fibers::fiber) unsigned char memory[sizeof(fibers::fiber)];
    fibers::fiber *fiber() {
        return reinterpret_cast<fibers::fiber *>(memory);
    }
};

/* The workers beside the caller: each runs the scheduler in a kernel thread until the program
 * ends. The work-stealing scheduler can be set up once a process only: it counts its workers, and
 * waits for all of them. */
struct subject_boost_crew {
    std::vector<std::thread> threads;
    fibers::mutex mutex;
    fibers::condition_variable done_changed;
    unsigned workers = 0;
    bool begun = false, done = false;
};

inline subject_boost_crew subject_boost;
inline std::size_t subject_boost_stack = SUBJECT_STACK_BYTES;
inline std::unique_ptr<fibers::pooled_fixedsize_stack> subject_boost_pool;

static inline void subject_boost_begin(unsigned workers) {
    subject_boost.begun = true;
    subject_boost.workers = workers;
    if (workers < 2) {
        return;
    }
    for (unsigned i = 1; i < workers; i++) {
        subject_boost.threads.emplace_back([workers] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
            std::unique_lock<fibers::mutex> lock(subject_boost.mutex);
            subject_boost.done_changed.wait(lock, [] { return subject_boost.done; });
        });
    }
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
}

/* To be called before main() returns: fibers do not outlive the main thread's own storage. */
static inline void subject_boost_end() {
    {
        std::unique_lock<fibers::mutex> lock(subject_boost.mutex);
        subject_boost.done = true;
    }
    subject_boost.done_changed.notify_all();
    for (std::thread &t : subject_boost.threads) {
        t.join();
    }
    subject_boost_pool.reset();
}

static inline int subject_run(const struct subject_setup *setup, int (*body)(void *), void *arg) {
    subject_boost_stack = setup->stack_size ? setup->stack_size : SUBJECT_STACK_BYTES;
    if (!subject_boost.begun) {
        subject_boost_begin(setup->workers ? setup->workers : bench_cpus());
    }
    /* Reusing stacks is what this allocator is for; it serves one kernel thread only. Each run
     * has a new one, and starts without memory that an earlier one left. */
    subject_boost_pool.reset();
    if (subject_boost.workers < 2) {
        subject_boost_pool.reset(new fibers::pooled_fixedsize_stack(subject_boost_stack));
    }
    malloc_trim(0);
    return body(arg);
}

static inline int subject_launch(fibers::launch how, subject_thread *t, void *(*fn)(void *),
                                 void *arg) {
    try {
        if (subject_boost_pool) {
            new (t->memory) fibers::fiber(how, std::allocator_arg, *subject_boost_pool, fn, arg);
        } else {
            new (t->memory) fibers::fiber(how, std::allocator_arg,
                                          fibers::fixedsize_stack(subject_boost_stack), fn, arg);
        }
    } catch (const std::bad_alloc &) {
        return ENOMEM;
    } catch (const std::system_error &e) {
        return e.code().value();
    }
    return 0;
}

static inline int subject_spawn(subject_thread *t, void *(*fn)(void *), void *arg) {
    return subject_launch(fibers::launch::post, t, fn, arg);
}

static inline int subject_fork(subject_thread *t, void *(*fn)(void *), void *arg) {
    return subject_launch(fibers::launch::dispatch, t, fn, arg);
}

static inline void subject_join(subject_thread *t) {
    t->fiber()->join();
    t->fiber()->~fiber();
}

static inline void subject_yield() {
    boost::this_fiber::yield();
}

static inline void subject_sleep_us(uint64_t us) {
    boost::this_fiber::sleep_for(std::chrono::microseconds(us));
}

/* Both are made anew in place at each init; what they were before holds no resources. */
struct subject_sem {
    fibers::mutex mutex;
    fibers::condition_variable posted;
    unsigned count;
};

static inline void subject_sem_init(subject_sem *s, unsigned n) {
    new (s) subject_sem();
    s->count = n;
}

static inline void subject_sem_wait(subject_sem *s) {
    std::unique_lock<fibers::mutex> lock(s->mutex);
    s->posted.wait(lock, [s] { return s->count > 0; });
    s->count--;
}

static inline void subject_sem_post(subject_sem *s) {
    {
        std::unique_lock<fibers::mutex> lock(s->mutex);
        s->count++;
    }
    s->posted.notify_one();
}

struct subject_gate {
    fibers::mutex mutex;
    fibers::condition_variable changed;
    bool is_open;
};

static inline void subject_gate_init(subject_gate *g) {
    new (g) subject_gate();
    g->is_open = false;
}

static inline void subject_gate_wait(subject_gate *g) {
    std::unique_lock<fibers::mutex> lock(g->mutex);
    g->changed.wait(lock, [g] { return g->is_open; });
}

static inline void subject_gate_open(subject_gate *g) {
    {
        std::unique_lock<fibers::mutex> lock(g->mutex);
        g->is_open = true;
    }
    g->changed.notify_all();
}

static inline const char *subject_guard() {
    return "none";
}

#endif
