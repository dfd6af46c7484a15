/* SPDX-License-Identifier: MIT */
/* lockfree: producers and consumers, as many of each, move items through a queue as fast as they
 * can. What is printed is the time of all divided by the number of items, for each of
 *
 *     spsc, ring     hd_spsc (one of each only) and hd_ring, with room for --capacity items
 *     queue          hd_queue
 *     threads_ring, threads_queue, threads_spsc: the same, by threads of the runtime
 *
 * and in the program peer-lockfree also, in turn with these:
 *
 *     ck_spsc, ck_ring       Concurrency Kit's ck_ring, with the functions for one and for many
 *     wfcqueue, lfqueue      liburcu's queues for many producers and consumers
 *     wfcqueue_one           the former without the lock that consumers need if they are several
 *
 * All but those called threads_ run on kernel threads, which are kept on CPUs: a producer and a
 * consumer on each where there are two of both. Who finds the queue full or empty pauses, and gives
 * the CPU away now and then. Items of rings are numbers; those of queues are objects of a cache
 * line each, which the producer writes and the consumer reads, so that the queues whose links lie
 * in the objects have what they are made for. The sum of what comes out is checked. */
#include <heddle/heddle.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "workloads.h"

enum { SIDES_MAX = 16, PAUSES = 64 };

struct object {
    void *link[2]; /* for queues with links in the objects; first */
    uint64_t value;
} HD_CACHE_ALIGNED;

static struct {
    hd_spsc *spsc;
    hd_ring *ring;
    hd_queue *queue;
    struct object *objects;
    unsigned sides, cpus;
    uint64_t items; /* each producer's */
    HD_CACHE_ALIGNED unsigned arrived;
    HD_CACHE_ALIGNED uint64_t taken;
    HD_CACHE_ALIGNED uint64_t sum;
} all;

struct actor {
    unsigned number;
    const struct kind *kind;
    hd_thread *thread;
    pthread_t kernel_thread;
    void *(*fn)(void *);
};

struct kind {
    const char *name;
    bool single;  /* one producer, one consumer only */
    bool threads; /* of the runtime */
    void (*begin)(void);
    void *(*produce)(void *);
    void *(*consume)(void *);
    void (*end)(void);
};

static void arrive(void) {
    __atomic_fetch_add(&all.arrived, 1, __ATOMIC_ACQ_REL);
    for (unsigned looks = 0; __atomic_load_n(&all.arrived, __ATOMIC_ACQUIRE) < 2 * all.sides;)
        if (++looks % PAUSES == 0) sched_yield();
}

static inline void pause_a_moment(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" : : : "memory");
#endif
}

static void give_way(unsigned *turn, bool threads) {
    pause_a_moment();
    if (++*turn % PAUSES != 0) return;
    if (threads)
        hd_yield();
    else
        sched_yield();
}

/* The loops of a kind, in which its functions are inline where they can be. PUSH(item) and
 * POP(item) are true if it was done; ITEM(i) makes what VALUE(item) reads. */
#define LOOPS(name, threads, BEGIN, PUSH, POP, END, ITEM, VALUE)                                   \
    static void *name##_produce(void *arg) {                                                       \
        uint64_t first = ((struct actor *)arg)->number * all.items, last = first + all.items;      \
        unsigned turn = 0;                                                                         \
        BEGIN;                                                                                     \
        arrive();                                                                                  \
        for (uint64_t i = first; i < last; i++) {                                                  \
            void *item = ITEM(i);                                                                  \
            while (!PUSH(item)) give_way(&turn, threads);                                          \
        }                                                                                          \
        END;                                                                                       \
        return NULL;                                                                               \
    }                                                                                              \
    static void *name##_consume(void *arg) {                                                       \
        uint64_t sum = 0, taken = 0, whole = all.sides * all.items;                                \
        unsigned turn = 0;                                                                         \
        void *item = NULL;                                                                         \
        (void)arg;                                                                                 \
        BEGIN;                                                                                     \
        arrive();                                                                                  \
        for (;;) {                                                                                 \
            if (POP(item)) {                                                                       \
                sum += VALUE(item);                                                                \
                taken++;                                                                           \
                continue;                                                                          \
            }                                                                                      \
            if (taken) __atomic_fetch_add(&all.taken, taken, __ATOMIC_RELAXED);                    \
            taken = 0;                                                                             \
            if (__atomic_load_n(&all.taken, __ATOMIC_RELAXED) >= whole) break;                     \
            give_way(&turn, threads);                                                              \
        }                                                                                          \
        __atomic_fetch_add(&all.sum, sum, __ATOMIC_RELAXED);                                       \
        END;                                                                                       \
        return NULL;                                                                               \
    }

#define NUMBER_ITEM(i) ((void *)(uintptr_t)((i) + 1))
#define NUMBER_VALUE(item) ((uint64_t)(uintptr_t)(item))

static inline void *object_item(uint64_t i) {
    all.objects[i].value = i + 1;
    return &all.objects[i];
}
#define OBJECT_VALUE(item) (((struct object *)(item))->value)

#define SPSC_PUSH(item) hd_spsc_push(all.spsc, item)
#define SPSC_POP(item) hd_spsc_pop(all.spsc, &(item))
#define RING_PUSH(item) hd_ring_push(all.ring, item)
#define RING_POP(item) hd_ring_pop(all.ring, &(item))
#define QUEUE_PUSH(item) (hd_queue_push(all.queue, item) == 0)
#define QUEUE_POP(item) hd_queue_pop(all.queue, &(item))

