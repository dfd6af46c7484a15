/* SPDX-License-Identifier: MIT */
/* lifecycle: many threads that sleep a moment, started in one loop and joined in another.
 *
 * A call that starts a thread also makes it here, so there is no figure of its own for creation
 * (in Python a thread is an object first). The parts of a thread's life are measured in rounds of
 * their own, since more looks at the clock for each thread would weigh on the rest; each is the
 * median over the threads:
 *
 *     first_ms     from the call to the thread's first instruction
 *     tls_ns       the thread's first thread-local value, with the look at the clock
 *     exec_ms      from the first instruction to the last
 *     cleanup_ms   from the last instruction, or from the call of join if that came later, until
 *                  join has returned
 *
 * memory is that of all threads while they wait, measured before anything else, and divided.
 *
 * --pool P: P threads, started before and not counted, sleep as often in place of the threads;
 * start_ms is then the handing over of the work, and join_ms the wait until all is done. */
#include "subject.h"
#include "workloads.h"

#include <string.h>

enum { DEFAULT, LOW, HIGH }; /* --priority */

struct sleeper {
    subject_thread thread;
    struct lifecycle *all;
    uint64_t called_ns, first_ns, last_ns; /* called_ns 0: no look at the clock */
    uint32_t tls_ns, ran;
};

struct lifecycle {
    struct sleeper *one;
    subject_thread *workers; /* of the pool */
    double *values;          /* one a thread */
    uint64_t count, pool, sleep_us;
    bool pinned;
    int priority;
    int refused; /* atomic: what the system said to a thread that wanted another priority */
    double start_ms, join_ms, switches;
    struct bench_cpu_time cpu;
    /* Atomic, for those that wait at the gate, and for the pool. */
    uint64_t arrived, taken, done;
    subject_gate gate;
    subject_sem work, over;
};

/* ---- what differs by subject ---- */

#ifdef SUBJECT_CHOICES
static int start(struct lifecycle *l, subject_thread *t, uint64_t n, void *(*fn)(void *),
                 void *arg) {
    if (!l->pinned && l->priority == DEFAULT) {
        return subject_spawn(t, fn, arg);
    }
    int priority = l->priority == HIGH ? 1 : l->priority == LOW ? -1 : 0;
    struct subject_choice choice = {l->pinned, priority, (unsigned)(n % bench_cpus())};
    return subject_spawn_as(t, &choice, fn, arg);
}

/* What a thread does itself to have what it was given. */
static inline void settle_in(struct lifecycle *l) {
    int error = l->priority == DEFAULT ? 0 : subject_priority_take(l->priority == HIGH ? 1 : -1);
    if (error) {
        __atomic_store_n(&l->refused, error, __ATOMIC_RELAXED);
    }
}

static inline void set_local(void *value) {
    subject_local_set(value);
}

static int choices_check(const struct lifecycle *l) {
    (void)l;
    return subject_local_init() ? bench_error("no key for thread-local values") : BENCH_OK;
}
#else
static int start(struct lifecycle *l, subject_thread *t, uint64_t n, void *(*fn)(void *),
                 void *arg) {
    (void)l;
    (void)n;
    return subject_spawn(t, fn, arg);
}

static inline void settle_in(struct lifecycle *l) {
    (void)l;
}

static int choices_check(const struct lifecycle *l) {
    return l->pinned || l->priority != DEFAULT
               ? bench_error("cannot choose the CPU or the priority of a thread")
               : BENCH_OK;
}
#endif

/* ---- a thread's life ---- */

static void sleep_a_moment(struct sleeper *me) {
    if (me->called_ns) {
        me->first_ns = bench_now_ns();
#ifdef SUBJECT_CHOICES
        set_local(me);
        me->tls_ns = (uint32_t)(bench_now_ns() - me->first_ns);
#endif
    }
    subject_sleep_us(me->all->sleep_us);
    me->ran++;
    if (me->called_ns) {
        me->last_ns = bench_now_ns();
    }
}

static void *sleeper_main(void *arg) {
    struct sleeper *me = (struct sleeper *)arg;
    settle_in(me->all);
    sleep_a_moment(me);
    return NULL;
}

static int start_all(struct lifecycle *l, bool look, uint64_t *started) {
    int error = 0;
    for (*started = 0; *started < l->count; ++*started) {
        struct sleeper *s = &l->one[*started];
        s->called_ns = look ? bench_now_ns() : 0;
        error = start(l, &s->thread, *started, sleeper_main, s);
        if (error) {
            break;
        }
    }
    return error;
}

static int fail_start(const struct lifecycle *l, uint64_t started, uint64_t count, int error) {
    (void)l;
    return bench_error("only %llu of %llu threads could be started: %s",
                       (unsigned long long)started, (unsigned long long)count, strerror(error));
}

