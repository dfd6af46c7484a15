/* SPDX-License-Identifier: MIT */
/* Locks beside the C library's, in one program and in turn:
 *
 *     lock      a mutex that nobody else wants
 *     rwlock    a read lock that a thread on each worker takes again and again
 *     crowd     many threads that want one mutex: how often they get it, and how fairly
 *
 * The C library's locks are taken by kernel threads where there are several, by a thread of the
 * runtime where there is one. */
#include <heddle/heddle.h>

#include <pthread.h>
#include <string.h>

#include "workloads.h"

enum { HEDDLE, PTHREAD, KINDS };

static hd_mutex mutex HD_CACHE_ALIGNED = HD_MUTEX_INIT;
static pthread_mutex_t peer_mutex HD_CACHE_ALIGNED = PTHREAD_MUTEX_INITIALIZER;
static uint64_t guarded HD_CACHE_ALIGNED;

/* ---- lock ---- */

static double pairs_of_mutex(int kind, uint64_t n) {
    uint64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; kind == HEDDLE && i < n; i++) {
        hd_mutex_lock(&mutex);
        hd_mutex_unlock(&mutex);
    }
    for (uint64_t i = 0; kind == PTHREAD && i < n; i++) {
        pthread_mutex_lock(&peer_mutex);
        pthread_mutex_unlock(&peer_mutex);
    }
    return (double)(bench_now_ns() - begin_ns) / (double)n;
}

static int lock_body(void *arg) {
    uint64_t n = bench_value("iterations");
    (void)arg;
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        double own = pairs_of_mutex(HEDDLE, n), peer = pairs_of_mutex(PTHREAD, n);
        if (i > 0) {
            bench_sample("mutex_ns", "ns", own);
            bench_sample("pthread_mutex_ns", "ns", peer);
            bench_sample("mutex_ratio", "ratio", own / peer);
        }
    }
    return BENCH_OK;
}