LOOPS(spsc, false, , SPSC_PUSH, SPSC_POP, , NUMBER_ITEM, NUMBER_VALUE)
LOOPS(ring, false, , RING_PUSH, RING_POP, , NUMBER_ITEM, NUMBER_VALUE)
LOOPS(queue, false, , QUEUE_PUSH, QUEUE_POP, , object_item, OBJECT_VALUE)
LOOPS(threads_spsc, true, , SPSC_PUSH, SPSC_POP, , NUMBER_ITEM, NUMBER_VALUE)
LOOPS(threads_ring, true, , RING_PUSH, RING_POP, , NUMBER_ITEM, NUMBER_VALUE)
LOOPS(threads_queue, true, , QUEUE_PUSH, QUEUE_POP, , object_item, OBJECT_VALUE)

static void nothing(void) {
}

#ifdef BENCH_LOCKFREE_PEERS
#include "peers/lockfree_peers.h"
#else
#define PEERS_INIT() 0
#define PEERS_KINDS
#endif

static const struct kind kinds[] = {
    {"spsc", true, false, nothing, spsc_produce, spsc_consume, nothing},
    {"ring", false, false, nothing, ring_produce, ring_consume, nothing},
    {"queue", false, false, nothing, queue_produce, queue_consume, nothing},
    PEERS_KINDS
    {"threads_spsc", true, true, nothing, threads_spsc_produce, threads_spsc_consume, nothing},
    {"threads_ring", false, true, nothing, threads_ring_produce, threads_ring_consume, nothing},
    {"threads_queue", false, true, nothing, threads_queue_produce, threads_queue_consume, nothing},
};

static void *on_its_cpu(void *arg) {
    struct actor *a = (struct actor *)arg;
    /* Producer 0 and consumer 1 on the first CPU, and so on. */
    unsigned cpu = bench_cpu((a->fn == a->kind->produce ? a->number : a->number + 1) % all.cpus);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    return a->fn(a);
}

static int start(struct actor *a) {
    return a->kind->threads ? -hd_spawn(&a->thread, NULL, a->fn, a)
                            : pthread_create(&a->kernel_thread, NULL, on_its_cpu, a);
}

/* The nanoseconds of an item, or a negative number when something went wrong. */
static double measure(const struct kind *k) {
    struct actor actors[2 * SIDES_MAX];
    uint64_t whole = all.sides * all.items;
    all.arrived = 0;
    all.taken = 0;
    all.sum = 0;
    k->begin();
    uint64_t begin_ns = bench_now_ns();
    for (unsigned i = 0; i < 2 * all.sides; i++) {
        actors[i].number = i % all.sides;
        actors[i].kind = k;
        actors[i].fn = i < all.sides ? k->produce : k->consume;
        int error = start(&actors[i]);
        if (error != 0) {
            bench_error("%s: a thread cannot be made: %s", k->name, strerror(error));
            exit(BENCH_CANNOT); /* those that were started wait for it */
        }
    }
    for (unsigned i = 0; i < 2 * all.sides; i++) {
        if (k->threads)
            hd_join(actors[i].thread, NULL);
        else
            pthread_join(actors[i].kernel_thread, NULL);
    }
    double ns = (double)(bench_now_ns() - begin_ns) / (double)whole;
    k->end();
    if (all.sum != whole * (whole + 1) / 2) {
        bench_error("%s: what came out is not what went in", k->name);
        return -1;
    }
    return ns;
}

static int measure_all(void *arg) {
    (void)arg;
    for (uint64_t sample = 0; sample <= bench_value("samples"); sample++) {
        for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            /* In turns that alternate, so that no kind always follows the same one. */
            unsigned n = sizeof kinds / sizeof kinds[0];
            const struct kind *k = &kinds[sample % 2 ? n - 1 - i : i];
            if (k->single && all.sides > 1) continue;
            double ns = measure(k);
            char metric[64];
            if (ns < 0) return BENCH_CANNOT;
            snprintf(metric, sizeof metric, "%s_ns", k->name);
            if (sample > 0) bench_sample(metric, "ns", ns);
        }
    }
    return BENCH_OK;
}

static int lockfree_run(void) {
    size_t capacity = (size_t)bench_value("capacity");
    all.sides = (unsigned)bench_value("sides");
    all.items = bench_value("iterations") / all.sides + 1;
    all.cpus = bench_cpus() < 2 * all.sides ? bench_cpus() : 2 * all.sides;
    all.objects = (struct object *)bench_array(all.sides * all.items, sizeof *all.objects);
    if (hd_spsc_create(&all.spsc, capacity) != 0 || hd_ring_create(&all.ring, capacity) != 0 ||
        hd_queue_create(&all.queue) != 0 || PEERS_INIT() != 0)
        return bench_error("no memory");
    int result = hd_run(HD_CONFIG(.workers = all.cpus), measure_all, NULL);
    hd_spsc_destroy(all.spsc);
    hd_ring_destroy(all.ring);
    hd_queue_destroy(all.queue);
    free(all.objects);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_lockfree = {
    "lockfree",
    false,
    lockfree_run,
    {{"sides", 1, 1, SIDES_MAX, NULL},
     {"iterations", 300000, 1, 100000000, NULL},
     {"capacity", 1024, 2, 1 << 20, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
