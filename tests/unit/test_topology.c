/* SPDX-License-Identifier: MIT */
/* The readers of the topology, on machines that are folders, on hwloc's synthetic ones and on this
 * one; and the order of victims made from them. */
#include "topology_test.h"

#include "os/cpu.h"
#include "os/textfile.h"
#include "os/topology.h"
#include "sched/order.h"

/* One, two and eight nodes; with and without SMT, with several L3 caches in a node, and with
 * several nodes in a package. */
static const struct machine machines[] = {
    {1, 1, 1, 2, 1}, {1, 1, 2, 2, 2}, {2, 2, 1, 4, 2}, {2, 8, 2, 2, 1}, {8, 8, 1, 2, 2},
};

#define EACH_MACHINE(m) \
    const struct machine *m = machines; m < machines + HD__COUNTOF(machines); m++

static struct hd__topo *read_folder(const struct machine *m) {
    char *root = folder_make();
    put_machine(root, m);
    struct hd__topo *t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    folder_remove(root);
    return t;
}

/* ---- Lists ---- */

static unsigned listed(const char *text) {
    hd_cpuset set;
    CHECK_OK(hd__os_text_list(text, &set));
    return hd__os_cpus_count(&set);
}

TEST(lists_of_cpus) {
    hd_cpuset set;
    CHECK_OK(hd__os_text_list("0-1,5,64-66", &set));
    CHECK_EQ(set.bits[0], 0x23);
    CHECK_EQ(set.bits[1], 7);
    CHECK_EQ(listed(""), 0);
    CHECK_EQ(listed("7"), 1);
    CHECK_EQ(listed("0-1023"), HD_CPU_MAX);
    CHECK_EQ(listed("0-99999999999,4"), HD_CPU_MAX);
    CHECK_EQ(listed("1024,2000-3000"), 0);
    static const char *const bad[] = {"-", "1-", "a", "1,,2", "3-2", "1;2", " 1", "-1",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < HD__COUNTOF(bad); i++)
        CHECK_ERR(hd__os_text_list(bad[i], &set), -EINVAL);
}

TEST(files_of_text) {
    char *root = folder_make(), *name, buf[8];
    CHECK(asprintf(&name, "%s/file", root) > 0);
    CHECK_ERR(hd__os_text_read(name, buf, sizeof buf), -ENOENT);
    put_file(root, "123456", "file"); /* and a newline */
    CHECK_EQ(hd__os_text_read(name, buf, sizeof buf), 6);
    CHECK_STR_EQ(buf, "123456");
    put_file(root, "1234567", "file");
    CHECK_ERR(hd__os_text_read(name, buf, sizeof buf), -EOVERFLOW);
    put_file(root, "", "file");
    CHECK_EQ(hd__os_text_read(name, buf, sizeof buf), 0);
    uint64_t value = 7;
    CHECK_ERR(hd__os_text_number(buf, &value), -EINVAL);
    CHECK_OK(hd__os_text_number("18446744073709551615 and more", &value));
    CHECK_EQ(value, UINT64_MAX);
    CHECK_ERR(hd__os_text_number("18446744073709551616", &value), -EINVAL);
    free(name);
    folder_remove(root);
}

/* ---- Machines that are folders ---- */

static void check_blocks(const struct hd__topo *t, enum hd__topo_level level, unsigned cpus,
                         unsigned each) {
    CHECK_EQ(t->groups[level], cpus / each);
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        CHECK_EQ(t->cpu[cpu].group[level], cpu / each);
    for (unsigned i = 0; i < cpus / each; i++) {
        hd_cpuset set;
        hd__topo_group(t, level, i, &set);
        CHECK_EQ(hd__os_cpus_count(&set), each);
        CHECK_EQ(hd__os_cpus_first(&set), i * each);
    }
}

