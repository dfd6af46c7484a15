/* SPDX-License-Identifier: MIT */
/* affinity: objects are touched by the thread that made them, --owner percent of the times, and by
 * a second thread on another CPU. A touch is a reference taken and given back, counted by
 *
 *     plain      an int, without atomic instructions; two threads at once would lose counts, so
 *                each has an int of its own in every object then: what the cache lines cost alone
 *     atomic     an int with them, as most libraries do it
 *     biased     an hd_ref, whose owner does without (heddle alone)
 *
 * --mode serial: the owner has its turn, then the other one; --mode concurrent: both at once. The
 * time of a touch is that of both threads over the touches of both, so it is the slower side that
 * counts. biased_over_atomic is their ratio.
 *
 * In windows of their own, with hd_ref's counters enabled, which slows it down: bias_switches,
 * merges and migrations in a million touches; see <heddle/ref.h>. The merge that ends an object is
 * left out. */
#include "subject.h"
#include "workloads.h"

enum { OBJECTS = 64, PORTION = 1000 };
enum kind { PLAIN, ATOMIC, BIASED, KINDS };
enum { SERIAL, CONCURRENT };

struct object {
#ifdef BENCH_HEDDLE
    hd_ref ref;
#endif
    int64_t plain[2];
    int counted; /* atomic */
} __attribute__((aligned(BENCH_LINE)));

static struct object objects[OBJECTS];
static uint64_t ended;

#ifdef BENCH_HEDDLE
static void end_object(hd_ref *r) {
    (void)r;
    __atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
}

static inline void safe_point(void) {
    hd_ref_drain();
}

static void end_objects(void) {
    for (unsigned i = 0; i < OBJECTS; i++) {
        hd_ref_put(&objects[i].ref);
    }
    hd_ref_drain();
}
#else
static inline void safe_point(void) {
}

static void end_objects(void) {
    ended += OBJECTS;
}
#endif

static void make_objects(void) {
    for (unsigned i = 0; i < OBJECTS; i++) {
#ifdef BENCH_HEDDLE
        hd_ref_init(&objects[i].ref, end_object);
#endif
        objects[i].plain[0] = objects[i].plain[1] = 0;
        objects[i].counted = 1;
    }
}

/* The touch is of an object that the compiler knows nothing of. */
#define TOUCHES(get, put)                                                                          \
    for (uint64_t i = 0; i < n; i++) {                                                             \
        struct object *o = &objects[i % OBJECTS];                                                  \
        __asm__ volatile("" : "+r"(o) : : "memory");                                               \
        get;                                                                                       \
        __asm__ volatile("" : "+r"(o) : : "memory");                                               \
        put;                                                                                       \
    }

static void __attribute__((noinline)) touch(enum kind kind, uint64_t n, unsigned who) {
    if (kind == PLAIN) {
        TOUCHES(o->plain[who]++, o->plain[who]--);
    } else if (kind == ATOMIC) {
        TOUCHES(__atomic_fetch_add(&o->counted, 1, __ATOMIC_RELAXED),
                ended += __atomic_fetch_sub(&o->counted, 1, __ATOMIC_ACQ_REL) == 1);
    } else {
#ifdef BENCH_HEDDLE
        TOUCHES(hd_ref_get(&o->ref), hd_ref_put(&o->ref));
#endif
    }
}

struct user {
    subject_thread thread;
    struct pair *pair;
    unsigned index; /* 0: the owner */
    uint64_t touches;
    struct bench_span span;
} __attribute__((aligned(BENCH_LINE)));

struct pair {
    struct user users[2];
    enum kind kind;
    bool concurrent;
    unsigned arrived __attribute__((aligned(BENCH_LINE)));
    subject_sem turn, over; /* the other one's turn begins, and is over */
};

static void *use(void *arg) {
    struct user *me = (struct user *)arg;
    struct pair *p = me->pair;
    if (me->index == 0) {
        make_objects();
    }
    if (p->concurrent) {
        __atomic_fetch_add(&p->arrived, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&p->arrived, __ATOMIC_ACQUIRE) < 2) {
            continue;
        }
    } else if (me->index == 1) {
        subject_sem_wait(&p->turn);
    }
    bench_span_begin(&me->span);
    /* In portions, so that an owner comes by a safe point now and then. */
    for (uint64_t left = me->touches; left > 0;) {
        uint64_t n = left < PORTION ? left : PORTION;
        touch(p->kind, n, me->index);
        safe_point();
        left -= n;
    }
    bench_span_end(&me->span);
    /* The owner lives on until the other is done: one that has ended owns nothing. */
    if (me->index == 0) {
        subject_sem_post(&p->turn);
        subject_sem_wait(&p->over);
        safe_point();
        end_objects();
    } else {
        subject_sem_post(&p->over);
    }
    return NULL;
}

