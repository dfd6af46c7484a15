/* SPDX-License-Identifier: MIT */
/* memory: bandwidth, barriers, a line between two CPUs, page faults. See memory.c. */
#include "memory.h"

#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- bandwidth ---- */

typedef uint64_t vector __attribute__((vector_size(32), may_alias));

/* Every kernel goes once over n vectors (a multiple of four), and over as many at `from`. */
static void read_all(vector *to, const vector *from, size_t n) {
    vector a = {0}, b = a, c = a, d = a;
    (void)to;
    for (size_t i = 0; i < n; i += 4) {
        a |= from[i];
        b |= from[i + 1];
        c |= from[i + 2];
        d |= from[i + 3];
    }
    a |= b | c | d;
    __asm__ volatile("" : : "m"(a));
}

static void write_all(vector *to, const vector *from, size_t n) {
    vector v = {1, 2, 3, 4};
    (void)from;
    for (size_t i = 0; i < n; i += 4) {
        to[i] = to[i + 1] = to[i + 2] = to[i + 3] = v;
    }
    __asm__ volatile("" : : "r"(to) : "memory");
}

static void copy_all(vector *to, const vector *from, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        vector a = from[i], b = from[i + 1], c = from[i + 2], d = from[i + 3];
        to[i] = a;
        to[i + 1] = b;
        to[i + 2] = c;
        to[i + 3] = d;
    }
    __asm__ volatile("" : : "r"(to) : "memory");
}

/* Past the caches: memory is not read before it is written. */
#ifdef __SSE2__
static void stream_all(vector *to, const vector *from, size_t n) {
    __m128i v = _mm_set1_epi32(7), *p = (__m128i *)(void *)to;
    (void)from;
    for (size_t i = 0; i < 2 * n; i += 4) {
        _mm_stream_si128(p + i, v);
        _mm_stream_si128(p + i + 1, v);
        _mm_stream_si128(p + i + 2, v);
        _mm_stream_si128(p + i + 3, v);
    }
    _mm_sfence();
}
#define STREAM_ALL stream_all
#else
#define STREAM_ALL NULL
#endif

enum { READ, WRITE, COPY, STREAM, KERNELS };

static const struct {
    const char *metric, *percent;
    void (*move)(vector *to, const vector *from, size_t n);
    unsigned moved; /* bytes that go over the bus, of each that is worked on */
} kernels[KERNELS] = {
    {"read_per_s", "read_percent", read_all, 1},
    {"write_per_s", "write_percent", write_all, 1},
    {"copy_per_s", "copy_percent", copy_all, 2},
    {"stream_per_s", "stream_percent", STREAM_ALL, 1},
};

struct mover {
    subject_thread thread;
    struct moving *all;
    vector *memory; /* `vectors` of them; a copy is from the first half to the second */
    uint64_t begin_ns, end_ns;
} __attribute__((aligned(BENCH_LINE)));

struct moving {
    struct mover movers[MEMORY_THREADS];
    unsigned arrived __attribute__((aligned(BENCH_LINE)));
    unsigned count __attribute__((aligned(BENCH_LINE)));
    unsigned kernel;
    size_t vectors; /* of each thread */
};

static void *mover_main(void *arg) {
    struct mover *me = (struct mover *)arg;
    struct moving *all = me->all;
    size_t n = all->vectors / (all->kernel == COPY ? 2 : 1);
    __atomic_fetch_add(&all->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&all->arrived, __ATOMIC_ACQUIRE) < all->count) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    kernels[all->kernel].move(me->memory + (all->kernel == COPY ? n : 0), me->memory, n);
    me->end_ns = bench_now_ns();
    return NULL;
}

/* Bytes a second that `count` threads move together, from the first one's begin to the last's end.
 * They share what memory there is. */
