/* SPDX-License-Identifier: MIT */
/* Memory that goes back to the kernel: hd_trim(), the limit for idle stacks, what guards have to
 * say to it, and the counters of stacks. */
#include "preempt_test.h"

#include "ctx/stack.h"
#include "os/topology.h"

#include <stdio.h>

static size_t resident(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    CHECK(statm != NULL);
    CHECK_EQ(fscanf(statm, "%*u %zu", &pages), 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The tools have memory of their own, or tell nothing true about ours. */
static bool memory_is_ours(void) {
    return !TEST_ASAN && !TEST_TSAN && !test_under_qemu() && !test_under_valgrind();
}

static unsigned many(void) {
    return memory_is_ours() ? 100000 : TEST_TSAN ? 600 : 3000; /* which takes 1 MiB for each */
}

/* ---- a burst of threads that all live at once ---- */

struct burst {
    hd_event gate;
    hd_sem here;
    unsigned count;
    hd_thread **threads;
    uint64_t deadline_ns; /* 0: none */
};

static void *wait_at_the_gate(void *arg) {
    struct burst *b = arg;
    hd_sem_post(&b->here);
    if (b->deadline_ns)
        CHECK_OK(hd_event_wait_until(&b->gate, b->deadline_ns));
    else
        CHECK_OK(hd_event_wait(&b->gate));
    return NULL;
}

static void burst_begin(struct burst *b, unsigned count, uint64_t deadline_ns) {
    *b = (struct burst){HD_EVENT_INIT, HD_SEM_INIT(0), count, calloc(count, sizeof(hd_thread *)),
                        deadline_ns};
    CHECK(b->threads != NULL);
    for (unsigned i = 0; i < count; i++)
        CHECK_OK(hd_spawn(&b->threads[i], NULL, wait_at_the_gate, b));
    for (unsigned i = 0; i < count; i++)
        CHECK_OK(hd_sem_wait(&b->here));
}

static void burst_end(struct burst *b) {
    hd_event_set(&b->gate);
    for (unsigned i = 0; i < b->count; i++)
        CHECK_OK(hd_join(b->threads[i], NULL));
    free(b->threads);
}

static void burst(unsigned count, uint64_t deadline_ns) {
    struct burst b;
    burst_begin(&b, count, deadline_ns);
    burst_end(&b);
}

/* The counters of one moment at which nothing happens. */
static struct hd_metrics check_stacks(void) {
    struct hd_metrics m = metrics();
    CHECK_GE(m.stacks_mapped, m.stacks_used + m.stacks_cached + m.stacks_idle + m.stacks_clean);
    CHECK_GE(m.stack_bytes_mapped, m.stacks_mapped * 16384);
    CHECK_GE(m.stack_bytes_idle, m.stacks_idle * 16384);
    return m;
}

/* The other worker may still be giving back a batch of what the last threads had. */
static size_t trim_all(void) {
    size_t released = hd_trim();
    while (metrics().stacks_idle != 0) {
        CHECK_OK(hd_sleep_for(MS));
        released += hd_trim();
    }
    return released;
}

static int back_to_the_start(void *arg) {
    uint64_t deadline_ns = arg ? hd_now_ns() + 3600 * 1000 * MS : 0;
    burst(100, deadline_ns); /* what is needed once */
    hd_trim();
    size_t before = resident();
    for (int round = 0; round < 2; round++) {
        burst(many(), deadline_ns);
        struct hd_metrics m = check_stacks();
        CHECK_GT(m.stacks_idle, many() / 2);
        size_t after = resident(), released = trim_all(), trimmed = resident();
        struct hd_metrics n = check_stacks();
        CHECK_EQ(n.stacks_idle, 0);
        CHECK_GE(n.stacks_clean, m.stacks_idle + m.stacks_clean);
        CHECK_EQ(n.stack_bytes_idle, 0);
        if (!memory_is_ours())
            continue;
        CHECK_GE(n.stack_bytes_trimmed, m.stack_bytes_trimmed + many() * 4000ull);
        test_note("%zu KiB before, %zu after, %zu released, %zu then", before / 1024, after / 1024,
                  released / 1024, trimmed / 1024);
        CHECK_GT(after - before, many() * 4096ull);
        CHECK_GT(released, (after - before) / 10 * 8);
        /* What stays: the stacks and descriptors that workers keep, and a record a stack. */
        CHECK_LT(trimmed - before, 20 << 20);
        CHECK_LE(hd_trim(), 4 << 20); /* there is nothing left */
    }
    return 0;
}

TEST_WITHIN(a_burst_leaves_nothing_behind, 120) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), back_to_the_start, NULL));
}

TEST_WITHIN(timers_leave_nothing_behind, 120) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), back_to_the_start, "with deadlines"));
}

/* ---- everything works on ---- */

static uint64_t last_id;

static void *note_id(void *arg) {
    uint64_t id = hd_thread_id(hd_self());
    CHECK_NE(id, last_id);
    last_id = id;
    return arg;
}

RUNTIME_TEST(threads_after_a_trim, 1) {
    unsigned count = many() < 5000 ? many() : 5000;
    for (int round = 0; round < 5; round++) {
        burst(count, 0);
        hd_trim();
        for (unsigned i = 0; i < count; i++)
            CHECK_EQ(join(spawn(note_id, &i)), &i);
        /* Wake-ups rely on the count of a descriptor's waits. */
        struct burst b;
        burst_begin(&b, count, 0);
        hd_trim();
        burst_end(&b);
    }
    return 0;
}

RUNTIME_TEST(threads_that_wait_keep_their_stacks, 2) {
    struct burst b;
    burst_begin(&b, 500, 0);
    uint64_t used = metrics().stacks_used;
    CHECK_GE(used, 501);
    hd_trim();
    CHECK_EQ(metrics().stacks_used, used);
    burst_end(&b);
    return 0;
}

