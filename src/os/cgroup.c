/* SPDX-License-Identifier: MIT */
/* /proc/self/cgroup names the process's group in each hierarchy: "0::/a/b" in version 2,
 * "4:cpu,cpuacct:/a/b" in version 1. Where they are mounted is not looked up, since everybody has
 * them in the same places, and the list of mounts may be long. In a container the name is often
 * that outside of it, while the group itself is mounted as the root; so what does not exist is
 * passed over on the way up. */
#include "os/cgroup.h"

#include "base/check.h"
#include "os/cpu.h"
#include "os/textfile.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

static const char *_Atomic test_root;

enum { PATH_BYTES = 512, VALUE_BYTES = 64 };

void hd__os_cgroup_set_root(const char *root) {
    atomic_store(&test_root, root);
}

static const char *root(void) {
    const char *r = atomic_load(&test_root);
    return r ? r : "";
}

/* Both in microseconds; 0: no quota. */
struct bandwidth {
    uint64_t quota, period;
};

/* "150000 100000", "max 100000" */
static bool read_v2(const char *folder, struct bandwidth *out) {
    char path[PATH_BYTES + 16], text[VALUE_BYTES];
    hd__format(path, sizeof path, "%s/cpu.max", folder);
    if (hd__os_text_read(path, text, sizeof text) < 0) {
        return false;
    }
    const char *period = strchr(text, ' ');
    return period != NULL && hd__os_text_number(text, &out->quota) == 0 &&
           hd__os_text_number(period + 1, &out->period) == 0;
}

/* Two files; the quota is -1 where there is none. */
static bool read_v1(const char *folder, struct bandwidth *out) {
    char path[PATH_BYTES + 32], text[VALUE_BYTES];
    hd__format(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (hd__os_text_read(path, text, sizeof text) < 0) {
        return false;
    }
    if (hd__os_text_number(text, &out->quota) == 0) {
        hd__format(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (hd__os_text_read(path, text, sizeof text) >= 0) {
            (void)hd__os_text_number(text, &out->period);
        }
    }
    return true;
}

static unsigned cpus_of(const struct bandwidth *b) {
    if (b->quota == 0 || b->period == 0) {
        return 0;
    }
    uint64_t cpus = b->quota / b->period + (b->quota % b->period != 0);
    return cpus > UINT32_MAX ? 0 : (unsigned)cpus;
}

/* The least of a group and those above it, up to where the hierarchy is mounted; *any: something
 * was there. */
static unsigned walk(const char *mount, const char *group, size_t length,
                     bool (*read)(const char *folder, struct bandwidth *out), bool *any) {
    char folder[PATH_BYTES];
    unsigned least = 0;
    size_t base = hd__format(folder, sizeof folder, "%s%s", root(), mount);
    size_t whole = hd__format(folder, sizeof folder, "%s%s%.*s", root(), mount, (int)length, group);
    if (whole >= sizeof folder) {
        return 0;
    }
    while (whole > base && folder[whole - 1] == '/') {
        folder[--whole] = '\0';
    }
    for (;;) {
        struct bandwidth b = { 0, 0 };
        bool there = read(folder, &b);
        unsigned cpus = there ? cpus_of(&b) : 0;
        *any |= there;
        if (cpus != 0 && (least == 0 || cpus < least)) {
            least = cpus;
        }
        if (whole <= base) {
            return least;
        }
        while (whole > base && folder[--whole] != '/') {
        }
        folder[whole] = '\0';
    }
}

/* Whether "cpu" is among the names before the colon. */
static bool names_cpu(const char *names, const char *end) {
    while (names < end) {
        size_t n = strcspn(names, ",:");
        if (n == 3 && memcmp(names, "cpu", 3) == 0) {
            return true;
        }
        names += n + 1;
    }
    return false;
}

/* One line of /proc/self/cgroup, without its newline. */
static unsigned look_at(const char *line, size_t length) {
    static const char *const v1[] = { "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct" };
    const char *end = line + length, *names = memchr(line, ':', length);
    const char *group = names ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
    bool any = false;
    if (group == NULL) {
        return 0;
    }
    names++;
    size_t n = (size_t)(end - ++group);
    if (n >= 3 && memcmp(group, "/..", 3) == 0) {
        n = 0; /* outside of what is mounted */
    }
    if (group - 1 == names) {
        return walk("/sys/fs/cgroup", group, n, read_v2, &any);
    }
    unsigned cpus = 0;
    for (size_t i = 0; names_cpu(names, group - 1) && !any && i < HD__COUNTOF(v1); i++) {
        cpus = walk(v1[i], group, n, read_v1, &any);
    }
    return cpus;
}

unsigned hd__os_cgroup_cpus(void) {
    char path[PATH_BYTES], text[HD__OS_TEXT_BYTES];
    unsigned least = 0;
    hd__format(path, sizeof path, "%s/proc/self/cgroup", root());
    if (hd__os_text_read(path, text, sizeof text) < 0) {
        return 0;
    }
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        unsigned cpus = look_at(line, length);
        if (cpus != 0 && (least == 0 || cpus < least)) {
            least = cpus;
        }
        line += length + (line[length] == '\n');
    }
    return least;
}

unsigned hd__os_cpus_online(void) {
    char path[PATH_BYTES], text[HD__OS_TEXT_BYTES];
    hd_cpuset set;
    hd__format(path, sizeof path, "%s/sys/devices/system/cpu/online", root());
    if (hd__os_text_read(path, text, sizeof text) < 0 || hd__os_text_list(text, &set) != 0) {
        return 1;
    }
    unsigned n = hd__os_cpus_count(&set);
    return n != 0 ? n : 1;
}
