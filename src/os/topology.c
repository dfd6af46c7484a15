/* SPDX-License-Identifier: MIT */
/* Which reader describes the machine, and what the readers share; see topology.h. */
#include "os/topology.h"

#include "base/check.h"
#include "base/spin.h"
#include "os/cpu.h"
#include "os/env.h"
#include "os/kthread.h"
#include "os/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Filling a record ---- */

struct hd__topo *hd__topo_new(const char *source) {
    struct hd__topo *t = hd__os_calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->source = source;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        memset(t->cpu[cpu].group, 0xff, sizeof t->cpu[cpu].group);
    }
    return t;
}

void hd__topo_free(struct hd__topo *t) {
    if (t != NULL) {
        hd__os_free(t->distance);
        hd__os_free(t);
    }
}

/* Until finish(), a group's number is that of its first CPU. */
void hd__topo_add_group(struct hd__topo *t, enum hd__topo_level level, const hd_cpuset *cpus,
                        uint64_t cache_bytes) {
    uint16_t first = HD__TOPO_NONE;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        struct hd__topo_cpu *c = &t->cpu[cpu];
        if (!hd_cpuset_has(cpus, cpu) || !hd_cpuset_has(&t->cpus, cpu) ||
            c->group[level] != HD__TOPO_NONE) {
            continue;
        }
        if (first == HD__TOPO_NONE) {
            first = (uint16_t)cpu;
        }
        c->group[level] = first;
        if (level >= HD__TOPO_L1 && level <= HD__TOPO_L3) {
            c->cache_kib[level - HD__TOPO_L1] = (uint32_t)(cache_bytes / 1024);
        }
    }
}

bool hd__topo_add_node(struct hd__topo *t, unsigned number, const hd_cpuset *cpus) {
    unsigned index = t->groups[HD__TOPO_NODE];
    if (index == HD__TOPO_NODES_MAX) {
        return false;
    }
    t->node_number[index] = (uint16_t)number;
    t->groups[HD__TOPO_NODE]++;
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        uint16_t *node = &t->cpu[cpu].group[HD__TOPO_NODE];
        if (hd_cpuset_has(cpus, cpu) && hd_cpuset_has(&t->cpus, cpu) && *node == HD__TOPO_NONE) {
            *node = (uint16_t)index;
        }
    }
    return true;
}

static void number_groups(struct hd__topo *t, enum hd__topo_level level) {
    uint16_t *of_first = hd__os_alloc(HD_CPU_MAX * sizeof *of_first);
    t->groups[level] = 0;
    for (unsigned cpu = 0; of_first != NULL && cpu < HD_CPU_MAX; cpu++) {
        uint16_t *group = &t->cpu[cpu].group[level];
        if (*group == HD__TOPO_NONE) {
            continue;
        }
        if (*group == cpu) {
            of_first[cpu] = (uint16_t)t->groups[level]++;
        }
        *group = of_first[*group];
    }
    if (of_first == NULL) {
        for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
            t->cpu[cpu].group[level] = HD__TOPO_NONE;
        }
    }
    hd__os_free(of_first);
}

bool hd__topo_finish(struct hd__topo *t) {
    t->cpu_count = hd__os_cpus_count(&t->cpus);
    if (t->cpu_count == 0) {
        return false;
    }
    /* Each CPU has a core and a node, whatever else is not known. */
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        struct hd__topo_cpu *c = &t->cpu[cpu];
        if (!hd_cpuset_has(&t->cpus, cpu)) {
            continue;
        }
        if (c->group[HD__TOPO_CORE] == HD__TOPO_NONE) {
            c->group[HD__TOPO_CORE] = (uint16_t)cpu;
        }
        if (c->group[HD__TOPO_NODE] == HD__TOPO_NONE) {
            c->group[HD__TOPO_NODE] = 0;
        }
    }
    for (unsigned level = 0; level < HD__TOPO_NODE; level++) {
        number_groups(t, level);
    }
    if (t->groups[HD__TOPO_NODE] == 0) {
        t->groups[HD__TOPO_NODE] = 1;
    }
    if (t->kinds == 0) {
        t->kinds = 1;
    }
    if (t->line_bytes == 0) {
        t->line_bytes = HD__CACHE_LINE;
    }
    return true;
}

/* ---- Looking ---- */

void hd__topo_group(const struct hd__topo *t, enum hd__topo_level level, unsigned index,
                    hd_cpuset *out) {
    memset(out, 0, sizeof *out);
    if (index >= t->groups[level]) {
        return;
    }
    for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
        if (hd_cpuset_has(&t->cpus, cpu) && t->cpu[cpu].group[level] == index) {
            out->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
        }
    }
}

unsigned hd__topo_distance(const struct hd__topo *t, unsigned a, unsigned b) {
    if (t->distance != NULL) {
        return t->distance[a * t->groups[HD__TOPO_NODE] + b];
    }
    return a == b ? HD__TOPO_LOCAL : HD__TOPO_REMOTE;
}

/* ---- Choosing ---- */

static struct hd__topo *_Atomic full, *_Atomic quick;
static struct hd__topo flat; /* what is left without memory */
static hd__spin flat_lock;

