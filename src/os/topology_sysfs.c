/* SPDX-License-Identifier: MIT */
/* The machine as the kernel's files describe it: /sys/devices/system/{cpu,node}.
 *
 * A file costs some 6 us to read, and a machine has a dozen of them for each CPU. So what one CPU
 * said of those it shares something with is not asked again of them. */
#include "os/topology.h"

#include "base/check.h"
#include "os/cpu.h"
#include "os/mem.h"
#include "os/textfile.h"

#include <stdarg.h>
#include <string.h>

struct reader {
    struct hd__topo *t;
    const char *root;
    const _Atomic bool *stop;
    char path[256];
    char text[HD__OS_TEXT_BYTES];
};

/* Reads the file of that name below the root into r->text. */
__attribute__((format(printf, 2, 3))) static bool get(struct reader *r, const char *name, ...) {
    va_list args;
    size_t n = hd__format(r->path, sizeof r->path, "%s/sys/devices/", r->root);
    if (n >= sizeof r->path) {
        return false;
    }
    va_start(args, name);
    n += hd__vformat(r->path + n, sizeof r->path - n, name, args);
    va_end(args);
    return n < sizeof r->path && hd__os_text_read(r->path, r->text, sizeof r->text) >= 0;
}

static bool stopped(const struct reader *r) {
    return r->stop != NULL && atomic_load_explicit(r->stop, memory_order_relaxed);
}

static bool as_list(struct reader *r, hd_cpuset *out) {
    return hd__os_text_list(r->text, out) == 0;
}

/* "48K", "32768K", "1M": bytes. */
static uint64_t as_bytes(const char *text) {
    uint64_t value;
    if (hd__os_text_number(text, &value) != 0) {
        return 0;
    }
    size_t n = strlen(text);
    unsigned shift = text[n - 1] == 'K' ? 10 : text[n - 1] == 'M' ? 20 : 0;
    return value << shift;
}

/* ---- Nodes ---- */

static void read_distances(struct reader *r) {
    struct hd__topo *t = r->t;
    unsigned n = t->groups[HD__TOPO_NODE];
    if (n < 2 || (t->distance = hd__os_calloc(n, n)) == NULL) {
        return;
    }
    for (unsigned a = 0; a < n; a++) {
        bool said = get(r, "system/node/node%u/distance", (unsigned)t->node_number[a]);
        const char *at = said ? r->text : "";
        for (unsigned b = 0; b < n; b++) {
            uint64_t value = a == b ? HD__TOPO_LOCAL : HD__TOPO_REMOTE;
            (void)hd__os_text_number(at, &value);
            t->distance[a * n + b] = (uint8_t)(value > UINT8_MAX ? UINT8_MAX : value);
            at += strcspn(at, " ");
            at += strspn(at, " ");
        }
    }
}

static void read_nodes(struct reader *r) {
    hd_cpuset nodes, cpus;
    _Static_assert((int)HD__TOPO_NODES_MAX == (int)HD_CPU_MAX, "sets of nodes");
    if (!get(r, "system/node/online") || !as_list(r, &nodes)) {
        return; /* a kernel without NUMA: one node */
    }
    for (unsigned number = 0; number < HD__TOPO_NODES_MAX; number++) {
        if (!hd_cpuset_has(&nodes, number)) {
            continue;
        }
        if (!get(r, "system/node/node%u/cpulist", number) || !as_list(r, &cpus)) {
            memset(&cpus, 0, sizeof cpus);
        }
        hd__topo_add_node(r->t, number, &cpus);
    }
    read_distances(r);
}

/* ---- Cores and caches ---- */

static void read_group(struct reader *r, unsigned cpu, enum hd__topo_level level, const char *name,
                       const char *old_name) {
    hd_cpuset cpus;
    if (r->t->cpu[cpu].group[level] == HD__TOPO_NONE &&
        (get(r, "system/cpu/cpu%u/topology/%s", cpu, name) ||
         get(r, "system/cpu/cpu%u/topology/%s", cpu, old_name)) &&
        as_list(r, &cpus)) {
        hd__topo_add_group(r->t, level, &cpus, 0);
    }
}