static void check_machine(const struct hd__topo *t, const struct machine *m) {
    unsigned n = machine_cpus(m), core = m->threads, l3 = core * m->cores;
    CHECK_EQ(t->cpu_count, n);
    CHECK_EQ(hd__os_cpus_count(&t->cpus), n);
    check_blocks(t, HD__TOPO_CORE, n, core);
    check_blocks(t, HD__TOPO_L1, n, core);
    check_blocks(t, HD__TOPO_L2, n, core);
    check_blocks(t, HD__TOPO_L3, n, l3);
    check_blocks(t, HD__TOPO_PACKAGE, n, n / m->packages);
    check_blocks(t, HD__TOPO_NODE, n, n / m->nodes);
    CHECK_EQ(t->kinds, 1);
    CHECK_EQ(t->line_bytes, 64);
    CHECK_EQ(t->cpu[n - 1].cache_kib[0], 48);
    CHECK_EQ(t->cpu[n - 1].cache_kib[1], 2048);
    CHECK_EQ(t->cpu[n - 1].cache_kib[2], 32768);
    for (unsigned a = 0; a < m->nodes; a++) {
        CHECK_EQ(t->node_number[a], a);
        for (unsigned b = 0; b < m->nodes; b++)
            CHECK_EQ(hd__topo_distance(t, a, b), ring_distance(m->nodes, a, b));
    }
}

TEST(the_kernels_files) {
    for (EACH_MACHINE(m)) {
        struct hd__topo *t = read_folder(m);
        CHECK_STR_EQ(t->source, "sysfs");
        check_machine(t, m);
        hd__topo_free(t);
    }
}

/* hwloc reads the same folders. */
TEST(hwloc_agrees_on_the_kernels_files) {
    for (EACH_MACHINE(m)) {
        char *root = folder_make();
        put_machine(root, m);
        setenv("HWLOC_FSROOT", root, 1);
        setenv("HWLOC_COMPONENTS", "linux,stop", 1);
        struct hd__topo *t = hd__topo_read_hwloc(HD__TOPO_HWLOC_MACHINE, NULL);
        folder_remove(root);
        if (!t)
            SKIP("there is no hwloc");
        CHECK_STR_EQ(t->source, "hwloc");
        check_machine(t, m);
        hd__topo_free(t);
    }
}

/* CPUs that are offline, nodes with gaps between their numbers, one with memory alone. */
TEST(a_machine_with_gaps) {
    const struct machine m = {2, 2, 1, 2, 2};
    char *root = folder_make();
    hd_cpuset set;
    put_machine(root, &m);
    put_file(root, "0,2,5-7", "sys/devices/system/cpu/online");
    put_file(root, "0,8,12", "sys/devices/system/node/online");
    put_file(root, "5-7", "sys/devices/system/node/node8/cpulist");
    put_file(root, "20 10 30", "sys/devices/system/node/node8/distance");
    put_file(root, "10 20 17", "sys/devices/system/node/node0/distance");
    put_file(root, "", "sys/devices/system/node/node12/cpulist");
    struct hd__topo *t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->cpu_count, 5);
    CHECK_EQ(t->groups[HD__TOPO_NODE], 3);
    CHECK_EQ(t->groups[HD__TOPO_CORE], 4);
    CHECK_EQ(t->cpu[5].group[HD__TOPO_CORE], 2);
    CHECK_EQ(t->cpu[6].group[HD__TOPO_CORE], t->cpu[7].group[HD__TOPO_CORE]);
    CHECK_EQ(t->cpu[1].group[HD__TOPO_CORE], HD__TOPO_NONE);
    CHECK_EQ(t->cpu[2].group[HD__TOPO_NODE], 0);
    CHECK_EQ(t->cpu[7].group[HD__TOPO_NODE], 1);
    CHECK_EQ(t->node_number[1], 8);
    CHECK_EQ(t->node_number[2], 12);
    CHECK_EQ(hd__topo_distance(t, 0, 2), 17);
    CHECK_EQ(hd__topo_distance(t, 1, 0), 20);
    CHECK_EQ(hd__topo_distance(t, 2, 2), 10);
    CHECK_EQ(hd__topo_distance(t, 2, 0), 20); /* it does not say */
    hd__topo_group(t, HD__TOPO_NODE, 2, &set);
    CHECK_EQ(hd__os_cpus_count(&set), 0);
    hd__topo_group(t, HD__TOPO_NODE, 3, &set);
    CHECK_EQ(hd__os_cpus_count(&set), 0);
    hd__topo_free(t);
    folder_remove(root);
}

