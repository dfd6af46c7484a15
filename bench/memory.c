/* SPDX-License-Identifier: MIT */
/* memory: what the machine's memory costs, whoever's threads use it.
 *
 *     --what latency     a load whose address is what the load before it found, in a random order
 *                        over --kib of memory: load_ns with huge pages where the kernel gives
 *                        them, load_4k_ns with small ones, where missing address translations come
 *                        on top
 *     --what steps       the same over sizes from 8 KiB on: the last size before the time
 *                        jumps, where a cache ends (step_N_bytes); what a load costs up to there
 *                        (step_N_ns), and with the most memory (memory_ns)
 *     --what bandwidth   --threads on CPUs of their own read, write and copy memory larger than
 *                        the caches (--mib of all; 0: four times the last cache)
 *     --what barrier     orderings and atomic instructions on a line that nobody else wants
 *     --what line        a line that two CPUs hand to each other, and one that both add to
 *     --what fault       the first touch of a page, small and huge, and giving it back
 *
 * The other half is memory_move.c. */
#include "memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory by the page ---- */

static size_t memory_round(size_t bytes) {
    return (bytes + MEMORY_HUGE - 1) / MEMORY_HUGE * MEMORY_HUGE;
}

void *memory_map(size_t bytes, bool huge) {
    bytes = memory_round(bytes);
    size_t room = bytes + MEMORY_HUGE;
    char *p = (char *)mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == (char *)MAP_FAILED) {
        bench_error("no address space for %zu bytes", bytes);
        fflush(stdout);
        exit(BENCH_CANNOT);
    }
    char *start = p + (MEMORY_HUGE - (uintptr_t)p % MEMORY_HUGE) % MEMORY_HUGE;
    if (start > p) {
        munmap(p, (size_t)(start - p));
    }
    if (start + bytes < p + room) {
        munmap(start + bytes, (size_t)(p + room - start) - bytes);
    }
    madvise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return start;
}

void memory_unmap(void *p, size_t bytes) {
    munmap(p, memory_round(bytes));
}

double memory_huge_bytes(void) {
    char line[256];
    double kib, sum = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "AnonHugePages: %lf kB", &kib) == 1) {
            sum += kib * 1024;
        }
    }
    if (f) {
        fclose(f);
    }
    return sum;
}

size_t memory_last_cache(void) {
    size_t most = 0;
    for (int i = 0; i < 8; i++) {
        char path[96], unit = 0;
        size_t size = 0;
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/cache/index%d/size",
                 bench_cpu(0), i);
        FILE *f = fopen(path, "re");
        if (!f) {
            break;
        }
        if (fscanf(f, "%zu%c", &size, &unit) >= 1) {
            size *= unit == 'M' ? 1u << 20 : unit == 'K' ? 1u << 10 : 1;
            most = size > most ? size : most;
        }
        fclose(f);
    }
    return most ? most : 32u << 20;
}

/* ---- latency ---- */

struct cell {
    struct cell *next;
    char rest[BENCH_LINE - sizeof(void *)];
};

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Links all cells into one ring, in a random order: no prefetcher knows the next. */
static void link_cells(struct cell *cells, uint32_t n) {
    uint32_t *order = (uint32_t *)bench_array(n, sizeof(*order));
    uint64_t random = 88172645463325252u;
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(next_random(&random) % (i + 1)), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    for (uint32_t i = 0; i < n; i++) {
        cells[order[i]].next = &cells[order[i + 1 < n ? i + 1 : 0]];
    }
    free(order);
}

static struct cell *follow(struct cell *c, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        c = c->next;
    }
    __asm__ volatile("" : "+r"(c));
    return c;
}

/* Nanoseconds a load; the ring goes on where it was left. */
static double time_loads(struct cell **at, uint64_t loads) {
    uint64_t begin_ns = bench_now_ns();
    *at = follow(*at, loads);
    return (double)(bench_now_ns() - begin_ns) / (double)loads;
}

