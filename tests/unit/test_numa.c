/* SPDX-License-Identifier: MIT */
/* The public topology, and memory on nodes. Each test is a process of its own and can say by
 * HEDDLE_TOPOLOGY what machine it is on. */
#include "runtime_test.h"
#include "topology_test.h"

#include "mem/numa.h"
#include "os/numa.h"
#include "sched/worker.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static size_t page(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned count(const hd_cpuset *set) {
    unsigned n = 0;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++)
        n += hd_cpuset_has(set, cpu);
    return n;
}

/* What holds on any machine. */
static void check_consistent(void) {
    hd_cpuset all, set;
    hd_topology_cpus(&all);
    CHECK_EQ(count(&all), hd_topology_cpu_count());
    CHECK_GE(hd_topology_cpu_count(), 1);
    for (int level = HD_SHARE_CORE; level <= HD_SHARE_NODE; level++) {
        unsigned members = 0, groups = hd_topology_group_count(level);
        for (unsigned g = 0; g < groups; g++) {
            CHECK_OK(hd_topology_group_cpus(level, g, &set));
            members += count(&set);
            for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
                CHECK(!hd_cpuset_has(&set, cpu) || hd_cpuset_has(&all, cpu));
                CHECK_EQ(hd_cpuset_has(&set, cpu), hd_topology_group_of(level, cpu) == (int)g);
            }
        }
        CHECK(groups == 0 || members <= count(&all));
        CHECK_ERR(hd_topology_group_cpus(level, groups, &set), -EINVAL);
        CHECK_EQ(count(&set), 0);
    }
    CHECK_GE(hd_numa_node_count(), 1);
    CHECK_EQ(hd_numa_node_count(), hd_topology_group_count(HD_SHARE_NODE));
    for (unsigned a = 0; a < hd_numa_node_count(); a++) {
        CHECK_EQ(hd_numa_distance(a, a), 10);
        CHECK_GE(hd_numa_node_number(a), 0);
        for (unsigned b = 0; b < hd_numa_node_count(); b++)
            CHECK(a == b || hd_numa_distance(a, b) >= 10);
    }
    CHECK_GE(hd_topology_line_bytes(), 16);
    CHECK_GE(hd_topology_kind_count(), 1);
    CHECK_GE(hd_numa_current_node(), 0);
    CHECK_LT(hd_numa_current_node(), hd_numa_node_count());
}

static void check_memory(void) {
    for (unsigned node = 0; node < hd_numa_node_count(); node++) {
        size_t size = 3 * page() + 1;
        char *p = hd_numa_alloc(size, node);
        CHECK(p != NULL);
        CHECK_EQ((uintptr_t)p % page(), 0);
        for (size_t i = 0; i < size; i++)
            CHECK_EQ(p[i], 0);
        memset(p, 1, size);
        hd_numa_free(p, size);
    }
    CHECK(hd_numa_alloc(1, hd_numa_node_count()) == NULL);
    CHECK(hd_numa_alloc(0, 0) == NULL);
    CHECK(hd_numa_alloc(SIZE_MAX, 0) == NULL);
    CHECK(hd_numa_alloc(SIZE_MAX - page(), 0) == NULL);
    hd_numa_free(NULL, 0);
    hd_numa_free(NULL, 100);
}

/* ---- This machine ---- */

static void check_sets_of_this_machine(void) {
    cpu_set_t allowed;
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        CHECK(!CPU_ISSET(cpu, &allowed) || hd_numa_node_of_cpu(cpu) >= 0);
}

TEST(this_machine) {
    check_consistent();
    const char *source = hd_topology_source();
    CHECK(strcmp(source, "hwloc") == 0 || strcmp(source, "sysfs") == 0 ||
          strcmp(source, "flat") == 0);
    if (!test_under_qemu())
        check_sets_of_this_machine();
    check_memory();
    CHECK(strcmp(hd_numa_bind_kind(), "other machine") != 0);
    if (hd_numa_node_count() == 1)
        CHECK_STR_EQ(hd_numa_bind_kind(), "one node");
}

TEST(by_the_kernels_files_or_by_hwloc) {
    setenv("HEDDLE_TOPOLOGY", "sysfs", 1);
    check_consistent();
    CHECK(strcmp(hd_topology_source(), "hwloc") != 0);
    struct hd__topo *h = hd__topo_read_hwloc(HD__TOPO_HWLOC_MACHINE, NULL);
    if (!h)
        SKIP("there is no hwloc");
    CHECK_EQ(h->groups[HD__TOPO_NODE], hd_numa_node_count());
    CHECK_EQ(h->cpu_count, hd_topology_cpu_count());
    hd__topo_free(h);
}