/* What a container may show: hardly anything, or nonsense. */
TEST(files_that_are_missing_or_odd) {
    const struct machine m = {1, 1, 1, 2, 2};
    char *root = folder_make();
    CHECK(hd__topo_read_sysfs(root, NULL) == NULL);
    put_file(root, "0-3", "sys/devices/system/cpu/online");
    struct hd__topo *t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->cpu_count, 4);
    CHECK_EQ(t->groups[HD__TOPO_CORE], 4);
    CHECK_EQ(t->groups[HD__TOPO_NODE], 1);
    CHECK_EQ(t->groups[HD__TOPO_L3], 0);
    CHECK_EQ(t->cpu[3].group[HD__TOPO_L3], HD__TOPO_NONE);
    CHECK_EQ(t->line_bytes, HD__CACHE_LINE);
    hd__topo_free(t);
    put_machine(root, &m);
    put_file(root, "many", "sys/devices/system/cpu/cpu2/cache/index3/shared_cpu_list");
    put_file(root, "zero", "sys/devices/system/cpu/cpu0/cache/index0/level");
    put_file(root, "9-0", "sys/devices/system/node/node0/cpulist");
    put_file(root, "x", "sys/devices/system/cpu/cpu0/topology/core_cpus_list");
    t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->cpu_count, 4);
    CHECK_EQ(t->groups[HD__TOPO_NODE], 1);
    hd__topo_free(t);
    put_file(root, "none", "sys/devices/system/cpu/online");
    CHECK(hd__topo_read_sysfs(root, NULL) == NULL);
    const _Atomic bool stop = true;
    put_file(root, "0-3", "sys/devices/system/cpu/online");
    CHECK(hd__topo_read_sysfs(root, &stop) == NULL);
    folder_remove(root);
}

TEST(kinds_of_cores) {
    const struct machine m = {1, 1, 1, 4, 1};
    char *root = folder_make();
    put_machine(root, &m);
    static const char *const capacity[] = {"1024", "446", "446", "600"};
    for (unsigned cpu = 0; cpu < 4; cpu++)
        put_file(root, capacity[cpu], "sys/devices/system/cpu/cpu%u/cpu_capacity", cpu);
    struct hd__topo *t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->kinds, 3);
    CHECK_EQ(t->cpu[0].kind, 2);
    CHECK_EQ(t->cpu[1].kind, 0);
    CHECK_EQ(t->cpu[2].kind, 0);
    CHECK_EQ(t->cpu[3].kind, 1);
    hd__topo_free(t);
    put_file(root, "2-3", "sys/devices/cpu_core/cpus");
    put_file(root, "0-1", "sys/devices/cpu_atom/cpus");
    t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->kinds, 2);
    CHECK_EQ(t->cpu[1].kind, 0);
    CHECK_EQ(t->cpu[2].kind, 1);
    hd__topo_free(t);
    put_file(root, "0-3", "sys/devices/cpu_core/cpus");
    t = hd__topo_read_sysfs(root, NULL);
    CHECK(t != NULL);
    CHECK_EQ(t->kinds, 1);
    CHECK_EQ(t->cpu[3].kind, 0);
    hd__topo_free(t);
    folder_remove(root);
}

/* ---- hwloc's synthetic machines ---- */

static struct hd__topo *synthetic(const char *text) {
    return hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, text);
}

