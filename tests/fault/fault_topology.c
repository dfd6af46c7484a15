/* SPDX-License-Identifier: MIT */
/* Every allocation and system call of reading the topology fails once, and all from some point on:
 * there is an answer all the same, in the worst case that of a flat machine. */
#include "test.h"

#include "mem/numa.h"
#include "os/fault.h"
#include "os/topology.h"
#include "sched/order.h"

#include <heddle/heddle.h>

#include <errno.h>
#include <stdlib.h>

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

static void check_machine(const struct hd__topo *t) {
    CHECK(t != NULL);
    CHECK_GE(t->cpu_count, 1);
    CHECK_GE(t->groups[HD__TOPO_NODE], 1);
    CHECK_GE(t->kinds, 1);
    CHECK_GE(t->line_bytes, 16);
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++)
        if (hd_cpuset_has(&t->cpus, cpu))
            CHECK_LT(t->cpu[cpu].group[HD__TOPO_NODE], t->groups[HD__TOPO_NODE]);
}

static void read_with(struct hd__topo *(*reader)(void)) {
    hd__fault_arm(0);
    struct hd__topo *t = reader();
    uint64_t calls = hd__fault_hits();
    if (!t)
        SKIP("this reader is not there");
    hd__topo_free(t);
    for (uint64_t n = 1; n <= calls; n++) {
        hd__fault_arm(n);
        t = reader();
        hd__fault_arm(0);
        if (t)
            check_machine(t);
        hd__topo_free(t);
        hd__fault_arm_from(n);
        t = reader();
        hd__fault_arm(0);
        if (t)
            check_machine(t);
        hd__topo_free(t);
    }
}

static struct hd__topo *by_files(void) {
    return hd__topo_read_sysfs("", NULL);
}

static struct hd__topo *by_hwloc(void) {
    return hd__topo_read_hwloc(HD__TOPO_HWLOC_MACHINE, NULL);
}

TEST(the_kernels_files) {
    read_with(by_files);
}

TEST(hwloc) {
    read_with(by_hwloc);
}

/* What the public functions see: an answer of some kind, and later a good one. */
TEST(there_is_always_an_answer) {
    for (uint64_t n = 1; n <= 200; n++) {
        hd__fault_arm_from(n);
        CHECK_GE(hd_numa_node_count(), 1);
        CHECK_GE(hd_topology_cpu_count(), 1);
        check_machine(hd__topo_sched());
        hd__fault_arm(0);
        check_machine(hd__topo_get());
        check_machine(hd__topo_sched());
    }
    hd__fault_arm_from(1);
    CHECK(hd_numa_alloc(1, 0) == NULL);
    hd__fault_arm(0);
    void *p = hd_numa_alloc(1, 0);
    CHECK(p != NULL);
    hd__fault_arm_from(1);
    CHECK_LE(hd_numa_node_of(p), 0);
    CHECK(hd__order_new(4) == NULL);
    hd__fault_arm(0);
    hd_numa_free(p, 1);
}