TEST(where_memory_lies) {
    volatile char *p = hd_numa_alloc(4 * page(), 0);
    CHECK(p != NULL);
    int node = hd_numa_node_of((const char *)p);
    if (node == -ENOSYS || node == -EPERM)
        SKIP("the kernel does not tell where memory lies");
    CHECK_ERR(node, -ENOENT);
    p[0] = 1;
    p[page() + 17] = 1;
    node = hd_numa_node_of((const char *)p + 5);
    CHECK_GE(node, 0);
    CHECK_LT(node, hd_numa_node_count());
    CHECK_EQ(hd_numa_node_of((const char *)p + page()), node);
    CHECK_ERR(hd_numa_node_of((const char *)p + 2 * page()), -ENOENT);
    hd_numa_free((void *)(uintptr_t)p, 4 * page());
    CHECK_ERR(hd_numa_node_of(NULL), -EFAULT);
    int local = 1;
    CHECK_GE(hd_numa_node_of(&local), 0);
}

/* ---- Other machines ---- */

static void on_machine(const struct machine *m) {
    char *root = folder_make();
    put_machine(root, m);
    setenv("HEDDLE_TOPOLOGY", root, 1);
    CHECK_STR_EQ(hd_topology_source(), "sysfs");
    folder_remove(root);
}

static void check_nodes(const struct machine *m) {
    hd_cpuset set;
    unsigned each = machine_cpus(m) / m->nodes;
    check_consistent();
    CHECK_EQ(hd_numa_node_count(), m->nodes);
    CHECK_EQ(hd_topology_cpu_count(), machine_cpus(m));
    for (unsigned node = 0; node < m->nodes; node++) {
        CHECK_OK(hd_numa_node_cpus(node, &set));
        CHECK_EQ(count(&set), each);
        CHECK_EQ(hd_numa_node_number(node), node);
        CHECK_EQ(hd_numa_node_of_cpu(node * each), node);
        CHECK_EQ(hd_numa_distance(0, node), ring_distance(m->nodes, 0, node));
    }
    CHECK_ERR(hd_numa_node_cpus(m->nodes, &set), -EINVAL);
    CHECK_ERR(hd_numa_node_number(m->nodes), -EINVAL);
    CHECK_ERR(hd_numa_distance(0, m->nodes), -EINVAL);
    CHECK_ERR(hd_numa_distance(m->nodes, 0), -EINVAL);
    CHECK_ERR(hd_numa_node_of_cpu(machine_cpus(m)), -ENOENT);
    CHECK_ERR(hd_numa_node_of_cpu(UINT32_MAX), -ENOENT);
    CHECK_EQ(hd_topology_cache_bytes(HD_SHARE_L1, 0), 48 * 1024);
    CHECK_EQ(hd_topology_cache_bytes(HD_SHARE_L3, machine_cpus(m) - 1), 32 * 1024 * 1024);
    CHECK_EQ(hd_topology_cache_bytes(HD_SHARE_L3, machine_cpus(m)), 0);
    CHECK_EQ(hd_topology_cache_bytes(HD_SHARE_NODE, 0), 0);
    CHECK_EQ(hd_topology_cache_bytes(HD_SHARE_CORE, 0), 0);
    CHECK_EQ(hd_topology_kind_of(0), 0);
    CHECK_ERR(hd_topology_kind_of(HD_CPU_MAX), -ENOENT);
    CHECK_ERR(hd_topology_group_of(-1, 0), -EINVAL);
    CHECK_ERR(hd_topology_group_of(HD_SHARE_NODE + 1, 0), -EINVAL);
    CHECK_EQ(hd_topology_group_count(-1), 0);
    CHECK_EQ(hd_topology_group_count(HD_SHARE_NODE + 1), 0);
    CHECK_ERR(hd_topology_group_cpus(-1, 0, &set), -EINVAL);
    check_memory();
    CHECK_STR_EQ(hd_numa_bind_kind(), "other machine");
}

#define ON_MACHINE(name, ...)                       \
    TEST(name) {                                    \
        const struct machine m = {__VA_ARGS__};     \
        on_machine(&m);                             \
        check_nodes(&m);                            \
    }

ON_MACHINE(one_node, 1, 1, 2, 2, 2)
ON_MACHINE(two_nodes, 2, 2, 1, 4, 2)
ON_MACHINE(eight_nodes, 2, 8, 1, 2, 1)

static void check_synthetic(const char *text, unsigned nodes, unsigned cpus) {
    setenv("HEDDLE_TOPOLOGY", text, 1);
    struct hd__topo *t = hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, text);
    if (!t)
        SKIP("there is no hwloc");
    hd__topo_free(t);
    CHECK_STR_EQ(hd_topology_source(), "hwloc synthetic");
    CHECK_EQ(hd_numa_node_count(), nodes);
    CHECK_EQ(hd_topology_cpu_count(), cpus);
    CHECK_EQ(hd__topo_sched(), hd__topo_get());
    check_consistent();
    check_memory();
}