/* One of the folders of a CPU's caches; false: there is none of that number. */
static bool read_cache(struct reader *r, unsigned cpu, unsigned index) {
    uint64_t level, line;
    hd_cpuset cpus;
    if (!get(r, "system/cpu/cpu%u/cache/index%u/level", cpu, index) ||
        hd__os_text_number(r->text, &level) != 0) {
        return false;
    }
    if (level < 1 || level > 3) {
        return true;
    }
    enum hd__topo_level at = (enum hd__topo_level)(HD__TOPO_L1 + (int)level - 1);
    if (r->t->cpu[cpu].group[at] != HD__TOPO_NONE ||
        !get(r, "system/cpu/cpu%u/cache/index%u/type", cpu, index) || r->text[0] == 'I') {
        return true; /* known, or for instructions */
    }
    if (!get(r, "system/cpu/cpu%u/cache/index%u/shared_cpu_list", cpu, index) ||
        !as_list(r, &cpus)) {
        return true;
    }
    bool sized = get(r, "system/cpu/cpu%u/cache/index%u/size", cpu, index);
    hd__topo_add_group(r->t, at, &cpus, sized ? as_bytes(r->text) : 0);
    if (r->t->line_bytes == 0 &&
        get(r, "system/cpu/cpu%u/cache/index%u/coherency_line_size", cpu, index) &&
        hd__os_text_number(r->text, &line) == 0) {
        r->t->line_bytes = (unsigned)line;
    }
    return true;
}

static void read_cpu(struct reader *r, unsigned cpu) {
    enum { CACHES_MAX = 16 };
    read_group(r, cpu, HD__TOPO_CORE, "core_cpus_list", "thread_siblings_list");
    read_group(r, cpu, HD__TOPO_PACKAGE, "package_cpus_list", "core_siblings_list");
    for (unsigned i = 0; i < CACHES_MAX && read_cache(r, cpu, i); i++) {
    }
}

/* ---- Kinds of cores ---- */

/* Intel: each kind has a folder among the devices that count events. */
static bool read_hybrid(struct reader *r) {
    hd_cpuset fast;
    if (!get(r, "cpu_core/cpus") || !as_list(r, &fast)) {
        return false;
    }
    unsigned found = 0;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        if (hd_cpuset_has(&r->t->cpus, cpu)) {
            r->t->cpu[cpu].kind = hd_cpuset_has(&fast, cpu);
            found |= 1u << r->t->cpu[cpu].kind;
        }
    }
    for (unsigned cpu = 0; found == 2 && cpu < HD_CPU_MAX; cpu++) {
        r->t->cpu[cpu].kind = 0;
    }
    r->t->kinds = found == 3 ? 2 : 1;
    return true;
}

/* Elsewhere: the kernel's measure of what a CPU can do, 1024 at most. */
static void read_capacities(struct reader *r) {
    uint16_t *capacity = hd__os_calloc(HD_CPU_MAX, sizeof *capacity);
    unsigned least = 0, kind = 0;
    for (unsigned cpu = 0; capacity != NULL && cpu < HD_CPU_MAX; cpu++) {
        uint64_t value;
        if (!hd_cpuset_has(&r->t->cpus, cpu)) {
            continue;
        }
        if (!get(r, "system/cpu/cpu%u/cpu_capacity", cpu) ||
            hd__os_text_number(r->text, &value) != 0) {
            hd__os_free(capacity);
            return;
        }
        capacity[cpu] = (uint16_t)(value < UINT16_MAX ? value + 1 : UINT16_MAX);
    }
    while (capacity != NULL) {
        unsigned next = UINT16_MAX + 1;
        for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
            if (capacity[cpu] > least && capacity[cpu] < next) {
                next = capacity[cpu];
            }
        }
        if (next > UINT16_MAX) {
            break;
        }
        for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
            if (capacity[cpu] == next) {
                r->t->cpu[cpu].kind = (uint16_t)kind;
            }
        }
        least = next;
        r->t->kinds = ++kind;
    }
    hd__os_free(capacity);
}

/* ---- All of it ---- */

static bool read_machine(struct reader *r) {
    if (!get(r, "system/cpu/online") || !as_list(r, &r->t->cpus)) {
        return false;
    }
    read_nodes(r);
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        if (stopped(r)) {
            return false;
        }
        if (hd_cpuset_has(&r->t->cpus, cpu)) {
            read_cpu(r, cpu);
        }
    }
    if (!read_hybrid(r)) {
        read_capacities(r);
    }
    return !stopped(r) && hd__topo_finish(r->t);
}

struct hd__topo *hd__topo_read_sysfs(const char *root, const _Atomic bool *stop) {
    struct reader *r = hd__os_calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->root = root;
    r->stop = stop;
    r->t = hd__topo_new("sysfs");
    bool done = r->t != NULL && read_machine(r);
    struct hd__topo *t = r->t;
    if (done) {
        t->real = true;
    } else {
        hd__topo_free(t);
        t = NULL;
    }
    hd__os_free(r);
    return t;
}