static void round_begins(struct lifecycle *l) {
    for (uint64_t i = 0; i < l->count; i++) {
        l->one[i].ran = 0;
        l->one[i].all = l;
        l->one[i].called_ns = 0;
    }
    l->switches = bench_kernel_switches();
    l->cpu = bench_cpu_time();
}

static void round_ends(struct lifecycle *l, uint64_t begin, uint64_t middle, uint64_t end) {
    struct bench_cpu_time cpu = bench_cpu_time();
    l->switches = bench_kernel_switches() - l->switches;
    l->cpu.user_s = cpu.user_s - l->cpu.user_s;
    l->cpu.system_s = cpu.system_s - l->cpu.system_s;
    l->start_ms = (double)(middle - begin) / 1e6;
    l->join_ms = (double)(end - middle) / 1e6;
}

static bool all_ran(struct lifecycle *l) {
    uint64_t ran = 0;
    for (uint64_t i = 0; i < l->count; i++) {
        ran += l->one[i].ran == 1;
    }
    int refused = __atomic_load_n(&l->refused, __ATOMIC_RELAXED);
    if (refused) {
        bench_error("a thread cannot have the priority: %s", strerror(refused));
    } else if (ran != l->count) {
        bench_error("%llu of %llu threads ran", (unsigned long long)ran,
                    (unsigned long long)l->count);
    }
    return !refused && ran == l->count;
}

/* One round; false after an error. */
static bool live(struct lifecycle *l, bool look) {
    uint64_t started;
    round_begins(l);
    uint64_t begin = bench_now_ns();
    int error = start_all(l, look, &started);
    uint64_t middle = bench_now_ns();
    for (uint64_t i = 0; i < started; i++) {
        struct sleeper *s = &l->one[i];
        uint64_t called = look ? bench_now_ns() : 0;
        subject_join(&s->thread);
        if (look) {
            uint64_t from = s->last_ns > called ? s->last_ns : called;
            l->values[i] = (double)(bench_now_ns() - from) / 1e6;
        }
    }
    round_ends(l, begin, middle, bench_now_ns());
    if (error) {
        fail_start(l, started, l->count, error);
    }
    return !error && all_ran(l);
}

/* The parts of the round that was looked at. */
static void say_parts(struct lifecycle *l, bool joined) {
    double *v = l->values;
    if (joined) {
        bench_sample("cleanup_ms", "ms", bench_quantile(v, l->count, 0.5));
    }
    for (uint64_t i = 0; i < l->count; i++) {
        v[i] = (double)(l->one[i].first_ns - l->one[i].called_ns) / 1e6;
    }
    bench_sample("first_ms", "ms", bench_quantile(v, l->count, 0.5));
    for (uint64_t i = 0; i < l->count; i++) {
        v[i] = (double)(l->one[i].last_ns - l->one[i].first_ns) / 1e6;
    }
    bench_sample("exec_ms", "ms", bench_quantile(v, l->count, 0.5));
#ifdef SUBJECT_CHOICES
    for (uint64_t i = 0; i < l->count; i++) {
        v[i] = (double)l->one[i].tls_ns;
    }
    bench_sample("tls_ns", "ns", bench_quantile(v, l->count, 0.5));
#endif
}

static void say_round(const struct lifecycle *l) {
    double count = (double)l->count;
    bench_sample("start_ms", "ms", l->start_ms);
    bench_sample("join_ms", "ms", l->join_ms);
    bench_sample("total_ms", "ms", l->start_ms + l->join_ms);
    bench_sample("switches_per_thread", "count", l->switches / count);
    bench_sample("user_us_per_thread", "us", l->cpu.user_s * 1e6 / count);
    bench_sample("kernel_us_per_thread", "us", l->cpu.system_s * 1e6 / count);
}

/* ---- the memory of all at once ---- */

static void *wait_to_be_weighed(void *arg) {
    struct lifecycle *l = (struct lifecycle *)arg;
    if (__atomic_add_fetch(&l->arrived, 1, __ATOMIC_ACQ_REL) == l->count) {
        subject_sem_post(&l->over);
    }
    subject_gate_wait(&l->gate);
    return NULL;
}

static bool weigh(struct lifecycle *l) {
    struct bench_memory before = bench_memory_now(), with = before;
    uint64_t started = 0;
    int error = 0;
    subject_gate_init(&l->gate);
    subject_sem_init(&l->over, 0);
    while (started < l->count && !error) {
        error = start(l, &l->one[started].thread, started, wait_to_be_weighed, l);
        started += !error;
    }
    if (!error) {
        subject_sem_wait(&l->over);
        with = bench_memory_now();
    }
    subject_gate_open(&l->gate);
    for (uint64_t i = 0; i < started; i++) {
        subject_join(&l->one[i].thread);
    }
    if (error) {
        fail_start(l, started, l->count, error);
        return false;
    }
    double resident = with.resident_bytes - before.resident_bytes;
    double address = with.address_bytes - before.address_bytes;
    bench_sample("bytes_per_thread", "bytes", resident > 0 ? resident / (double)l->count : 0);
    bench_sample("address_bytes_per_thread", "bytes", address > 0 ? address / (double)l->count : 0);
    return true;
}

