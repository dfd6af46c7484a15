/* SPDX-License-Identifier: MIT */
/* The limits that threads meet. Numbers of tasks are counted as the kernel counts them: pid_max
 * against the tasks that /proc shows (those of this namespace), threads-max against all of the
 * kernel's, RLIMIT_NPROC against those of this user. */
#include "room.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LEAVE_TASKS = 1000, LEAVE_PART = 20, NEAR_TASKS = 2 };
enum { PIDS_RESERVED = 300 }; /* the lowest numbers are given once, and never again */
static const uint64_t leave_bytes = 256u << 20;

/* ---- reading ---- */

/* The number that stands in a file, or after `key` in it; false if it has none ("max"). */
static bool read_number(const char *path, const char *key, uint64_t *out) {
    char line[512];
    FILE *f = fopen(path, "re");
    bool found = false;
    while (f && !found && fgets(line, (int)sizeof(line), f)) {
        const char *at = line;
        if (key && strncmp(line, key, strlen(key)) != 0) {
            continue;
        }
        at += key ? strlen(key) : 0;
        at += strspn(at, " \t:");
        found = isdigit((unsigned char)*at) != 0;
        *out = found ? strtoull(at, NULL, 10) : 0;
        if (!key) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return found;
}

static bool read_in(const char *folder, const char *name, const char *key, uint64_t *out) {
    char path[320];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return read_number(path, key, out);
}

struct tasks {
    uint64_t seen, mine, own; /* all that /proc shows; of this user; of this process */
};

static void count_tasks(struct tasks *t) {
    memset(t, 0, sizeof(*t));
    read_number("/proc/self/status", "Threads", &t->own);
    DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        char folder[300];
        uint64_t threads = 0, uid = 0;
        if (!isdigit((unsigned char)e->d_name[0])) {
            continue;
        }
        snprintf(folder, sizeof(folder), "/proc/%s", e->d_name);
        if (!read_in(folder, "status", "Threads", &threads)) {
            continue;
        }
        t->seen += threads;
        if (read_in(folder, "status", "Uid", &uid) && uid == getuid()) {
            t->mine += threads;
        }
    }
    if (d) {
        closedir(d);
    }
}

/* All tasks of the kernel: the number behind the slash of "0.1 0.2 0.3 1/234 567". */
static uint64_t kernel_tasks(void) {
    char line[128];
    uint64_t count = 0;
    FILE *f = fopen("/proc/loadavg", "re");
    if (f && fgets(line, (int)sizeof(line), f) && strchr(line, '/')) {
        count = strtoull(strchr(line, '/') + 1, NULL, 10);
    }
    if (f) {
        fclose(f);
    }
    return count;
}

static uint64_t count_maps(void) {
    uint64_t lines = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    for (int c; f && (c = getc(f)) != EOF;) {
        lines += c == '\n';
    }
    if (f) {
        fclose(f);
    }
    return lines;
}

/* ---- finding ---- */

static struct bench_limit *add(struct bench_room *r, enum bench_room_kind kind, uint64_t most) {
    if (r->count == BENCH_ROOM_LIMITS || most == 0) {
        return NULL;
    }
    struct bench_limit *l = &r->limit[r->count++];
    memset(l, 0, sizeof(*l));
    l->kind = kind;
    l->most = most;
    return l;
}

/* Version 2 calls it memory.max, version 1 memory.limit_in_bytes. */
static bool memory_of(const char *folder, uint64_t *most, uint64_t *used) {
    return (read_in(folder, "memory.max", NULL, most) &&
            read_in(folder, "memory.current", NULL, used)) ||
           (read_in(folder, "memory.limit_in_bytes", NULL, most) &&
            read_in(folder, "memory.usage_in_bytes", NULL, used));
}

/* A group and all above it, up to the mount. */
static void look_upwards(struct bench_room *r, const char *mount, const char *path) {
    char folder[256];
    snprintf(folder, sizeof(folder), "%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        uint64_t most, used;
        struct bench_limit *l = NULL;
        if (read_in(folder, "pids.max", NULL, &most)) {
            l = add(r, BENCH_ROOM_CGROUP_PIDS, most);
        }
        if (l) {
            snprintf(l->folder, sizeof(l->folder), "%s", folder);
            read_in(folder, "pids.events", "max", &l->refused);
        }
        if (memory_of(folder, &most, &used) && most < (uint64_t)1 << 60 &&
            (l = add(r, BENCH_ROOM_CGROUP_MEMORY, most)) != NULL) {
            snprintf(l->folder, sizeof(l->folder), "%s", folder);
        }
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(mount)) {
            return;
        }
        *slash = '\0';
    }
}

/* Lines of NUMBER:CONTROLLERS:PATH; version 2 has no controllers. */
static void find_groups(struct bench_room *r) {
    char line[512];
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, (int)sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        *path++ = '\0';
        controllers++;
        if (*controllers == '\0') {
            look_upwards(r, "/sys/fs/cgroup", path);
            look_upwards(r, "/sys/fs/cgroup/unified", path);
        } else if (strcmp(controllers, "pids") == 0) {
            look_upwards(r, "/sys/fs/cgroup/pids", path);
        } else if (strcmp(controllers, "memory") == 0) {
            look_upwards(r, "/sys/fs/cgroup/memory", path);
        }
    }
    if (f) {
        fclose(f);
    }
}

/* Root, and who may set limits, are not held to RLIMIT_NPROC. */
static bool is_privileged(void) {
    enum { SYS_ADMIN = 21, SYS_RESOURCE = 24 };
    char line[256];
    uint64_t effective = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, (int)sizeof(line), f)) {
        if (strncmp(line, "CapEff:", 7) == 0) {
            effective = strtoull(line + 7, NULL, 16);
        }
    }
    if (f) {
        fclose(f);
    }
    return getuid() == 0 || ((effective >> SYS_ADMIN) & 1) || ((effective >> SYS_RESOURCE) & 1);
}