TEST(synthetic_machines) {
    static const struct {
        const char *text;
        unsigned nodes, l3s, cores, cpus;
    } known[] = {
        {"node:1 l3:1 core:2 pu:1", 1, 1, 2, 2},
        {"node:2 l3:1 core:4 pu:2", 2, 2, 8, 16},
        {"node:8 l3:2 l2:4 core:1 pu:2", 8, 16, 64, 128},
        {"node:8 l3:4 l2:8 core:1 pu:4", 8, 32, 256, 1024},
        {"core:3 pu:1", 1, 0, 3, 3},
    };
    for (size_t i = 0; i < HD__COUNTOF(known); i++) {
        struct hd__topo *t = synthetic(known[i].text);
        if (!t && i == 0)
            SKIP("there is no hwloc");
        CHECK(t != NULL);
        CHECK_STR_EQ(t->source, "hwloc synthetic");
        CHECK(!t->real);
        CHECK_EQ(t->cpu_count, known[i].cpus);
        CHECK_EQ(t->groups[HD__TOPO_NODE], known[i].nodes);
        CHECK_EQ(t->groups[HD__TOPO_L3], known[i].l3s);
        CHECK_EQ(t->groups[HD__TOPO_CORE], known[i].cores);
        CHECK_EQ(hd__topo_distance(t, 0, 0), 10);
        CHECK_EQ(t->cpu[known[i].cpus - 1].group[HD__TOPO_NODE], known[i].nodes - 1);
        hd__topo_free(t);
    }
    /* More than a set of CPUs holds are cut off. */
    struct hd__topo *t = synthetic("node:4 core:512 pu:1");
    CHECK(t != NULL);
    CHECK_EQ(t->cpu_count, HD_CPU_MAX);
    CHECK_EQ(t->groups[HD__TOPO_NODE], 4);
    hd__topo_free(t);
    CHECK(synthetic("no such thing:3") == NULL);
    CHECK(synthetic("node:") == NULL);
}

/* ---- This machine ---- */

/* Both readers of this machine say the same, where both can say something. */
TEST(this_machine) {
    struct hd__topo *s = hd__topo_read_sysfs("", NULL);
    struct hd__topo *h = hd__topo_read_hwloc(HD__TOPO_HWLOC_MACHINE, NULL);
    if (!s)
        SKIP("the kernel's files are not there");
    hd_cpuset allowed;
    CHECK(s->real);
    CHECK(hd__os_cpus_allowed(&allowed) > 0);
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++)
        CHECK(!hd_cpuset_has(&allowed, cpu) || hd_cpuset_has(&s->cpus, cpu));
    if (!h)
        SKIP("there is no hwloc");
    CHECK(h->real);
    CHECK_MEM_EQ(&s->cpus, &h->cpus, sizeof s->cpus);
    CHECK_EQ(s->groups[HD__TOPO_NODE], h->groups[HD__TOPO_NODE]);
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        if (!hd_cpuset_has(&s->cpus, cpu))
            continue;
        for (unsigned level = 0; level < HD__TOPO_LEVELS; level++)
            CHECK_EQ(s->cpu[cpu].group[level], h->cpu[cpu].group[level]);
        for (unsigned level = 0; level < 3; level++)
            CHECK_EQ(s->cpu[cpu].cache_kib[level], h->cpu[cpu].cache_kib[level]);
    }
    CHECK_EQ(s->line_bytes, h->line_bytes);
    for (unsigned a = 0; a < s->groups[HD__TOPO_NODE]; a++)
        for (unsigned b = 0; b < s->groups[HD__TOPO_NODE]; b++)
            CHECK_EQ(hd__topo_distance(s, a, b), hd__topo_distance(h, a, b));
    hd__topo_free(s);
    hd__topo_free(h);
}

/* ---- The order of victims ---- */

enum { WORKERS_MAX = 256 };

/* Where v comes in the order of w: the number of its group; each victim comes once. */
static void groups_of(struct hd__order *o, unsigned w, unsigned *group) {
    unsigned seen = 0, v;
    for (unsigned i = 0; i < o->workers; i++)
        group[i] = UINT32_MAX;
    for (unsigned g = 0; g < hd__order_groups(o, w); g++) {
        unsigned start = (unsigned)test_rng_below(&(struct test_rng){w + g}, 1u << 31);
        for (unsigned i = 0; (v = hd__order_victim(o, w, g, i, start)) != HD__TOPO_NONE; i++) {
            CHECK_LT(v, o->workers);
            CHECK_NE(v, w);
            CHECK_EQ(group[v], UINT32_MAX);
            group[v] = g;
            seen++;
        }
    }
    CHECK_EQ(seen, o->workers - 1);
}

