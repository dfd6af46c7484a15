/* SPDX-License-Identifier: MIT */
/* sync: what locks and what threads wait by cost, by themselves and with others:
 *
 *     --what mutex       a mutex that nobody else wants: lock_ns, a lock and its unlock
 *     --what semaphore   the same of a semaphore: sem_ns, a post and a wait
 *     --what readers     a read lock that --threads take, each on a CPU of its own, again and
 *                        again: read_ns; mostly_ns of a lock for many readers (heddle alone)
 *     --what crowd       --threads that want one mutex for --window-ms: crowd_per_s, the same by
 *                        CPU time, and least_share, the entries of who came least over the mean
 *     --what turns       two threads that take turns by a mutex and a condition: turn_ns, there
 *                        and back, on --workers
 *
 * lock.c measures heddle's and the C library's in one program, for tighter comparisons. */
#include "subject.h"
#include "subject_sync.h"
#include "workloads.h"

enum { THREADS_MAX = 1024 };

static sync_mutex mutex __attribute__((aligned(BENCH_LINE))) = SYNC_MUTEX;
static sync_rwlock rwlock __attribute__((aligned(BENCH_LINE))) = SYNC_RWLOCK;
static sync_cond changed[2] = {SYNC_COND, SYNC_COND};

struct member {
    subject_thread thread;
    struct company *all;
    unsigned index;
    uint64_t entries, begin_ns, end_ns;
} __attribute__((aligned(BENCH_LINE)));

struct company {
    struct member *members;
    unsigned count;
    uint64_t repeat;
    bool mostly;
#ifdef BENCH_HEDDLE
    hd_rwlock for_readers;
#endif
    unsigned arrived __attribute__((aligned(BENCH_LINE))); /* atomic */
    unsigned stop __attribute__((aligned(BENCH_LINE)));    /* atomic */
    uint64_t guarded __attribute__((aligned(BENCH_LINE))); /* by mutex, as is turn */
    unsigned turn;
};

/* ---- alone ---- */

static double lock_ns(uint64_t n) {
    uint64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        sync_lock(&mutex);
        sync_unlock(&mutex);
    }
    return (double)(bench_now_ns() - begin_ns) / (double)n;
}

static double sem_ns(uint64_t n) {
    subject_sem s;
    subject_sem_init(&s, 0);
    uint64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        subject_sem_post(&s);
        subject_sem_wait(&s);
    }
    return (double)(bench_now_ns() - begin_ns) / (double)n;
}

static int mutex_sample(struct company *all) {
    bench_sample("lock_ns", "ns", lock_ns(all->repeat));
    return BENCH_OK;
}

static int semaphore_sample(struct company *all) {
    bench_sample("sem_ns", "ns", sem_ns(all->repeat));
    return BENCH_OK;
}

/* ---- several threads ---- */

/* `at`: each on a CPU of its own. */
static void start_all(struct company *all, void *(*fn)(void *), bool at) {
    all->arrived = 0;
    for (unsigned i = 0; i < all->count; i++) {
        struct member *m = &all->members[i];
        m->all = all;
        m->index = i;
        m->entries = 0;
        int error = at ? subject_spawn_at(&m->thread, i, fn, m) : subject_spawn(&m->thread, fn, m);
        if (error) {
            bench_error("thread %u of %u cannot be started: error %d", i + 1, all->count, error);
            exit(BENCH_CANNOT); /* those that were started wait for it, or go on for ever */
        }
    }
}

static void join_all(struct company *all) {
    for (unsigned i = 0; i < all->count; i++) {
        subject_join(&all->members[i].thread);
    }
}

static void read_many(struct company *all) {
    uint64_t n = all->repeat;
#ifdef BENCH_HEDDLE
    for (uint64_t i = 0; all->mostly && i < n; i++) {
        hd_rwlock_rdlock(&all->for_readers);
        hd_rwlock_rdunlock(&all->for_readers);
    }
#endif
    for (uint64_t i = 0; !all->mostly && i < n; i++) {
        sync_read(&rwlock);
        sync_read_end(&rwlock);
    }
}

static void *reader_main(void *arg) {
    struct member *me = (struct member *)arg;
    struct company *all = me->all;
    __atomic_fetch_add(&all->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&all->arrived, __ATOMIC_ACQUIRE) < all->count) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    read_many(all);
    me->end_ns = bench_now_ns();
    return NULL;
}

static double read_ns(struct company *all, bool mostly) {
    uint64_t ns = 0;
    all->mostly = mostly;
    start_all(all, reader_main, true);
    join_all(all);
    for (unsigned i = 0; i < all->count; i++) {
        ns += all->members[i].end_ns - all->members[i].begin_ns;
    }
    return (double)ns / (double)all->count / (double)all->repeat;
}