static int lock_run(void) {
    int result = hd_run(HD_CONFIG(.workers = 2), lock_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_lock = {
    "lock",
    false,
    lock_run,
    {{"iterations", 1000000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};

/* ---- crowd ---- */

struct member {
    hd_thread *thread;
    pthread_t kernel_thread;
    int kind;
    uint64_t work;    /* turns of a loop between two locks */
    uint64_t entries;
} HD_CACHE_ALIGNED;

static struct {
    bool stop;
} crowd;

static inline void work_for(uint64_t turns) {
    for (volatile uint64_t i = 0; i < turns; i++) {
        continue;
    }
}

static void *member_run(void *arg) {
    struct member *me = (struct member *)arg;
    uint64_t entries = 0;
    while (!__atomic_load_n(&crowd.stop, __ATOMIC_RELAXED)) {
        if (me->kind == HEDDLE) {
            hd_mutex_lock(&mutex);
            guarded++;
            hd_mutex_unlock(&mutex);
        } else {
            pthread_mutex_lock(&peer_mutex);
            guarded++;
            pthread_mutex_unlock(&peer_mutex);
        }
        entries++;
        if (me->work) {
            work_for(me->work);
        }
    }
    me->entries = entries;
    return NULL;
}

static void member_start(struct member *m) {
    int err = m->kind == HEDDLE ? -hd_spawn(&m->thread, NULL, member_run, m)
                                : pthread_create(&m->kernel_thread, NULL, member_run, m);
    if (err) {
        bench_error("a thread cannot be started: error %d", err);
        exit(BENCH_CANNOT); /* those that were started go on for ever */
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = ((const struct member *)a)->entries, y = ((const struct member *)b)->entries;
    return x < y ? -1 : x > y;
}

struct crowd_result {
    double per_s;     /* entries */
    double per_cpu_s; /* the same by CPU time, which says more where others use the CPUs as well */
    double least;     /* the smallest share, as a part of the mean */
};

static struct crowd_result crowd_of(int kind, struct member *all, unsigned n) {
    uint64_t before = guarded, sum = 0;
    double cpu_s = bench_cpu_s();
    __atomic_store_n(&crowd.stop, false, __ATOMIC_RELAXED);
    uint64_t begin_ns = bench_now_ns();
    for (unsigned i = 0; i < n; i++) {
        memset(&all[i], 0, sizeof(all[i]));
        all[i].kind = kind;
        all[i].work = bench_value("work");
        member_start(&all[i]);
    }
    hd_sleep_for(bench_value("window-ms") * 1000000);
    __atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
    uint64_t end_ns = bench_now_ns();
    cpu_s = bench_cpu_s() - cpu_s;
    for (unsigned i = 0; i < n; i++) {
        if (kind == HEDDLE) {
            hd_join(all[i].thread, NULL);
        } else {
            pthread_join(all[i].kernel_thread, NULL);
        }
        sum += all[i].entries;
    }
    if (sum != guarded - before) {
        bench_error("two had the mutex at once: %llu entries left %llu", (unsigned long long)sum,
                    (unsigned long long)(guarded - before));
        exit(BENCH_CANNOT);
    }
    qsort(all, n, sizeof(*all), compare);
    struct crowd_result r = {(double)sum / ((double)(end_ns - begin_ns) / 1e9),
                             (double)sum / cpu_s, (double)all[0].entries * n / (double)sum};
    return r;
}

static int crowd_body(void *arg) {
    struct member *all = (struct member *)arg;
    unsigned n = (unsigned)bench_value("threads");
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        struct crowd_result peer = crowd_of(PTHREAD, all, n), own = crowd_of(HEDDLE, all, n);
        bench_sample("crowd_per_s", "per_s", own.per_s);
        bench_sample("pthread_crowd_per_s", "per_s", peer.per_s);
        bench_sample("crowd_ratio", "ratio", own.per_s / peer.per_s);
        bench_sample("crowd_cpu_ratio", "ratio", own.per_cpu_s / peer.per_cpu_s);
        bench_sample("crowd_least_share", "ratio", own.least);
        bench_sample("pthread_crowd_least_share", "ratio", peer.least);
    }
    return BENCH_OK;
}

static int crowd_run(void) {
    unsigned workers = (unsigned)bench_value("workers");
    struct member *all =
        (struct member *)bench_array((size_t)bench_value("threads"), sizeof(*all));
    bench_limit_cpus(workers);
    int result = hd_run(HD_CONFIG(.workers = workers), crowd_body, all);
    free(all);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_crowd = {
    "crowd",
    false,
    crowd_run,
    {{"workers", 2, 1, 1024, NULL},
     {"threads", 64, 2, 10000, NULL},
     {"work", 0, 0, 1000000, NULL},
     {"window-ms", 1000, 1, 100000, NULL},
     {"samples", 3, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};

/* ---- rwlock ---- */

static hd_rwlock rwlock HD_CACHE_ALIGNED, mostly HD_CACHE_ALIGNED;
static pthread_rwlock_t peer_rwlock HD_CACHE_ALIGNED = PTHREAD_RWLOCK_INITIALIZER;

enum { PLAIN, MOSTLY, PEER, RW_KINDS };

static const char *const rw_metrics[RW_KINDS] = {"rwlock_ns", "read_mostly_ns",
                                                 "pthread_rwlock_ns"};

struct reader {
    hd_thread *thread;
    unsigned *arrived, count;
    int kind;
    uint64_t reads, begin_ns, end_ns;
} HD_CACHE_ALIGNED;

static void read_many(const struct reader *me) {
    uint64_t n = me->reads;
    for (uint64_t i = 0; me->kind == PEER && i < n; i++) {
        pthread_rwlock_rdlock(&peer_rwlock);
        pthread_rwlock_unlock(&peer_rwlock);
    }
    hd_rwlock *l = me->kind == PLAIN ? &rwlock : &mostly;
    for (uint64_t i = 0; me->kind != PEER && i < n; i++) {
        hd_rwlock_rdlock(l);
        hd_rwlock_rdunlock(l);
    }
}

static void *reader_run(void *arg) {
    struct reader *me = (struct reader *)arg;
    __atomic_fetch_add(me->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(me->arrived, __ATOMIC_ACQUIRE) < me->count) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    read_many(me);
    me->end_ns = bench_now_ns();
    return NULL;
}

/* The nanoseconds of a read lock and its unlock while all readers read, each on a worker of its
 * own: so each is on a kernel thread of its own, as the C library's lock needs it. */
static double reads_of(int kind, struct reader *all, unsigned n, uint64_t reads) {
    unsigned arrived = 0;
    uint64_t sum_ns = 0;
    for (unsigned i = 0; i < n; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i));
        struct reader r = {NULL, &arrived, n, kind, reads, 0, 0};
        all[i] = r;
        int err = hd_spawn(&all[i].thread, HD_ATTR(.cpus = &cpus), reader_run, &all[i]);
        if (err) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT); /* those that were started wait for it */
        }
    }
    for (unsigned i = 0; i < n; i++) {
        hd_join(all[i].thread, NULL);
        sum_ns += all[i].end_ns - all[i].begin_ns;
    }
    return (double)sum_ns / (double)n / (double)reads;
}

static int rwlock_body(void *arg) {
    struct reader *all = (struct reader *)arg;
    unsigned n = (unsigned)bench_value("workers");
    int err = hd_rwlock_init(&mostly, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY));
    if (err) {
        return bench_error("hd_rwlock_init: %s", hd_strerror(err));
    }
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        double ns[RW_KINDS];
        for (int kind = 0; kind < RW_KINDS; kind++) {
            ns[kind] = reads_of(kind, all, n, bench_value("iterations"));
            if (i > 0) {
                bench_sample(rw_metrics[kind], "ns", ns[kind]);
            }
        }
        if (i > 0) {
            bench_sample("rwlock_ratio", "ratio", ns[PEER] / ns[PLAIN]);
            bench_sample("read_mostly_ratio", "ratio", ns[PEER] / ns[MOSTLY]);
        }
    }
    hd_rwlock_finish(&mostly);
    return BENCH_OK;
}

static int rwlock_run(void) {
    unsigned workers = (unsigned)bench_value("workers");
    struct reader *all = (struct reader *)bench_array(workers, sizeof(*all));
    int result = hd_run(HD_CONFIG(.workers = workers, .bind_workers = true), rwlock_body, all);
    free(all);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_rwlock = {
    "rwlock",
    false,
    rwlock_run,
    {{"workers", 2, 1, 1024, NULL},
     {"iterations", 20000, 1, 10000000000u, NULL},
     {"samples", 51, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