/* How far apart two workers are, said in another way than the code under test does. */
static unsigned far_apart(const struct machine *m, unsigned a, unsigned b) {
    unsigned core = m->threads, l3 = core * m->cores, node = l3 * m->l3s;
    if (a / node != b / node)
        return ring_distance(m->nodes, a / node, b / node);
    return a / core == b / core ? 0 : a / l3 == b / l3 ? 1 : 2;
}

static void check_order(const struct machine *m, struct hd__order *o) {
    unsigned group[WORKERS_MAX];
    for (unsigned w = 0; w < o->workers; w++) {
        groups_of(o, w, group);
        for (unsigned a = 0; a < o->workers; a++) {
            for (unsigned b = 0; b < o->workers; b++) {
                if (a == w || b == w)
                    continue;
                unsigned x = far_apart(m, w, a), y = far_apart(m, w, b);
                CHECK_EQ(x < y, group[a] < group[b]);
                CHECK_EQ(x == y, group[a] == group[b]);
            }
        }
    }
}

TEST(victims_by_distance) {
    unsigned cpu[WORKERS_MAX];
    for (EACH_MACHINE(m)) {
        struct hd__topo *t = read_folder(m);
        unsigned n = machine_cpus(m);
        struct hd__order *o = hd__order_new(n);
        CHECK(o != NULL && n <= WORKERS_MAX);
        for (unsigned i = 0; i < n; i++)
            cpu[i] = i;
        CHECK_EQ(hd__order_groups(o, 0), 0);
        hd__order_build(o, t, cpu);
        check_order(m, o);
        /* Anew, in place. */
        hd__order_build(o, t, cpu);
        check_order(m, o);
        hd__order_free(o);
        hd__topo_free(t);
    }
}

/* More workers than CPUs: those of the same CPU come first. CPUs that nobody knows come last. */
TEST(victims_on_the_same_cpu) {
    const struct machine m = {1, 2, 1, 2, 1};
    struct hd__topo *t = read_folder(&m);
    static const unsigned cpu[] = {0, 1, 2, 3, 0, 1, 900, HD_CPU_MAX};
    unsigned group[HD__COUNTOF(cpu)];
    struct hd__order *o = hd__order_new(HD__COUNTOF(cpu));
    CHECK(o != NULL);
    hd__order_build(o, t, cpu);
    groups_of(o, 0, group);
    CHECK_EQ(group[4], 0);
    CHECK_EQ(group[1], 1);
    CHECK_EQ(group[5], 1);
    CHECK_EQ(group[2], 2);
    CHECK_EQ(group[3], 2);
    CHECK_EQ(group[6], 3);
    CHECK_EQ(group[7], 3);
    groups_of(o, 6, group);
    CHECK_EQ(group[0], group[3]);
    hd__order_free(o);
    hd__topo_free(t);
}

/* More distances than groups: the rest is in the last one. */
TEST(victims_at_many_distances) {
    const struct machine m = {32, 32, 1, 1, 1};
    struct hd__topo *t = read_folder(&m);
    unsigned cpu[32], group[32];
    struct hd__order *o = hd__order_new(32);
    CHECK(o != NULL);
    for (unsigned i = 0; i < 32; i++)
        cpu[i] = i;
    hd__order_build(o, t, cpu);
    groups_of(o, 0, group);
    CHECK_EQ(hd__order_groups(o, 0), HD__ORDER_GROUPS);
    CHECK_EQ(group[1], group[31]);
    CHECK_LT(group[1], group[2]);
    CHECK_EQ(group[15], HD__ORDER_GROUPS - 1);
    CHECK_EQ(group[16], HD__ORDER_GROUPS - 1);
    hd__order_free(o);
    hd__topo_free(t);
}

TEST(victims_of_one_worker_and_of_two) {
    const struct machine m = {1, 1, 1, 2, 1};
    struct hd__topo *t = read_folder(&m);
    static const unsigned cpu[] = {0, 1};
    for (unsigned n = 1; n <= 2; n++) {
        unsigned group[2];
        struct hd__order *o = hd__order_new(n);
        CHECK(o != NULL);
        hd__order_build(o, t, cpu);
        groups_of(o, 0, group);
        hd__order_free(o);
    }
    hd__topo_free(t);
}
