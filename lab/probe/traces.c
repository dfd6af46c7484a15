/* SPDX-License-Identifier: MIT */
#include "probe/traces.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/elf.h"
#include "probe/read.h"
#include "probe/tasks.h"
#include "text.h"

enum {
    /* More of one function's, and it is left alone: 2 % of a CPU, either way. */
    CALLS_A_SECOND = 20000,
    DEAR_CALLS_A_SECOND = 1500, /* where the kernel has to step over an instruction */
    LINE = 512,
};

struct traced {
    uint64_t count;
    uint64_t second_ns, in_second; /* to see that there are too many */
    bool there, off, dear;
};

struct probe_traces {
    char *root, *instance, *group; /* paths; the name that all probes are under */
    int pipe;                      /* the instance's trace_pipe */
    int guard_end;                 /* the guard waits for the end of this */
    pid_t guard;
    int count;
    struct traced function[PROBE_TRACES_MAX];
    uint64_t lost;
    char line[LINE];
    size_t length;
};

/* ---- tracefs ---- */

static char *find_root(void) {
    static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *file = lab_format("%s/uprobe_events", places[i]);
        bool there = access(file, W_OK) == 0;
        free(file);
        if (there)
            return lab_copy(places[i]);
    }
    return NULL;
}

/* Writes one text by one call, as these files want it. 0 or -errno. */
static int put(const char *folder, const char *file, int how, const char *text) {
    char *path = lab_format("%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC | how), error = 0;
    free(path);
    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        error = -errno;
    close(fd);
    return error;
}

/* Takes away what one of us has made: in the guard, or where there is none yet. */
static void take_away(const char *root, const char *instance, const char *group, int count) {
    char *enable = lab_format("events/%s/enable", group);
    put(instance, "tracing_on", 0, "0");
    put(instance, enable, 0, "0");
    free(enable);
    for (int tries = 0; rmdir(instance) != 0 && errno == EBUSY && tries < 100; tries++)
        usleep(10000); /* somebody still reads it */
    for (int i = 0; i < count; i++) {
        char *line = lab_format("-:%s/f%d\n", group, i);
        for (int tries = 0; put(root, "uprobe_events", O_APPEND, line) == -EBUSY && tries < 100;
             tries++)
            usleep(10000);
        free(line);
    }
}

/* The process that cleans up. It holds none of our files but the one by which it sees our end: an
 * event or a ring that it kept open would go on. */
static _Noreturn void be_guard(struct probe_traces *t, int end) {
    char byte;
    setsid();
    for (int sig = 1; sig < 32; sig++) {
        if (sig != SIGKILL && sig != SIGSTOP && sig != SIGSEGV && sig != SIGBUS)
            signal(sig, SIG_IGN);
    }
    dup2(end, 0);
    syscall(SYS_close_range, 1u, ~0u, 0u);
    while (read(0, &byte, 1) < 0 && errno == EINTR)
        continue;
    take_away(t->root, t->instance, t->group, t->count);
    _exit(0);
}

static int start_guard(struct probe_traces *t) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    fflush(NULL);
    t->guard = fork();
    if (t->guard == 0) {
        close(ends[1]);
        be_guard(t, ends[0]);
    }
    int error = t->guard < 0 ? -errno : 0;
    close(ends[0]);
    t->guard_end = ends[1];
    return error;
}

/* ---- beginning ---- */

/* Whether the kernel imitates the first instruction instead of stepping over a copy of it. */
static bool is_cheap(const uint8_t *code) {
#if defined(__x86_64__)
    const uint8_t *push = code + (code[0] == 0x41);
    return *push >= 0x50 && *push <= 0x57;
#else
    (void)code;
    return false;
#endif
}

/* The names under which a file of the target's can be opened here. */
static char *openable(pid_t pid, const char *path) {
    char *inside = lab_format("/proc/%d/root%s", (int)pid, path);
    if (access(inside, R_OK) == 0 && !strpbrk(inside, " :\t\n"))
        return inside;
    free(inside);
    return NULL;
}

static int define(struct probe_traces *t, pid_t pid, const struct probe_mapping *map,
                  const struct probe_elf *elf, const char *const *functions) {
    char *path = openable(pid, map->path);
    int defined = 0;
    for (int i = 0; path && i < t->count; i++) {
        struct probe_symbol at;
        uint8_t code[2];
        if (!probe_elf_symbol(elf, functions[i], &at))
            continue;
        uint64_t address = at.address + probe_elf_bias(elf);
        if (address < map->begin || address >= map->end ||
            probe_read_whole(pid, address, code, sizeof(code)) != 0)
            continue;
        char *line = lab_format("p:%s/f%d %s:0x%llx\n", t->group, i, path,
                                (unsigned long long)(address - map->begin + map->offset));
        t->function[i].there = put(t->root, "uprobe_events", O_APPEND, line) == 0;
        t->function[i].dear = !is_cheap(code);
        defined += t->function[i].there;
        free(line);
    }
    free(path);
    return defined;
}

static int define_all(struct probe_traces *t, pid_t pid, const char *file,
                      const char *const *functions) {
    struct probe_mapping *map;
    int defined = 0, count = probe_mappings_read(pid, &map);
    for (int i = 0; i < count; i++) {
        struct probe_elf *elf;
        if (!map[i].executable || strcmp(map[i].path, file) != 0 ||
            probe_elf_open_mapping(pid, map, count, i, &elf, NULL) != 0)
            continue;
        defined = define(t, pid, &map[i], elf, functions);
        probe_elf_close(elf);
        break;
    }
    if (count >= 0)
        probe_mappings_free(map, count);
    return defined;
}

