/* SPDX-License-Identifier: MIT */
/* The machine as hwloc describes it.
 *
 * The library is loaded when it is needed first, not linked: linked, it makes every program start
 * 0.2 ms later, whether it asks for a topology or not, and with it there is one more library that
 * must be installed where the program runs. */
#include "os/topology.h"

#ifdef HD_HAVE_HWLOC

#include "os/cpu.h"
#include "os/fault.h"
#include "os/mem.h"

#include <dlfcn.h>
#include <hwloc.h>
#include <string.h>

#define FUNCTIONS(X)                                                                       \
    X(hwloc_get_api_version) X(hwloc_topology_init) X(hwloc_topology_destroy)              \
    X(hwloc_topology_load) X(hwloc_topology_set_flags) X(hwloc_topology_set_xml)           \
    X(hwloc_topology_set_synthetic) X(hwloc_topology_set_components)                       \
    X(hwloc_topology_set_all_types_filter) X(hwloc_topology_set_cache_types_filter)        \
    X(hwloc_topology_set_type_filter) X(hwloc_get_type_depth) X(hwloc_get_nbobjs_by_depth) \
    X(hwloc_get_obj_by_depth) X(hwloc_bitmap_next) X(hwloc_distances_get_by_type)          \
    X(hwloc_distances_release) X(hwloc_cpukinds_get_nr) X(hwloc_cpukinds_get_info)         \
    X(hwloc_bitmap_alloc) X(hwloc_bitmap_free)

static struct {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} lib;

/* Of several that load it at once, each writes the same. */
static bool load_library(void) {
    if (HD__FAULT("dlopen")) {
        return false;
    }
    void *handle = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return false;
    }
    bool all = true;