/* ---- a pool instead ---- */

/* Takes sleepers until there are no more. */
static void *worker_main(void *arg) {
    struct lifecycle *l = (struct lifecycle *)arg;
    settle_in(l);
    for (;;) {
        subject_sem_wait(&l->work);
        uint64_t n = __atomic_fetch_add(&l->taken, 1, __ATOMIC_RELAXED);
        if (n >= l->count) {
            return NULL;
        }
        sleep_a_moment(&l->one[n]);
        if (__atomic_add_fetch(&l->done, 1, __ATOMIC_ACQ_REL) == l->count) {
            subject_sem_post(&l->over);
        }
    }
}

static bool live_pooled(struct lifecycle *l, bool look) {
    uint64_t started = 0;
    int error = 0;
    l->taken = l->done = 0;
    subject_sem_init(&l->work, 0);
    subject_sem_init(&l->over, 0);
    round_begins(l);
    while (started < l->pool && !error) {
        error = start(l, &l->workers[started], started, worker_main, l);
        started += !error;
    }
    uint64_t begin = bench_now_ns(), middle = begin;
    for (uint64_t i = 0; i < l->count && !error; i++) {
        l->one[i].called_ns = look ? bench_now_ns() : 0;
        subject_sem_post(&l->work);
    }
    middle = bench_now_ns();
    if (!error) {
        subject_sem_wait(&l->over);
    }
    round_ends(l, begin, middle, bench_now_ns());
    __atomic_store_n(&l->taken, l->count, __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < started; i++) {
        subject_sem_post(&l->work);
    }
    for (uint64_t i = 0; i < started; i++) {
        subject_join(&l->workers[i]);
    }
    if (error) {
        fail_start(l, started, l->pool, error);
    }
    return !error && all_ran(l);
}

/* ---- in order ---- */

static int lifecycle_body(void *arg) {
    struct lifecycle *l = (struct lifecycle *)arg;
    bool (*round)(struct lifecycle *, bool) = l->pool ? live_pooled : live;
    if ((!l->pool && !weigh(l)) || !round(l, false)) {
        return BENCH_CANNOT;
    }
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        if (!round(l, false)) {
            return BENCH_CANNOT;
        }
        say_round(l);
        if (!round(l, true)) {
            return BENCH_CANNOT;
        }
        say_parts(l, !l->pool);
    }
    return BENCH_OK;
}

static int lifecycle_run(void) {
    struct lifecycle *l = (struct lifecycle *)bench_array(1, sizeof(*l));
    l->count = bench_value("threads");
    l->pool = bench_value("pool");
    l->sleep_us = bench_value("sleep-us");
    l->pinned = bench_value("affinity") != 0;
    l->priority = (int)bench_value("priority");
    l->one = (struct sleeper *)bench_array(l->count, sizeof(*l->one));
    l->workers = (subject_thread *)bench_array(l->pool + 1, sizeof(*l->workers));
    l->values = (double *)bench_array(l->count, sizeof(*l->values));
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  l->pinned};
    int status = choices_check(l);
    if (status == BENCH_OK) {
        status = subject_run(&setup, lifecycle_body, l);
    }
    free(l->values);
    free(l->workers);
    free(l->one);
    free(l);
    return status;
}

#define LIFECYCLE(name)                                                                            \
    {                                                                                              \
        name, true, lifecycle_run, {                                                               \
            {"threads", 1000, 1, 10000000, NULL}, {"stack-size", 0, 0, 1u << 30, NULL},            \
            {"sleep-us", 1000, 0, 60000000, NULL}, {"workers", 0, 0, 1024, NULL},                  \
            {"priority", DEFAULT, 0, 2, "default low high"},                                       \
            {"affinity", 0, 0, 1, "free pinned"}, {"pool", 0, 0, 100000, NULL},                    \
            {"samples", 5, 1, 1000, NULL}, { NULL, 0, 0, 0, NULL }                                 \
        }                                                                                          \
    }

const struct bench_experiment bench_lifecycle = LIFECYCLE("lifecycle");
#ifdef SUBJECT_CHOICES
/* By another name, so that it is known who can choose. */
const struct bench_experiment bench_lifecycle_as = LIFECYCLE("lifecycle-as");
#endif
