/* SPDX-License-Identifier: MIT */
/* ref: what a reference taken and given back costs, in nanoseconds a pair.
 *
 * One thread goes through an array of objects, each with a count, and does one pair with each:
 *
 *     plain       an int, without atomic instructions
 *     atomic      one with, as most libraries do it: relaxed and release
 *     owner       an hd_ref of its own
 *     others      an hd_ref that another thread owns, which waits
 *     shared      an hd_ref after hd_ref_share()
 *
 * With one object after the other the CPU can begin with the next before one is done. How it is
 * with one object alone is measured as well (one_...).
 *
 * mix_P_biased and mix_P_atomic: two threads on two workers use the same objects, the first, which
 * has made them, for P percent of the pairs; a pair's time is that of both threads, so that of the
 * slower side counts. Before each window the objects are new. */
#include <heddle/heddle.h>

#include "workloads.h"

#include <stdio.h>

enum { OBJECTS = 64, SHARES = 9 };

struct object {
    hd_ref ref;
    int plain;
    int counted; /* atomic */
} HD_CACHE_ALIGNED;

static struct object objects[OBJECTS];
static uint64_t ended;

static void end_object(hd_ref *r) {
    (void)r;
    ended++;
}

static void end_counted(struct object *o) {
    end_object(&o->ref);
}

/* ---- one thread ---- */

enum kind { PLAIN, ATOMIC, OWNER, OTHERS, SHARED, KINDS };

static const char *const metrics[2][KINDS] = {
    {"plain_ns", "atomic_ns", "owner_ns", "others_ns", "shared_ns"},
    {"one_plain_ns", "one_atomic_ns", "one_owner_ns", "one_others_ns", "one_shared_ns"},
};

/* The pair is done on an object that the compiler knows nothing of. */
#define PAIRS(get, put)                                                                            \
    for (uint64_t i = 0; i < n; i++) {                                                             \
        struct object *o = &objects[i & mask];                                                     \
        __asm__ volatile("" : "+r"(o) : : "memory");                                               \
        get;                                                                                       \
        __asm__ volatile("" : "+r"(o) : : "memory");                                               \
        put;                                                                                       \
    }

static void put_plain(struct object *o) {
    if (--o->plain == 0) {
        end_counted(o);
    }
}

static void put_atomic(struct object *o) {
    if (__atomic_fetch_sub(&o->counted, 1, __ATOMIC_RELEASE) == 1) {
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        end_counted(o);
    }
}

static void __attribute__((noinline)) pairs_of(enum kind kind, uint64_t n, uint64_t mask) {
    switch (kind) {
    case PLAIN:
        PAIRS(o->plain++, put_plain(o));
        break;
    case ATOMIC:
        PAIRS(__atomic_fetch_add(&o->counted, 1, __ATOMIC_RELAXED), put_atomic(o));
        break;
    default:
        PAIRS(hd_ref_get(&o->ref), hd_ref_put(&o->ref));
        break;
    }
}

static void make_objects(bool share) {
    for (unsigned i = 0; i < OBJECTS; i++) {
        hd_ref_init(&objects[i].ref, end_object);
        objects[i].plain = objects[i].counted = 1;
        if (share) {
            hd_ref_share(&objects[i].ref);
        }
    }
}

static void end_objects(void) {
    for (unsigned i = 0; i < OBJECTS; i++) {
        hd_ref_put(&objects[i].ref);
    }
}

struct owner {
    hd_sem made, over;
};

static void *own(void *arg) {
    struct owner *o = (struct owner *)arg;
    make_objects(false);
    hd_sem_post(&o->made);
    hd_sem_wait(&o->over);
    hd_ref_drain();
    end_objects();
    return NULL;
}