static double move_once(struct moving *all, char *memory, size_t bytes, unsigned count,
                        unsigned kernel) {
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    all->arrived = 0;
    all->count = count;
    all->kernel = kernel;
    all->vectors = bytes / count / sizeof(vector) / 8 * 8;
    for (unsigned i = 0; i < count; i++) {
        struct mover *m = &all->movers[i];
        m->all = all;
        m->memory = (vector *)(void *)memory + i * all->vectors;
        int error = subject_spawn_at(&m->thread, i, mover_main, m);
        if (error) {
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            exit(BENCH_CANNOT); /* those that were started wait for it */
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct mover *m = &all->movers[i];
        subject_join(&m->thread);
        begin_ns = m->begin_ns < begin_ns ? m->begin_ns : begin_ns;
        end_ns = m->end_ns > end_ns ? m->end_ns : end_ns;
    }
    double worked = (double)(all->vectors * count * sizeof(vector)) / (kernel == COPY ? 2 : 1);
    return worked * kernels[kernel].moved / ((double)(end_ns - begin_ns) / 1e9);
}

/* The best of a few passes: what disturbs only takes away. */
static double move_best(struct moving *all, char *memory, size_t bytes, unsigned count,
                        unsigned kernel) {
    double best = 0;
    for (unsigned pass = 0; pass < 3 && kernels[kernel].move; pass++) {
        double rate = move_once(all, memory, bytes, count, kernel);
        best = rate > best ? rate : best;
    }
    return best;
}

/* The most that any kernel moves with all CPUs: the peak of this machine as far as its programs
 * can see it. What its memory modules could do is not told to them. */
static double find_peak(struct moving *all, char *memory, size_t bytes) {
    unsigned count = bench_cpus() < MEMORY_THREADS ? bench_cpus() : MEMORY_THREADS;
    double peak = 0;
    for (unsigned kernel = 0; kernel < KERNELS; kernel++) {
        double rate = move_best(all, memory, bytes, count, kernel);
        peak = rate > peak ? rate : peak;
    }
    return peak;
}

int memory_bandwidth(void) {
    unsigned threads = (unsigned)bench_value("threads");
    if (threads > bench_cpus()) {
        return bench_error("%u threads at once need as many CPUs; here are %u", threads,
                           bench_cpus());
    }
    size_t mib = (size_t)bench_value("mib"), bytes = mib ? mib << 20 : 4 * memory_last_cache();
    struct moving *all = (struct moving *)bench_array(1, sizeof(*all));
    char *memory = (char *)memory_map(bytes, true);
    memset(memory, 1, bytes);
    double peak = find_peak(all, memory, bytes);
    uint64_t samples = bench_value("samples");
    double *rates = (double *)bench_array(samples * KERNELS, sizeof(*rates));
    for (uint64_t i = 0; i < samples * KERNELS; i++) {
        unsigned kernel = (unsigned)(i % KERNELS);
        rates[i] = move_best(all, memory, bytes, threads, kernel);
        peak = rates[i] > peak ? rates[i] : peak;
    }
    bench_sample("peak_per_s", "per_s", peak);
    for (uint64_t i = 0; i < samples * KERNELS; i++) {
        if (rates[i] > 0) {
            bench_sample(kernels[i % KERNELS].metric, "per_s", rates[i]);
            bench_sample(kernels[i % KERNELS].percent, "percent", 100 * rates[i] / peak);
        }
    }
    free(rates);
    memory_unmap(memory, bytes);
    free(all);
    return BENCH_OK;
}

/* ---- barriers ---- */

#define TIMED(metric, operation)                                                                   \
    do {                                                                                           \
        uint64_t begin_ns = bench_now_ns();                                                        \
        for (uint64_t i = 0; i < n; i++) {                                                         \
            operation;                                                                             \
        }                                                                                          \
        bench_sample(metric, "ns", (double)(bench_now_ns() - begin_ns) / (double)n);               \
    } while (0)

static void barrier_sample(uint64_t *word, uint64_t n) {
    TIMED("store_ns", __atomic_store_n(word, i, __ATOMIC_RELAXED));
    TIMED("release_ns", __atomic_store_n(word, i, __ATOMIC_RELEASE));
    TIMED("seq_cst_ns", __atomic_store_n(word, i, __ATOMIC_SEQ_CST));
    TIMED("fence_ns", __atomic_store_n(word, i, __ATOMIC_RELAXED);
          __atomic_thread_fence(__ATOMIC_SEQ_CST));
    TIMED("fetch_add_ns", __atomic_fetch_add(word, 1, __ATOMIC_RELAXED));
    uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    TIMED("cas_ns", __atomic_compare_exchange_n(word, &old, old + 1, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_RELAXED));
}

int memory_barrier(void) {
    uint64_t n = bench_value("iterations");
    uint64_t *word = (uint64_t *)bench_array(1, BENCH_LINE);
    bool ready = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0;
    if (!ready) {
        bench_note("membarrier", "the kernel refuses membarrier()");
    }
    for (uint64_t s = 0; s < bench_value("samples"); s++) {
        barrier_sample(word, n);
        uint64_t calls = n / 100 + 1, begin_ns = bench_now_ns();
        for (uint64_t i = 0; ready && i < calls; i++) {
            syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
        }
        if (ready) {
            bench_sample("membarrier_ns", "ns",
                         (double)(bench_now_ns() - begin_ns) / (double)calls);
        }
    }
    free(word);
    return BENCH_OK;
}

/* ---- a line between two CPUs ---- */

struct player {
    subject_thread thread;
    struct game *game;
    unsigned index;
    uint64_t done, begin_ns, end_ns;
} __attribute__((aligned(BENCH_LINE)));

struct game {
    struct player players[2];
    unsigned arrived __attribute__((aligned(BENCH_LINE)));
    unsigned over; /* atomic, as arrived, turn, sum */
    uint64_t turn __attribute__((aligned(BENCH_LINE)));
    uint64_t sum __attribute__((aligned(BENCH_LINE)));
    uint64_t rounds __attribute__((aligned(BENCH_LINE)));
    bool both_add; /* instead of taking turns */
};

enum { LOOKS = 4096, PATIENCE_NS = 20000000 };

/* Waits for a turn. False when the game is over: where one of the two has no CPU, a turn takes as
 * long as the kernel pleases, and thousands of them for ever. */
static bool my_turn(struct game *g, uint64_t turn, uint64_t begin_ns) {
    for (unsigned looks = 0; __atomic_load_n(&g->turn, __ATOMIC_ACQUIRE) != turn; looks++) {
        if (looks % LOOKS < LOOKS - 1) {
            continue;
        }
        if (bench_now_ns() - begin_ns > PATIENCE_NS) {
            __atomic_store_n(&g->over, 1, __ATOMIC_RELAXED);
        }
        if (__atomic_load_n(&g->over, __ATOMIC_RELAXED)) {
            return false;
        }
    }
    return true;
}

static void *play(void *arg) {
    struct player *me = (struct player *)arg;
    struct game *g = me->game;
    uint64_t n = g->rounds;
    __atomic_fetch_add(&g->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&g->arrived, __ATOMIC_ACQUIRE) < 2) {
        continue;
    }
    me->begin_ns = bench_now_ns();
    for (me->done = 0; g->both_add && me->done < n; me->done++) {
        __atomic_fetch_add(&g->sum, 1, __ATOMIC_RELAXED);
    }
    for (; me->done < n && my_turn(g, 2 * me->done + me->index, me->begin_ns); me->done++) {
        __atomic_store_n(&g->turn, 2 * me->done + me->index + 1, __ATOMIC_RELEASE);
    }
    me->end_ns = bench_now_ns();
    return NULL;
}