#define FIND(name) \
    all &= (*(void **)(void *)&lib.name = dlsym(handle, #name)) != NULL;
    FUNCTIONS(FIND)
#undef FIND
    return all && lib.hwloc_get_api_version() >> 16 == HWLOC_API_VERSION >> 16;
}

/* ---- From hwloc's record to ours ---- */

static void to_set(hwloc_const_bitmap_t from, hd_cpuset *out) {
    memset(out, 0, sizeof *out);
    for (int cpu = -1; from != NULL && (cpu = lib.hwloc_bitmap_next(from, cpu)) >= 0;) {
        if (cpu >= HD_CPU_MAX) {
            break; /* a set may be without an end */
        }
        out->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
    }
}

static unsigned count(hwloc_topology_t from, hwloc_obj_type_t type) {
    int depth = lib.hwloc_get_type_depth(from, type);
    if (depth == HWLOC_TYPE_DEPTH_UNKNOWN || depth == HWLOC_TYPE_DEPTH_MULTIPLE) {
        return 0;
    }
    int n = (int)lib.hwloc_get_nbobjs_by_depth(from, depth);
    return n > 0 ? (unsigned)n : 0;
}

static hwloc_obj_t object(hwloc_topology_t from, hwloc_obj_type_t type, unsigned i) {
    return lib.hwloc_get_obj_by_depth(from, lib.hwloc_get_type_depth(from, type), i);
}

static void copy_cpus(struct hd__topo *t, hwloc_topology_t from) {
    for (unsigned i = 0; i < count(from, HWLOC_OBJ_PU); i++) {
        unsigned cpu = object(from, HWLOC_OBJ_PU, i)->os_index;
        if (cpu < HD_CPU_MAX) {
            t->cpus.bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
        }
    }
}

static void copy_groups(struct hd__topo *t, hwloc_topology_t from) {
    static const struct {
        enum hd__topo_level level;
        hwloc_obj_type_t type;
    } levels[] = {
        { HD__TOPO_CORE, HWLOC_OBJ_CORE },     { HD__TOPO_L1, HWLOC_OBJ_L1CACHE },
        { HD__TOPO_L2, HWLOC_OBJ_L2CACHE },    { HD__TOPO_L3, HWLOC_OBJ_L3CACHE },
        { HD__TOPO_PACKAGE, HWLOC_OBJ_PACKAGE },
    };
    for (size_t k = 0; k < HD__COUNTOF(levels); k++) {
        for (unsigned i = 0; i < count(from, levels[k].type); i++) {
            hwloc_obj_t o = object(from, levels[k].type, i);
            bool cache = levels[k].level >= HD__TOPO_L1 && levels[k].level <= HD__TOPO_L3;
            hd_cpuset cpus;
            to_set(o->cpuset, &cpus);
            hd__topo_add_group(t, levels[k].level, &cpus, cache ? o->attr->cache.size : 0);
            if (cache && t->line_bytes == 0) {
                t->line_bytes = o->attr->cache.linesize;
            }
        }
    }
}

/* By increasing number, which is not hwloc's order. */
static void copy_nodes(struct hd__topo *t, hwloc_topology_t from) {
    unsigned n = count(from, HWLOC_OBJ_NUMANODE);
    int last = -1;
    for (;;) {
        hwloc_obj_t next = NULL;
        for (unsigned i = 0; i < n; i++) {
            hwloc_obj_t o = object(from, HWLOC_OBJ_NUMANODE, i);
            if ((int)o->os_index > last && (next == NULL || o->os_index < next->os_index)) {
                next = o;
            }
        }
        hd_cpuset cpus;
        if (next == NULL || next->os_index >= HD__TOPO_NODES_MAX) {
            return;
        }
        to_set(next->cpuset, &cpus);
        hd__topo_add_node(t, next->os_index, &cpus);
        last = (int)next->os_index;
    }
}

static unsigned node_index(const struct hd__topo *t, unsigned number) {
    unsigned i = 0;
    while (i < t->groups[HD__TOPO_NODE] && t->node_number[i] != number) {
        i++;
    }
    return i;
}

static void copy_distances(struct hd__topo *t, hwloc_topology_t from) {
    struct hwloc_distances_s *d;
    unsigned n = t->groups[HD__TOPO_NODE], nr = 1;
    if (n < 2 || lib.hwloc_distances_get_by_type(from, HWLOC_OBJ_NUMANODE, &nr, &d,
                                                 HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
        nr == 0) {
        return;
    }
    t->distance = hd__os_alloc((size_t)n * n);
    for (unsigned i = 0; t->distance != NULL && i < n * n; i++) {
        t->distance[i] = i / n == i % n ? HD__TOPO_LOCAL : HD__TOPO_REMOTE;
    }
    for (unsigned i = 0; t->distance != NULL && i < d->nbobjs * d->nbobjs; i++) {
        unsigned a = node_index(t, d->objs[i / d->nbobjs]->os_index);
        unsigned b = node_index(t, d->objs[i % d->nbobjs]->os_index);
        if (a < n && b < n) {
            t->distance[a * n + b] = (uint8_t)(d->values[i] < UINT8_MAX ? d->values[i] : UINT8_MAX);
        }
    }
    lib.hwloc_distances_release(from, d);
}

/* hwloc sorts them by what they can do; where it does not know, it says so, and they are one. */
static void copy_kinds(struct hd__topo *t, hwloc_topology_t from) {
    int n = lib.hwloc_cpukinds_get_nr(from, 0), efficiency;
    hwloc_bitmap_t set = n > 1 ? lib.hwloc_bitmap_alloc() : NULL;
    for (int kind = 0; set != NULL && kind < n; kind++) {
        hd_cpuset cpus;
        if (lib.hwloc_cpukinds_get_info(from, (unsigned)kind, set, &efficiency, NULL, NULL, 0) ||
            efficiency < 0) {
            break;
        }
        to_set(set, &cpus);
        for (unsigned cpu = 0; cpu < HD_CPU_MAX; cpu++) {
            if (hd_cpuset_has(&cpus, cpu)) {
                t->cpu[cpu].kind = (uint16_t)kind;
            }
        }
        t->kinds = (unsigned)kind + 1;
    }
    if (set != NULL) {
        lib.hwloc_bitmap_free(set);
    }
}

static struct hd__topo *copy(hwloc_topology_t from, const char *source) {
    struct hd__topo *t = hd__topo_new(source);
    if (t == NULL) {
        return NULL;
    }
    copy_cpus(t, from);
    copy_groups(t, from);
    copy_nodes(t, from);
    copy_distances(t, from);
    copy_kinds(t, from);
    if (!hd__topo_finish(t)) {
        hd__topo_free(t);
        return NULL;
    }
    return t;
}

/* ---- Asking hwloc ---- */

static int set_source(hwloc_topology_t h, enum hd__topo_hwloc what, const char *text) {
    switch (what) {
    case HD__TOPO_HWLOC_XML:
        return lib.hwloc_topology_set_xml(h, text);
    case HD__TOPO_HWLOC_SYNTHETIC:
        return lib.hwloc_topology_set_synthetic(h, text);
    case HD__TOPO_HWLOC_MACHINE:
        break;
    }
    /* It would move the calling kernel thread from CPU to CPU, to say what the kernel says. */
    return lib.hwloc_topology_set_components(h, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
}

static int keep(hwloc_topology_t h, hwloc_obj_type_t type, enum hwloc_type_filter_e filter) {
    return lib.hwloc_topology_set_type_filter(h, type, filter);
}

/* The whole machine, and of it what we ask for alone. Nodes that are smaller than a package hang on
 * groups. */
static int set_filters(hwloc_topology_t h) {
    return lib.hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) ||
           lib.hwloc_topology_set_all_types_filter(h, HWLOC_TYPE_FILTER_KEEP_NONE) ||
           lib.hwloc_topology_set_cache_types_filter(h, HWLOC_TYPE_FILTER_KEEP_ALL) ||
           keep(h, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE) ||
           keep(h, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) ||
           keep(h, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL);
}

bool hd__topo_has_hwloc(void) {
    return load_library();
}

struct hd__topo *hd__topo_read_hwloc(enum hd__topo_hwloc what, const char *text) {
    static const char *const sources[] = { "hwloc", "hwloc xml", "hwloc synthetic" };
    struct hd__topo *t = NULL;
    hwloc_topology_t h;
    if (!load_library() || HD__FAULT("hwloc") || lib.hwloc_topology_init(&h) != 0) {
        return NULL;
    }
    if (set_filters(h) == 0 && set_source(h, what, text) == 0 && lib.hwloc_topology_load(h) == 0) {
        t = copy(h, sources[what]);
    }
    if (t != NULL) {
        t->real = what == HD__TOPO_HWLOC_MACHINE;
    }
    lib.hwloc_topology_destroy(h);
    return t;
}

#else

bool hd__topo_has_hwloc(void) {
    return false;
}

struct hd__topo *hd__topo_read_hwloc(enum hd__topo_hwloc what, const char *text) {
    (void)what;
    (void)text;
    return NULL;
}

#endif