TEST(one_synthetic_node) {
    check_synthetic("node:1 l3:2 core:2 pu:2", 1, 8);
}

TEST(two_synthetic_nodes) {
    check_synthetic("node:2 l3:1 core:4 pu:2", 2, 16);
}

TEST(eight_synthetic_nodes) {
    check_synthetic("node:8 l3:1 core:2 pu:1", 8, 16);
}

TEST(a_machine_in_xml) {
    static const char xml[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology version=\"2.0\">\n"
        "<object type=\"Machine\" os_index=\"0\" cpuset=\"0x3\" complete_cpuset=\"0x3\" "
        "allowed_cpuset=\"0x3\" nodeset=\"0x1\" complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\" "
        "gp_index=\"1\">\n"
        "<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0x3\" complete_cpuset=\"0x3\" "
        "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2\" local_memory=\"1000000\"/>\n"
        "<object type=\"Core\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
        "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"3\">\n"
        "<object type=\"PU\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
        "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"4\"/></object>\n"
        "<object type=\"Core\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
        "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"5\">\n"
        "<object type=\"PU\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
        "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"6\"/></object>\n"
        "</object>\n</topology>";
    struct hd__topo *t = hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, "pu:1");
    if (!t)
        SKIP("there is no hwloc");
    hd__topo_free(t);
    char *root = folder_make(), name[256];
    put_file(root, xml, "machine.xml");
    snprintf(name, sizeof name, "%s/machine.xml", root);
    setenv("HEDDLE_TOPOLOGY", name, 1);
    CHECK_STR_EQ(hd_topology_source(), "hwloc xml");
    folder_remove(root);
    CHECK_EQ(hd_topology_cpu_count(), 2);
    CHECK_EQ(hd_topology_group_count(HD_SHARE_CORE), 2);
    CHECK_EQ(hd_topology_group_count(HD_SHARE_L3), 0);
    CHECK_ERR(hd_topology_group_of(HD_SHARE_L3, 0), -ENOENT);
    check_consistent();
}

/* ---- Nonsense ---- */

static void ask_for(void *text) {
    setenv("HEDDLE_TOPOLOGY", text, 1);
    CHECK(strcmp(hd_topology_source(), "hwloc xml") != 0);
    CHECK(strcmp(hd_topology_source(), "hwloc synthetic") != 0);
    check_consistent();
    hd__topo_sched();
    hd__topo_get();
}

TEST(nonsense_is_told_once) {
    static const char *const bad[] = {"/no/such/file", "/", "/dev/null", "no such machine",
                                      "node:0", "pu:-3", "node:9999999999 pu:2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static struct child c;
        bool machine = strcmp(bad[i], "/") == 0; /* it is a folder with such files */
        child_run(&c, ask_for, (void *)(uintptr_t)bad[i]);
        CHECK_MSG(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0, "%s: status %d, \"%s\"",
                  bad[i], c.status, c.out);
        if (machine)
            continue;
        CHECK_MSG(child_lines(&c) == 1 && strstr(c.out, "HEDDLE_TOPOLOGY"), "%s: \"%s\"", bad[i],
                  c.out);
        CHECK_STR_HAS(c.out, bad[i]);
        if (i == 0)
            CHECK_STR_HAS(c.out, "/no/such/file: there is no such file or folder;");
    }
}

/* ---- Binding, and kernels that refuse it ---- */

/* Two nodes, of which this machine certainly has the first. */
static const struct hd__topo *two_real_nodes(void) {
    const struct machine m = {2, 2, 1, 1, 1};
    on_machine(&m);
    struct hd__topo *t = (struct hd__topo *)(uintptr_t)hd__topo_get();
    t->real = true;
    return t;
}

TEST(memory_is_bound) {
    if (test_under_valgrind())
        SKIP("Valgrind knows no mbind()");
    const struct hd__topo *t = two_real_nodes();
    char *p = mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int err = hd__os_numa_bind(p, page(), 0);
    if (err == -ENOSYS || err == -EPERM)
        SKIP("mbind() is refused here");
    CHECK_OK(err);
    CHECK_STR_EQ(hd_numa_bind_kind(), "mbind");
    CHECK_ERR(hd__os_numa_bind(p, page(), 1023), -EINVAL);
    CHECK_ERR(hd__os_numa_bind(p, page(), 1024), -EINVAL);
    munmap(p, page());
    for (unsigned node = 0; node < 2; node++) {
        p = hd_numa_alloc(2 * page(), node);
        CHECK(p != NULL);
        memset(p, 1, 2 * page());
        int found = hd_numa_node_of(p);
        /* The second may not exist here; then the memory is where it can be. */
        CHECK(node == 0 ? found == 0 : found >= 0);
        hd_numa_free(p, 2 * page());
    }
    CHECK_EQ(t->groups[HD__TOPO_NODE], 2);
}