/* Nanoseconds of a round, there and back, or of an addition while the other adds as well. */
static double game_of(struct game *g, bool both_add, uint64_t rounds) {
    double ns = 0;
    g->turn = g->sum = 0;
    g->arrived = g->over = 0;
    g->rounds = rounds;
    g->both_add = both_add;
    for (unsigned i = 0; i < 2; i++) {
        struct player *p = &g->players[i];
        p->game = g;
        p->index = i;
        int error = subject_spawn_at(&p->thread, i, play, p);
        if (error) {
            bench_error("a thread on CPU %u cannot be started: error %d", bench_cpu(i), error);
            exit(BENCH_CANNOT); /* the other one waits for it */
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct player *p = &g->players[i];
        subject_join(&p->thread);
        ns += (double)(p->end_ns - p->begin_ns) / (double)(p->done ? p->done : 1) / 2;
    }
    return ns;
}

enum { WINDOWS = 10 };

/* Short windows, that most of them are undisturbed. Who loses its CPU keeps the other waiting for a
 * turn, so the least counts; but lets it add without a rival, so of additions the median does. */
int memory_line(void) {
    if (bench_cpus() < 2) {
        return bench_error("a line goes from one CPU to another; here is one");
    }
    uint64_t rounds = bench_value("iterations") / 100 + 1, adds = 20 * rounds;
    struct game *g = (struct game *)bench_array(1, sizeof(*g));
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        double turns[WINDOWS], both[WINDOWS];
        for (unsigned w = 0; w < WINDOWS; w++) {
            turns[w] = game_of(g, false, rounds);
            both[w] = game_of(g, true, adds);
            if (g->sum != 2 * adds) {
                return bench_error("additions are lost");
            }
        }
        bench_sample("line_round_ns", "ns", bench_quantile(turns, WINDOWS, 0));
        bench_sample("both_add_ns", "ns", bench_quantile(both, WINDOWS, 0.5));
    }
    free(g);
    return BENCH_OK;
}