static struct cell *make_ring(struct cell *cells, size_t bytes) {
    uint32_t n = (uint32_t)(bytes / sizeof(struct cell));
    link_cells(cells, n);
    return follow(cells, n < 100000 ? 2 * n : 200000);
}

static int latency(void) {
    static const char *const metrics[] = {"load_4k_ns", "load_ns"};
    size_t bytes = (size_t)bench_value("kib") * 1024;
    uint64_t loads = bench_value("iterations");
    for (unsigned huge = 0; huge < 2; huge++) {
        struct cell *cells = (struct cell *)memory_map(bytes, huge != 0);
        struct cell *at = make_ring(cells, bytes);
        if (huge && memory_huge_bytes() < (double)bytes / 2) {
            bench_note("pages", "the kernel gave no huge pages: load_ns is with small ones too");
        }
        for (uint64_t i = 0; i < bench_value("samples"); i++) {
            bench_sample(metrics[huge], "ns", time_loads(&at, loads));
        }
        memory_unmap(cells, bytes);
    }
    return BENCH_OK;
}

/* ---- steps ---- */

enum { SIZES = 40, PASSES = 5, STEPS_MAX = 5 };

/* A load over that much memory: the least of several, since what disturbs only adds. */
static double least_load_ns(struct cell *cells, size_t bytes, uint64_t loads) {
    struct cell *at = make_ring(cells, bytes);
    double least = 0;
    for (unsigned i = 0; i < PASSES; i++) {
        double ns = time_loads(&at, loads);
        least = i == 0 || ns < least ? ns : least;
    }
    return least;
}

/* Plateaus, and the rises between them: a rise begins where a load costs a third more than in the
 * plateau so far, and ends where twice the memory costs at most a quarter more. */
static void find_steps(const size_t *bytes, const double *ns, unsigned count) {
    unsigned step = 0;
    double level = ns[0];
    for (unsigned i = 1; i < count && step < STEPS_MAX; i++) {
        if (ns[i] <= level * 1.33) {
            continue;
        }
        char metric[32];
        snprintf(metric, sizeof(metric), "step_%u_bytes", ++step);
        bench_sample(metric, "bytes", (double)bytes[i - 1]);
        snprintf(metric, sizeof(metric), "step_%u_ns", step);
        bench_sample(metric, "ns", level);
        while (i + 2 < count && ns[i + 2] > ns[i] * 1.25) {
            i++;
        }
        level = ns[i];
    }
    bench_sample("memory_ns", "ns", ns[count - 1]);
}

static int steps(void) {
    size_t bytes[SIZES], most = 2 * memory_last_cache();
    double ns[SIZES];
    unsigned count = 0;
    struct cell *cells = (struct cell *)memory_map(most, true);
    for (size_t size = 8192; size <= most && count + 2 <= SIZES; size *= 2) {
        bytes[count++] = size;
        if (size / 2 * 3 <= most) {
            bytes[count++] = size / 2 * 3;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        ns[i] = least_load_ns(cells, bytes[i], bench_value("iterations") / 10 + 1);
    }
    find_steps(bytes, ns, count);
    memory_unmap(cells, most);
    return BENCH_OK;
}

/* ---- the table ---- */

static int memory_run(void) {
    static int (*const what[])(void) = {latency,       steps,       memory_bandwidth,
                                        memory_barrier, memory_line, memory_fault};
    struct subject_setup setup = {0, 0, true};
    int status = subject_pthread_prepare(&setup);
    return status == BENCH_OK ? what[bench_value("what")]() : status;
}

const struct bench_experiment bench_memory = {
    "memory",
    true,
    memory_run,
    {{"what", 0, 0, 5, "latency steps bandwidth barrier line fault"},
     {"kib", 16, 4, 16u << 20, NULL},
     {"mib", 0, 0, 1u << 20, NULL},
     {"threads", 1, 1, MEMORY_THREADS, NULL},
     {"iterations", 200000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