/* All threads that there are; the kernel adds what they make. */
static int follow(struct probe_traces *t, pid_t pid) {
    pid_t *list = NULL;
    struct lab_text text = {0};
    int count = probe_tasks_scan(pid, &list);
    int error = put(t->instance, "options/event-fork", 0, "1");
    for (int i = 0; i < count; i++)
        lab_text_printf(&text, "%d ", (int)list[i]);
    if (!error && text.data)
        error = put(t->instance, "set_event_pid", O_TRUNC, text.data);
    lab_text_free(&text);
    free(list);
    return count > 0 ? error : -ESRCH;
}

static int begin(struct probe_traces *t, pid_t pid, const char *file,
                 const char *const *functions) {
    if (mkdir(t->instance, 0700) != 0)
        return -errno;
    int error = start_guard(t);
    if (error) {
        take_away(t->root, t->instance, t->group, 0);
        return error;
    }
    if (define_all(t, pid, file, functions) == 0)
        return -ENOENT;
    put(t->instance, "trace_clock", 0, "mono");
    put(t->instance, "buffer_size_kb", 0, "512");
    error = follow(t, pid);
    char *path = lab_format("%s/trace_pipe", t->instance);
    t->pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    free(path);
    if (!error && t->pipe < 0)
        error = -errno;
    char *enable = lab_format("events/%s/enable", t->group);
    if (!error)
        error = put(t->instance, enable, 0, "1");
    free(enable);
    return error;
}

int probe_traces_open(pid_t pid, const char *file, const char *const *functions, int count,
                      struct probe_traces **out, char **why) {
    struct probe_traces *t = lab_alloc(1, sizeof(*t));
    t->pipe = t->guard_end = -1;
    t->count = count < PROBE_TRACES_MAX ? count : PROBE_TRACES_MAX;
    t->root = find_root();
    if (!t->root) {
        *why = lab_copy(geteuid() == 0 ? "there is no tracefs with uprobes here"
                                       : "uprobes take root");
        free(t);
        return -EPERM;
    }
    t->group = lab_format("heddle_%d", (int)getpid());
    t->instance = lab_format("%s/instances/%s", t->root, t->group);
    int error = begin(t, pid, file, functions);
    if (error) {
        *why = error == -ENOENT
                   ? lab_copy("the program's file has none of the functions, or no symbols")
                   : lab_format("tracefs: %s", strerror(-error));
        probe_traces_close(t);
        return error;
    }
    *out = t;
    return 0;
}

void probe_traces_close(struct probe_traces *t) {
    if (!t)
        return;
    if (t->pipe >= 0)
        close(t->pipe);
    if (t->guard_end >= 0)
        close(t->guard_end);
    while (t->guard > 0 && waitpid(t->guard, NULL, 0) < 0 && errno == EINTR)
        continue;
    free(t->root);
    free(t->instance);
    free(t->group);
    free(t);
}

/* ---- calls ---- */

static void switch_off(struct probe_traces *t, int i) {
    char *enable = lab_format("events/%s/f%d/enable", t->group, i);
    put(t->instance, enable, 0, "0");
    free(enable);
    t->function[i].off = true;
}

static void called(struct probe_traces *t, int i, uint64_t ns) {
    struct traced *f = &t->function[i];
    f->count++;
    if (ns - f->second_ns > 1000000000) {
        f->second_ns = ns;
        f->in_second = 0;
    }
    if (++f->in_second > (f->dear ? DEAR_CALLS_A_SECOND : CALLS_A_SECOND) && !f->off)
        switch_off(t, i);
}

/* "  name-TID  [CPU] flags  SECONDS.MICROS: fI: (...)", or "CPU:0 [LOST 12 EVENTS]". */
static void take_line(struct probe_traces *t, const char *line, probe_traces_sink *sink,
                      void *arg) {
    const char *lost = strstr(line, "[LOST ");
    if (lost) {
        t->lost += strtoull(lost + 6, NULL, 10);
        return;
    }
    const char *cpu = strstr(line, " [");
    while (cpu && (cpu[2] < '0' || cpu[2] > '9'))
        cpu = strstr(cpu + 1, " [");
    const char *event = cpu ? strstr(cpu, ": f") : NULL;
    if (!event)
        return;
    const char *dash = cpu, *time = event;
    while (dash > line && *dash != '-')
        dash--;
    while (time > cpu && time[-1] != ' ')
        time--;
    char *rest;
    uint64_t seconds = strtoull(time, &rest, 10), micros = 0;
    if (*rest == '.')
        micros = strtoull(rest + 1, NULL, 10);
    long i = strtol(event + 3, NULL, 10);
    if (i < 0 || i >= t->count)
        return;
    uint64_t ns = seconds * 1000000000 + micros * 1000;
    called(t, (int)i, ns);
    if (sink)
        sink(arg, (int)i, (pid_t)strtol(dash + 1, NULL, 10), ns);
}

void probe_traces_step(struct probe_traces *t, probe_traces_sink *sink, void *arg) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(t->pipe, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (buffer[i] != '\n') {
                if (t->length < LINE - 1)
                    t->line[t->length++] = buffer[i];
                continue;
            }
            t->line[t->length] = '\0';
            t->length = 0;
            take_line(t, t->line, sink, arg);
        }
    }
}

uint64_t probe_traces_count(const struct probe_traces *t, int function, enum probe_traced *how) {
    const struct traced *f = &t->function[function];
    *how = !f->there ? PROBE_TRACED_NOT : f->off || t->lost ? PROBE_TRACED_SOME : PROBE_TRACED;
    return f->count;
}