static int readers_sample(struct company *all) {
    if (all->count > bench_cpus()) {
        return bench_error("%u readers at once need as many CPUs; here are %u", all->count,
                           bench_cpus());
    }
    bench_sample("read_ns", "ns", read_ns(all, false));
#ifdef BENCH_HEDDLE
    bench_sample("mostly_ns", "ns", read_ns(all, true));
#endif
    return BENCH_OK;
}

static void *crowd_main(void *arg) {
    struct member *me = (struct member *)arg;
    struct company *all = me->all;
    uint64_t entries = 0;
    while (!__atomic_load_n(&all->stop, __ATOMIC_RELAXED)) {
        sync_lock(&mutex);
        all->guarded++;
        sync_unlock(&mutex);
        entries++;
    }
    me->entries = entries;
    return NULL;
}

static int crowd_sample(struct company *all) {
    uint64_t before = all->guarded, sum = 0, least = UINT64_MAX;
    double cpu_s = bench_cpu_s();
    __atomic_store_n(&all->stop, 0, __ATOMIC_RELAXED);
    uint64_t begin_ns = bench_now_ns();
    start_all(all, crowd_main, false);
    subject_sleep_us(bench_value("window-ms") * 1000);
    __atomic_store_n(&all->stop, 1, __ATOMIC_RELAXED);
    double seconds = (double)(bench_now_ns() - begin_ns) / 1e9;
    cpu_s = bench_cpu_s() - cpu_s;
    join_all(all);
    for (unsigned i = 0; i < all->count; i++) {
        uint64_t entries = all->members[i].entries;
        sum += entries;
        least = entries < least ? entries : least;
    }
    if (sum != all->guarded - before) {
        return bench_error("two had the mutex at once: %llu entries left %llu",
                           (unsigned long long)sum, (unsigned long long)(all->guarded - before));
    }
    bench_sample("crowd_per_s", "per_s", (double)sum / seconds);
    bench_sample("crowd_per_cpu_s", "per_s", cpu_s > 0 ? (double)sum / cpu_s : 0);
    bench_sample("least_share", "ratio", sum ? (double)least * all->count / (double)sum : 0);
    return BENCH_OK;
}

static void *turns_main(void *arg) {
    struct member *me = (struct member *)arg;
    struct company *all = me->all;
    unsigned mine = me->index;
    sync_lock(&mutex);
    for (uint64_t i = 0; i < all->repeat; i++) {
        while (all->turn != mine) {
            sync_wait(&changed[mine], &mutex);
        }
        all->turn = 1 - mine;
        sync_signal(&changed[1 - mine]);
    }
    sync_unlock(&mutex);
    return NULL;
}

static int turns_sample(struct company *all) {
    all->count = 2;
    all->turn = 0;
    uint64_t begin_ns = bench_now_ns();
    start_all(all, turns_main, false);
    join_all(all);
    bench_sample("turn_ns", "ns", (double)(bench_now_ns() - begin_ns) / (double)all->repeat);
    return BENCH_OK;
}

/* ---- the table ---- */

static int (*const what[])(struct company *) = {mutex_sample, semaphore_sample, readers_sample,
                                                crowd_sample, turns_sample};

static int sync_body(void *arg) {
    struct company *all = (struct company *)arg;
    lock_ns(all->repeat / 10 + 1); /* warms up */
    int status = BENCH_OK;
#ifdef BENCH_HEDDLE
    int error = hd_rwlock_init(&all->for_readers, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY));
    if (error) {
        return bench_error("hd_rwlock_init: %s", hd_strerror(error));
    }
#endif
    for (uint64_t i = 0; i < bench_value("samples") && status == BENCH_OK; i++) {
        status = what[bench_value("what")](all);
    }
#ifdef BENCH_HEDDLE
    hd_rwlock_finish(&all->for_readers);
#endif
    return status;
}

static int sync_run(void) {
    struct company *all = (struct company *)bench_array(1, sizeof(*all));
    all->count = (unsigned)bench_value("threads");
    all->repeat = bench_value("iterations");
    all->members = (struct member *)bench_array(all->count + 2, sizeof(*all->members));
    bool readers = what[bench_value("what")] == readers_sample;
    struct subject_setup setup = {(unsigned)bench_value("workers"), 0, readers};
    int status = subject_run(&setup, sync_body, all);
    free(all->members);
    free(all);
    return status;
}

const struct bench_experiment bench_sync = {
    "sync",
    true,
    sync_run,
    {{"what", 0, 0, 4, "mutex semaphore readers crowd turns"},
     {"threads", 2, 1, THREADS_MAX, NULL},
     {"workers", 0, 0, 1024, NULL},
     {"window-ms", 100, 1, 100000, NULL},
     {"iterations", 100000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