/* Nanoseconds of a touch; negative after an error. */
static double try_window(struct pair *p, enum kind kind, bool *good) {
    struct bench_window w = {0, 0, 0, 0, false};
    uint64_t all = bench_value("iterations");
    uint64_t owned = all * bench_value("owner") / 100;
    p->kind = kind;
    p->arrived = 0;
    ended = 0;
    subject_sem_init(&p->turn, 0);
    subject_sem_init(&p->over, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct user *u = &p->users[i];
        u->pair = p;
        u->index = i;
        u->touches = i == 0 ? owned : all - owned;
        int error = subject_spawn_at(&u->thread, i, use, u);
        if (error) {
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            exit(BENCH_CANNOT); /* the other one waits for it */
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        subject_join(&p->users[i].thread);
        if (p->users[i].touches) {
            bench_window_add(&w, &p->users[i].span);
        }
    }
    safe_point();
    bool right = ended == OBJECTS;
    for (unsigned i = 0; i < OBJECTS; i++) {
        right = right && objects[i].counted == 1 && !objects[i].plain[0] && !objects[i].plain[1];
    }
    if (!right) {
        bench_error("counts are wrong: %llu of %d objects were freed", (unsigned long long)ended,
                    OBJECTS);
        return -1;
    }
    *good = p->concurrent ? bench_window_good(&w) : !w.disturbed;
    return (double)w.sum_ns / (double)all;
}

static double window(struct pair *p, enum kind kind) {
    bool good = false;
    double ns = 0;
    for (unsigned i = 0; i < BENCH_TRIES && ns >= 0 && !good; i++) {
        ns = try_window(p, kind, &good);
    }
    return ns;
}

#ifdef BENCH_HEDDLE
static bool count_moves(struct pair *p) {
    struct hd_ref_stats before = HD_REF_STATS_INIT, after = HD_REF_STATS_INIT;
    hd_ref_stats_get(&before);
    bool good;
    hd_ref_stats_enable(true);
    double ns = try_window(p, BIASED, &good);
    hd_ref_stats_enable(false);
    hd_ref_stats_get(&after);
    double millions = (double)bench_value("iterations") / 1e6;
    bench_sample("bias_switches", "count",
                 (double)(after.bias_switches - before.bias_switches) / millions);
    uint64_t merges = after.merges - before.merges;
    bench_sample("merges", "count",
                 merges > OBJECTS ? (double)(merges - OBJECTS) / millions : 0);
    bench_sample("migrations", "count",
                 (double)(after.migrations - before.migrations) / millions);
    uint64_t own = after.owner_ops - before.owner_ops;
    uint64_t shared = after.shared_ops - before.shared_ops;
    bench_sample("by_owner_percent", "percent",
                 own + shared ? 100 * (double)own / (double)(own + shared) : 0);
    return ns >= 0;
}
#endif

static int affinity_body(void *arg) {
    struct pair *p = (struct pair *)arg;
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        double plain = window(p, PLAIN), atomic = window(p, ATOMIC), biased = 0;
#ifdef BENCH_HEDDLE
        biased = window(p, BIASED);
#endif
        if (plain < 0 || atomic < 0 || biased < 0) {
            return BENCH_CANNOT;
        }
        if (i == 0) {
            continue; /* warms up */
        }
        bench_sample("plain_ns", "ns", plain);
        bench_sample("atomic_ns", "ns", atomic);
#ifdef BENCH_HEDDLE
        bench_sample("biased_ns", "ns", biased);
        bench_sample("biased_over_atomic", "ratio", biased / atomic);
        if (!count_moves(p)) {
            return BENCH_CANNOT;
        }
#endif
    }
    return BENCH_OK;
}

static int affinity_run(void) {
    if (bench_cpus() < 2) {
        return bench_error("an owner and another thread need two CPUs; here is one");
    }
    struct pair *p = (struct pair *)bench_array(1, sizeof(*p));
    p->concurrent = bench_value("mode") == CONCURRENT;
    struct subject_setup setup = {2, 0, true};
    int status = subject_run(&setup, affinity_body, p);
    free(p);
    return status;
}

const struct bench_experiment bench_affinity = {
    "affinity",
    true,
    affinity_run,
    {{"owner", 90, 0, 100, NULL},
     {"mode", SERIAL, 0, 1, "serial concurrent"},
     {"iterations", 200000, 100, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