static double window(enum kind kind, uint64_t pairs, uint64_t mask) {
    struct owner other = {HD_SEM_INIT(0), HD_SEM_INIT(0)};
    hd_thread *t = NULL;
    if (kind == OTHERS) {
        int err = hd_spawn(&t, NULL, own, &other);
        if (err != 0) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            return -1;
        }
        hd_sem_wait(&other.made);
    } else {
        make_objects(kind == SHARED);
    }
    pairs_of(kind, pairs / 10 + 1, mask);
    uint64_t begin_ns = bench_now_ns();
    pairs_of(kind, pairs, mask);
    double ns = (double)(bench_now_ns() - begin_ns) / (double)pairs;
    if (t) {
        hd_sem_post(&other.over);
        hd_join(t, NULL);
    } else {
        end_objects();
    }
    return ns;
}

static int alone_body(void *arg) {
    uint64_t pairs = bench_value("iterations");
    (void)arg;
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        for (unsigned one = 0; one < 2; one++) {
            for (unsigned kind = 0; kind < KINDS; kind++) {
                ended = 0;
                double ns = window((enum kind)kind, pairs, one ? 0 : OBJECTS - 1);
                hd_ref_drain();
                if (ns < 0 || ended != OBJECTS) {
                    return bench_error("%s: %llu of %d objects were freed", metrics[one][kind],
                                       (unsigned long long)ended, OBJECTS);
                }
                bench_sample(metrics[one][kind], "ns", ns);
            }
        }
    }
    return BENCH_OK;
}

/* ---- two threads ---- */

struct user {
    hd_thread *thread;
    unsigned index;
    bool biased;
    uint64_t pairs;
    unsigned *arrived;
    uint64_t begin_ns, end_ns;
} HD_CACHE_ALIGNED;

static void *use(void *arg) {
    struct user *me = (struct user *)arg;
    if (me->index == 0) {
        make_objects(false);
    }
    __atomic_fetch_add(me->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(me->arrived, __ATOMIC_ACQUIRE) < 2) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    /* In portions, so that an owner comes by a safe point now and then. */
    for (uint64_t left = me->pairs; left > 0;) {
        uint64_t n = left < 1000 ? left : 1000;
        pairs_of(me->biased ? OWNER : ATOMIC, n, OBJECTS - 1);
        hd_ref_drain();
        left -= n;
    }
    me->end_ns = bench_now_ns();
    return NULL;
}

static double mix_window(unsigned percent, bool biased, uint64_t pairs) {
    static struct user users[2];
    unsigned arrived = 0;
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i));
        users[i].index = i;
        users[i].biased = biased;
        users[i].pairs = pairs * (i == 0 ? percent : 100 - percent) / 100;
        users[i].arrived = &arrived;
        int err = hd_spawn(&users[i].thread, HD_ATTR(.cpus = &cpus), use, &users[i]);
        if (err != 0) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT); /* the other one waits for it */
        }
    }
    uint64_t ns = 0;
    for (unsigned i = 0; i < 2; i++) {
        hd_join(users[i].thread, NULL);
        ns += users[i].end_ns - users[i].begin_ns;
    }
    end_objects();
    return (double)ns / (double)pairs;
}

static int mix_body(void *arg) {
    uint64_t pairs = bench_value("iterations");
    (void)arg;
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        for (unsigned share = 0; share < SHARES; share++) {
            unsigned percent = 90 - 10 * share;
            for (unsigned biased = 0; biased < 2; biased++) {
                char metric[32];
                ended = 0;
                double ns = mix_window(percent, biased != 0, pairs);
                hd_ref_drain();
                if (ended != OBJECTS) {
                    return bench_error("%llu of %d objects were freed", (unsigned long long)ended,
                                       OBJECTS);
                }
                snprintf(metric, sizeof(metric), "mix_%u_%s_ns", percent,
                         biased ? "biased" : "atomic");
                bench_sample(metric, "ns", ns);
            }
        }
    }
    return BENCH_OK;
}

static int ref_run(void) {
    bool mix = bench_value("mix") != 0;
    int result = hd_run(HD_CONFIG(.workers = mix ? 2 : 1, .bind_workers = true),
                        mix ? mix_body : alone_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_ref = {
    "ref",
    false,
    ref_run,
    {{"mix", 0, 0, 1, NULL},
     {"iterations", 1000000, 100, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