static const struct hd__topo *flat_machine(void) {
    hd__spin_lock(&flat_lock);
    if (flat.cpu_count == 0) {
        flat.source = "flat";
        flat.real = true;
        for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
            memset(flat.cpu[cpu].group, 0xff, sizeof flat.cpu[cpu].group);
            flat.cpu[cpu].group[HD__TOPO_NODE] = 0;
        }
        if (hd__os_cpus_allowed(&flat.cpus) <= 0) {
            flat.cpus.bits[0] = 1;
        }
        flat.groups[HD__TOPO_NODE] = flat.kinds = 1;
        flat.line_bytes = HD__CACHE_LINE;
        flat.cpu_count = hd__os_cpus_count(&flat.cpus);
    }
    hd__spin_unlock(&flat_lock);
    return &flat;
}

/* Stores what was made; of several made at once, the first stays. */
static const struct hd__topo *publish(struct hd__topo *_Atomic *where, struct hd__topo *t) {
    struct hd__topo *there = NULL;
    if (atomic_compare_exchange_strong(where, &there, t)) {
        return t;
    }
    if (there != t) {
        hd__topo_free(t);
    }
    return there;
}

static struct hd__topo *read_named(const char *text) {
    struct stat found;
    if (text[0] != '/') {
        return hd__topo_read_hwloc(HD__TOPO_HWLOC_SYNTHETIC, text);
    }
    if (stat(text, &found) == 0 && S_ISDIR(found.st_mode)) {
        struct hd__topo *t = hd__topo_read_sysfs(text, NULL);
        if (t != NULL) {
            t->real = false;
        }
        return t;
    }
    return hd__topo_read_hwloc(HD__TOPO_HWLOC_XML, text);
}

static const char *why_unread(const char *text) {
    struct stat found;
    if (text[0] == '/' && stat(text, &found) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? "there is no such file or folder"
                                                   : "it cannot be opened";
    }
    if (text[0] == '/' && S_ISDIR(found.st_mode)) {
        return "the folder has no files as in /sys/devices/system/cpu, or they make no sense";
    }
    if (!hd__topo_has_hwloc()) {
        return "only hwloc understands that, and it is not there";
    }
    return text[0] == '/' ? "it is no XML that hwloc wrote, or cannot be read"
                          : "it is neither hwloc, sysfs, a path nor a synthetic description, such "
                            "as \"node:2 l3:1 core:4 pu:2\"";
}

/* What HEDDLE_TOPOLOGY describes, or NULL. It is the same for both. */
static const struct hd__topo *make_named(const char *text) {
    struct hd__topo *t = read_named(text);
    if (t == NULL) {
        static _Atomic int told;
        if (!atomic_exchange(&told, 1)) {
            hd__print_fd2("heddle: HEDDLE_TOPOLOGY=%s: %s; this machine's topology is used\n", text,
                          why_unread(text));
        }
        return NULL;
    }
    publish(&full, t);
    return publish(&quick, atomic_load(&full));
}

static const struct hd__topo *make(bool for_sched, const _Atomic bool *stop) {
    const char *named = hd__os_env_text("HEDDLE_TOPOLOGY");
    bool hwloc = named != NULL ? strcmp(named, "hwloc") == 0 : !for_sched;
    bool sysfs = named != NULL && strcmp(named, "sysfs") == 0;
    if (named != NULL && !hwloc && !sysfs) {
        const struct hd__topo *t = make_named(named);
        if (t != NULL) {
            return t;
        }
        hwloc = !for_sched;
    }
    struct hd__topo *t = hwloc ? hd__topo_read_hwloc(HD__TOPO_HWLOC_MACHINE, NULL) : NULL;
    if (t == NULL) {
        t = hd__topo_read_sysfs("", stop);
    }
    if (t == NULL) {
        return stop != NULL && atomic_load(stop) ? NULL : flat_machine();
    }
    return publish(for_sched ? &quick : &full, t);
}

const struct hd__topo *hd__topo_make(const _Atomic bool *stop) {
    const struct hd__topo *t = hd__topo_peek();
    return t != NULL ? t : make(true, stop);
}

const struct hd__topo *hd__topo_peek(void) {
    return atomic_load_explicit(&quick, memory_order_acquire);
}

const struct hd__topo *hd__topo_any(void) {
    const struct hd__topo *t = hd__topo_peek();
    return t != NULL ? t : flat_machine();
}

struct order {
    bool for_sched;
    const struct hd__topo *made;
};

static void make_main(void *arg) {
    struct order *order = arg;
    order->made = make(order->for_sched, NULL);
}

static HD__NOINLINE const struct hd__topo *have_made(bool for_sched) {
    struct order order = { for_sched, NULL };
    struct hd__os_kthread kthread;
    if (hd__os_kthread_create("heddle/topo", make_main, &order, &kthread) != 0) {
        return flat_machine();
    }
    hd__os_kthread_join(&kthread);
    return order.made;
}

const struct hd__topo *hd__topo_get(void) {
    const struct hd__topo *t = atomic_load_explicit(&full, memory_order_acquire);
    return HD__LIKELY(t != NULL) ? t : have_made(false);
}

const struct hd__topo *hd__topo_sched(void) {
    const struct hd__topo *t = hd__topo_peek();
    return HD__LIKELY(t != NULL) ? t : have_made(true);
}