static _Atomic bool stop;

static void *trim_on(void *arg) {
    while (!atomic_load(&stop)) {
        hd_trim();
        if (!arg)
            hd_yield();
    }
    return NULL;
}

static void *burst_on(void *arg) {
    for (unsigned long i = 0; i < test_iterations(20); i++)
        burst(100 + (unsigned)i % 300, (uintptr_t)arg % 2 ? hd_now_ns() + 3600 * 1000 * MS : 0);
    return NULL;
}

static int trim_beside(void *arg) {
    hd_thread *t[4], *trimmer[2];
    (void)arg;
    atomic_store(&stop, false);
    pthread_t outside = foreign(trim_on, &stop);
    for (int i = 0; i < 2; i++)
        trimmer[i] = spawn(trim_on, NULL);
    for (uintptr_t i = 0; i < 4; i++)
        t[i] = spawn(burst_on, (void *)i);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        join(trimmer[i]);
    foreign_join(outside);
    check_stacks();
    return 0;
}

TEST_WITHIN(trimming_beside_everything, 120) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), trim_beside, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 1), trim_beside, NULL));
}

TEST(without_a_runtime) {
    CHECK_EQ(hd_trim(), 0);
}

/* ---- the limit ---- */

static int stay_below(void *arg) {
    uint64_t max = *(uint64_t *)arg;
    burst(100, 0);
    size_t before = resident();
    burst(many(), 0);
    struct hd_metrics m = check_stacks();
    CHECK_LE(m.stack_bytes_idle, max);
    CHECK_GT(m.stacks_clean, many() / 4);
    if (memory_is_ours()) {
        CHECK_GT(m.stack_bytes_trimmed, many() * 1024ull);
        CHECK_LT(resident() - before, max / 65536 * 8192 + (60 << 20));
    }
    burst(many() / 10, 0);
    return 0;
}

TEST_WITHIN(idle_stacks_stay_below_the_limit, 120) {
    uint64_t limits[] = {1, 1 << 20, many() / 4 * 65536ull};
    for (int i = 0; i < 3; i++)
        CHECK_OK(hd_run(HD_CONFIG(.workers = 2, .stack_idle_max = limits[i]), stay_below,
                        &limits[i]));
}

/* ---- memory nodes, of a machine that is told ---- */

static void *on_which_node(void *arg) {
    struct hd__stack_hit hit;
    CHECK(hd__stack_find(__builtin_frame_address(0), &hit));
    CHECK(hit.stack != NULL);
    atomic_fetch_or((_Atomic unsigned *)arg, 1u << hit.stack->node);
    return NULL;
}

/* The topology is read a while after the start. */
static int use_both_nodes(void *arg) {
    _Atomic unsigned seen = 0;
    for (int i = 0; i < 10000 && atomic_load(&seen) != 3; i++) {
        hd_thread *t[8];
        for (int n = 0; n < 8; n++)
            CHECK_OK(hd_spawn(&t[n], HD_ATTR(.numa_node = n % 2 + 1, .stack_size = 256 * 1024),
                              on_which_node, &seen));
        for (int n = 0; n < 8; n++)
            join(t[n]);
        burst(300, 0); /* others than those that lie in the workers' caches */
        hd_sleep_for(MS);
        if (i % 10 == 0)
            hd_trim();
    }
    CHECK_EQ(hd__stack_nodes(), 2);
    CHECK_EQ(atomic_load(&seen), 3);
    check_stacks();
    *(unsigned *)arg = hd__stack_nodes();
    return 0;
}

TEST_WITHIN(each_node_has_stacks_of_its_own, 60) {
    unsigned nodes = 0;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        SKIP("there are not two CPUs");
    static const char machine[] = "node:2 core:1 pu:1";
    struct hd__topo *t = hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, machine);
    if (!t)
        SKIP("there is no hwloc");
    hd__topo_free(t);
    setenv("HEDDLE_TOPOLOGY", machine, 1);
    struct hd_config cfg = {.size = sizeof cfg, .workers = 4};
    CHECK_OK(hd_run(&cfg, use_both_nodes, &nodes));
    CHECK_EQ(nodes, 2);
    CHECK_EQ(hd__stack_nodes(), 1);
}

/* ---- guards survive ---- */

__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) static unsigned
recurse(unsigned depth) {
    volatile unsigned char frame[200];
    frame[depth % 200] = (unsigned char)depth;
    if (depth == UINT32_MAX)
        return 0;
    return recurse(depth + 1) + frame[depth % 200];
}

static void *overflow(void *arg) {
    return (char *)arg + recurse(0);
}

/* Stacks that were used and trimmed: all are taken at once, and the last one overflows. */
static int overflow_after_trim(void *arg) {
    struct burst b;
    hd_thread *t;
    burst(300, 0);
    hd_trim();
    burst_begin(&b, 250, 0);
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = "deep"), overflow, arg));
    return hd_join(t, NULL);
}

static void run_overflow(void *guard) {
    hd__stack_guard_force(*(enum hd__stack_guard *)guard);
    hd_run(HD_CONFIG(.workers = 1), overflow_after_trim, guard);
}

TEST(guards_survive_a_trim) {
    if (test_under_valgrind() || test_under_qemu())
        SKIP("the tool has its own word on faults");
    enum hd__stack_guard kinds[] = {HD__GUARD_MADVISE, HD__GUARD_MPROTECT};
    for (int i = 0; i < 2; i++)
        check_fatal("'deep' ran over the end of its stack", run_overflow, &kinds[i]);
}