/* ---- page faults ---- */

/* Nanoseconds to touch a page of `step` bytes for the first time; *back_ns: to give it back. */
static double touch_pages(size_t bytes, size_t step, bool huge, double *back_ns, bool *got_huge) {
    char *memory = (char *)memory_map(bytes, huge);
    size_t pages = bytes / step;
    double huge_before = memory_huge_bytes();
    uint64_t begin_ns = bench_now_ns();
    for (size_t i = 0; i < pages; i++) {
        *(volatile char *)(memory + i * step) = 1;
    }
    uint64_t touched_ns = bench_now_ns();
    *got_huge = memory_huge_bytes() - huge_before > (double)bytes / 2;
    uint64_t middle_ns = bench_now_ns();
    memory_unmap(memory, bytes);
    *back_ns = (double)(bench_now_ns() - middle_ns) / (double)pages;
    return (double)(touched_ns - begin_ns) / (double)pages;
}

/* The same by one system call for all. */
static double populate_ns(size_t bytes) {
    char *memory = (char *)memory_map(bytes, false);
    uint64_t begin_ns = bench_now_ns();
    bool done = madvise(memory, bytes, 23 /* MADV_POPULATE_WRITE, Linux 5.14 */) == 0;
    double ns = (double)(bench_now_ns() - begin_ns) / ((double)bytes / 4096);
    memory_unmap(memory, bytes);
    return done ? ns : -1;
}

int memory_fault(void) {
    size_t mib = (size_t)bench_value("mib"), bytes = (mib ? mib : 32) << 20;
    bytes = bytes < MEMORY_HUGE ? MEMORY_HUGE : bytes;
    bool got_huge = false;
    for (uint64_t i = 0; i <= bench_value("samples"); i++) {
        double back, huge_back, at_once = populate_ns(bytes);
        double small = touch_pages(bytes, 4096, false, &back, &got_huge);
        double huge = touch_pages(bytes, MEMORY_HUGE, true, &huge_back, &got_huge);
        if (i == 0) {
            continue; /* the kernel's own memory warms up */
        }
        bench_sample("fault_ns", "ns", small);
        bench_sample("back_ns", "ns", back);
        if (at_once >= 0) {
            bench_sample("populate_ns", "ns", at_once);
        }
        if (got_huge) {
            bench_sample("huge_fault_ns", "ns", huge);
            bench_sample("huge_back_ns", "ns", huge_back);
            bench_sample("huge_per_4k_ns", "ns", huge / (double)(MEMORY_HUGE / 4096));
        }
    }
    if (!got_huge) {
        bench_note("huge", "the kernel gave no huge pages: their cost was not measured");
    }
    return BENCH_OK;
}