/* From now on these calls fail as they do in containers. */
static bool refuse(int error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mbind, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_move_pages, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_get_mempolicy, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(kernels_that_refuse) {
    if (test_under_qemu() || test_under_valgrind() || !refuse(EPERM))
        SKIP("there is no seccomp here");
    char *p = hd_numa_alloc(3 * page(), 0);
    CHECK(p != NULL);
    CHECK_ERR(hd_numa_node_of(p), -ENOENT);
    p[0] = 1;
    /* With one node the answer is known. */
    CHECK_EQ(hd_numa_node_of(p), hd_numa_node_count() == 1 ? 0 : -EPERM);
    hd_numa_free(p, 3 * page());
    CHECK_ERR(hd_numa_node_of(NULL), -EFAULT);
    check_memory();
}

TEST(kernels_that_refuse_where_there_is_a_choice) {
    two_real_nodes();
    if (test_under_qemu() || test_under_valgrind() || !refuse(ENOSYS))
        SKIP("there is no seccomp here");
    CHECK_STR_EQ(hd_numa_bind_kind(), "first touch");
    char *p = hd_numa_alloc(page(), 1);
    CHECK(p != NULL);
    CHECK_ERR(hd_numa_node_of(p), -ENOENT);
    p[0] = 1;
    CHECK_ERR(hd_numa_node_of(p), -ENOSYS);
    hd_numa_free(p, page());
}

/* ---- Threads ---- */

static void *ask(void *arg) {
    CHECK_EQ(hd_numa_node_count(), 2);
    CHECK_GE(hd_numa_current_node(), 0);
    hd_yield();
    CHECK_EQ(hd_topology_cpu_count(), 16);
    return arg;
}

static int ask_all(void *arg) {
    enum { N = 32 };
    hd_thread *t[N];
    for (int i = 0; i < N; i++)
        t[i] = spawn(ask, NULL);
    for (int i = 0; i < N; i++)
        join(t[i]);
    (void)arg;
    return 0;
}

/* The first use, by many at once, on their small stacks, preempted often. */
TEST(first_use_by_threads) {
    const struct machine m = {2, 2, 1, 4, 2};
    char *root = folder_make();
    put_machine(root, &m);
    setenv("HEDDLE_TOPOLOGY", root, 1);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 4, .slice_us = 100, .stack_size = hd_stack_min()), ask_all,
                    NULL));
    folder_remove(root);
}

TEST(first_use_of_hwloc_by_threads) {
    setenv("HEDDLE_TOPOLOGY", "node:2 core:4 pu:2", 1);
    struct hd__topo *t = hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, "pu:1");
    if (!t)
        SKIP("there is no hwloc");
    hd__topo_free(t);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 4, .slice_us = 100), ask_all, NULL));
}

static void wait_for_order(void) {
    struct hd__order *o;
    while (!(o = atomic_load(&hd__rt.order)))
        CHECK_OK(hd_sleep_for(MS));
    CHECK_EQ(hd__topo_peek()->groups[HD__TOPO_NODE], 8);
    CHECK_NE(hd__order_groups(o, 0), 0);
}

static void *busy(void *arg) {
    for (int i = 0; i < 50; i++)
        hd_yield();
    return arg;
}

static int steal_in_order(void *arg) {
    (void)arg;
    wait_for_order();
    for (unsigned long i = 0; i < test_iterations(50); i++) {
        hd_thread *t[64];
        for (int k = 0; k < 64; k++)
            t[k] = spawn(busy, NULL);
        for (int k = 0; k < 64; k++)
            join(t[k]);
    }
    return 0;
}

TEST(the_scheduler_knows_the_nodes) {
    const struct machine m = {2, 8, 1, 2, 1};
    char *root = folder_make();
    put_machine(root, &m);
    setenv("HEDDLE_TOPOLOGY", root, 1);
    for (unsigned workers = 3; workers <= 16; workers += 5)
        CHECK_OK(hd_run(HD_CONFIG(.workers = workers), steal_in_order, NULL));
    folder_remove(root);
    CHECK_EQ(hd__topo_get(), hd__topo_peek());
    CHECK(atomic_load(&hd__rt.order) == NULL);
}

/* A machine with up to two workers does not even look. */
static int nobody_looks(void *arg) {
    CHECK_OK(hd_sleep_for(5 * MS));
    CHECK(hd__topo_peek() == NULL);
    CHECK(atomic_load(&hd__rt.order) == NULL);
    return arg != NULL;
}

TEST(two_workers_need_no_order) {
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), nobody_looks, NULL));
}