static void look(struct bench_room *r) {
    struct tasks t;
    count_tasks(&t);
    for (size_t i = 0; i < r->count; i++) {
        struct bench_limit *l = &r->limit[i];
        uint64_t value = 0, ignored;
        switch (l->kind) {
        case BENCH_ROOM_CGROUP_PIDS:
            read_in(l->folder, "pids.current", NULL, &l->used);
            break;
        case BENCH_ROOM_NPROC:
            l->used = t.mine;
            break;
        case BENCH_ROOM_PID_MAX:
            l->used = t.seen + PIDS_RESERVED;
            break;
        case BENCH_ROOM_THREADS_MAX:
            l->used = kernel_tasks();
            break;
        case BENCH_ROOM_CGROUP_MEMORY:
            memory_of(l->folder, &ignored, &l->used);
            break;
        case BENCH_ROOM_MEMORY:
            read_number("/proc/meminfo", "MemAvailable", &value);
            value *= 1024;
            l->used = value < l->most ? l->most - value : 0;
            break;
        case BENCH_ROOM_MAPS:
        case BENCH_ROOM_ADDRESSES: /* of this process alone: looked at when it was refused */
            break;
        }
    }
}

/* Where others have tasks too, or memory, they are to get more of it. */
static void leave_alone(struct bench_limit *l, uint64_t own) {
    bool memory = l->kind == BENCH_ROOM_MEMORY || l->kind == BENCH_ROOM_CGROUP_MEMORY;
    if (memory) {
        uint64_t part = l->most / LEAVE_PART;
        l->left_alone = part > leave_bytes || part * 5 < leave_bytes ? part : leave_bytes;
    } else if (l->used > own + (l->kind == BENCH_ROOM_PID_MAX ? PIDS_RESERVED : 0)) {
        l->left_alone = l->most / 4 < LEAVE_TASKS ? l->most / 4 : LEAVE_TASKS;
    }
}

void bench_room_find(struct bench_room *r) {
    uint64_t value;
    struct rlimit limit;
    struct tasks t;
    memset(r, 0, sizeof(*r));
    find_groups(r);
    if (!is_privileged() && getrlimit(RLIMIT_NPROC, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY) {
        add(r, BENCH_ROOM_NPROC, limit.rlim_cur);
    }
    if (read_number("/proc/sys/kernel/pid_max", NULL, &value)) {
        add(r, BENCH_ROOM_PID_MAX, value);
    }
    if (read_number("/proc/sys/kernel/threads-max", NULL, &value)) {
        add(r, BENCH_ROOM_THREADS_MAX, value);
    }
    if (read_number("/proc/meminfo", "MemTotal", &value)) {
        add(r, BENCH_ROOM_MEMORY, value * 1024);
    }
    look(r);
    count_tasks(&t);
    for (size_t i = 0; i < r->count; i++) {
        leave_alone(&r->limit[i], t.own);
    }
    if (read_number("/proc/sys/vm/max_map_count", NULL, &value)) {
        add(r, BENCH_ROOM_MAPS, value);
    }
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        add(r, BENCH_ROOM_ADDRESSES, limit.rlim_cur);
    }
}

/* ---- asking ---- */

static uint64_t left_of(const struct bench_limit *l) {
    return l->used < l->most ? l->most - l->used : 0;
}

const struct bench_limit *bench_room_short(struct bench_room *r) {
    look(r);
    for (size_t i = 0; i < r->count; i++) {
        if (r->limit[i].left_alone && left_of(&r->limit[i]) <= r->limit[i].left_alone) {
            return &r->limit[i];
        }
    }
    return NULL;
}

/* Whether it refuses the next thread. */
static bool is_met(struct bench_limit *l, uint64_t stack_bytes) {
    uint64_t value = 0;
    switch (l->kind) {
    case BENCH_ROOM_CGROUP_PIDS:
        return left_of(l) == 0 ||
               (read_in(l->folder, "pids.events", "max", &value) && value > l->refused);
    case BENCH_ROOM_MAPS:
        l->used = count_maps();
        return left_of(l) <= NEAR_TASKS;
    case BENCH_ROOM_ADDRESSES:
        read_number("/proc/self/status", "VmSize", &value);
        l->used = value * 1024;
        return left_of(l) <= 2 * stack_bytes;
    case BENCH_ROOM_MEMORY:
    case BENCH_ROOM_CGROUP_MEMORY:
        return left_of(l) <= l->left_alone;
    default:
        return left_of(l) <= NEAR_TASKS;
    }
}

const struct bench_limit *bench_room_met(struct bench_room *r, uint64_t stack_bytes) {
    look(r);
    for (size_t i = 0; i < r->count; i++) {
        if (is_met(&r->limit[i], stack_bytes)) {
            return &r->limit[i];
        }
    }
    return NULL;
}

const char *bench_room_name(const struct bench_limit *l) {
    static const char *const names[] = {"cgroup pids.max", "RLIMIT_NPROC", "pid_max",
                                        "threads-max",     "cgroup memory", "memory",
                                        "max_map_count",   "RLIMIT_AS"};
    return names[l->kind];
}

void bench_room_words(const struct bench_limit *l, char *text, size_t room) {
    bool bytes = l->kind == BENCH_ROOM_MEMORY || l->kind == BENCH_ROOM_CGROUP_MEMORY ||
                 l->kind == BENCH_ROOM_ADDRESSES;
    snprintf(text, room, "%s, %llu%s%s%s", bench_room_name(l), (unsigned long long)l->most,
             bytes ? " bytes" : "", *l->folder ? " in " : "", l->folder);
}
