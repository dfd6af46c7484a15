/* SPDX-License-Identifier: MIT */
#include "probe/free.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/elf.h"
#include "probe/perf.h"
#include "probe/python_inside.h"
#include "probe/read.h"
#include "probe/tasks.h"
#include "probe/traces.h"
#include "text.h"

/* Which registers: the first argument's alone. */
#if defined(__x86_64__)
#define FIRST_ARGUMENT (1u << 5) /* PERF_REG_X86_DI */
#elif defined(__aarch64__)
#define FIRST_ARGUMENT (1u << 0) /* PERF_REG_ARM64_X0 */
#else
#define FIRST_ARGUMENT 0u
#endif

enum {
    PERIOD_NS = 1000 * 1000,
    RING_PAGES = 32,
    OBJECTS = 4096, /* a power of two; those beyond are counted together */
    ROWS = 12,
    NAME = 80,
};

enum cost { COST_COUNT, COST_MERGE, COST_LOCK, COST_STOP, COSTS };

/* The functions of the interpreter that only a build without a GIL needs. */
static const struct {
    const char *symbol;
    enum cost cost;
    bool object; /* its first argument is an object, to its end */
} functions[] = {
    {"_Py_DecRefShared", COST_COUNT, true},
    {"_Py_DecRefSharedDebug", COST_COUNT, true},
    {"_Py_TryIncRefShared", COST_COUNT, true},
    {"_Py_MergeZeroLocalRefcount", COST_MERGE, false},
    {"_Py_ExplicitMergeRefcount", COST_MERGE, false},
    {"_Py_brc_queue_object", COST_MERGE, false},
    {"_Py_brc_merge_refcounts", COST_MERGE, false},
    {"PyMutex_Lock", COST_LOCK, false},
    {"PyMutex_Unlock", COST_LOCK, false},
    {"_PyMutex_LockTimed", COST_LOCK, false},
    {"_PyMutex_TryUnlock", COST_LOCK, false},
    {"_PyMutex_LockSlow", COST_LOCK, false},
    {"_PyCriticalSection_BeginSlow", COST_LOCK, false},
    {"_PyCriticalSection2_BeginSlow", COST_LOCK, false},
    {"_PyCriticalSection_SuspendAll", COST_LOCK, false},
    {"_PyCriticalSection_Resume", COST_LOCK, false},
    {"_PyParkingLot_Park", COST_LOCK, false},
    {"_PyParkingLot_Unpark", COST_LOCK, false},
    {"_PySemaphore_Wait", COST_LOCK, false},
    {"_PySemaphore_Wakeup", COST_LOCK, false},
    {"stop_the_world", COST_STOP, false},
    {"start_the_world", COST_STOP, false},
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

/* What is seen call by call. The first two are the beginning and the end of a pause of all threads:
 * from when one asks the others to stop until it lets them go on. */
static const char *const rare[] = {"stop_the_world",
                                   "start_the_world",
                                   "_Py_brc_queue_object",
                                   "_Py_ExplicitMergeRefcount",
                                   "_PyCriticalSection_BeginSlow",
                                   "_PyCriticalSection2_BeginSlow"};
static const char *const rare_words[] = {
    "stops all threads", "lets them go on", "leaves an object's last reference to its own thread",
    "merges an object's two counts", "waits for an object's lock", "waits for two objects' locks"};
enum { RARE = sizeof(rare) / sizeof(rare[0]) };

static const char *const cost_words[COSTS] = {
    [COST_COUNT] = "changing reference counts that threads share",
    [COST_MERGE] = "merging reference counts of an object's own thread and of others",
    [COST_LOCK] = "locks of objects (and waiting in the parking lot)",
    [COST_STOP] = "stopping all threads, and letting them go on",
};

struct object {
    uint64_t address;
    uint64_t samples;
    char type[NAME], name[NAME];
};

struct probe_free {
    pid_t pid;
    struct probe_python *python;
    int *cpu, *fd;
    int cpu_count, fd_count;
    struct probe_ring *ring;
    struct {
        uint64_t begin, end;
    } place[FUNCTIONS];
    uint64_t samples, lost;
    uint64_t of_function[FUNCTIONS], of_cost[COSTS];
    uint64_t of_objects, of_others; /* samples with an object; with one that found no room */
    struct object object[OBJECTS];
    size_t object_count;
    struct probe_traces *traces; /* calls of `rare`; NULL: not seen */
    char *traces_why;
    uint64_t stop_ns, pauses, pause_ns, pause_most_ns;
    pid_t stop_tid;
    probe_sink *sink; /* of the step that goes on */
    void *sink_arg;
    /* The report's, made when it is asked for. */
    struct probe_table table[3];
    const char *cell[3][ROWS * 4 + FUNCTIONS * 3];
    char *text[ROWS * 2 + FUNCTIONS * 2 + RARE];
    size_t texts;
};

/* ---- beginning ---- */

/* Where the functions are. Their number. */
static int find_functions(struct probe_free *f) {
    struct probe_mapping *map;
    const char *file = probe_python_facts(f->python)->file;
    int found = 0, count = probe_mappings_read(f->pid, &map);
    for (int i = 0; i < count; i++) {
        struct probe_elf *elf;
        if (!map[i].executable || strcmp(map[i].path, file) != 0 ||
            probe_elf_open_mapping(f->pid, map, count, i, &elf, NULL) != 0)
            continue;
        for (int k = 0; k < FUNCTIONS; k++) {
            struct probe_symbol at;
            if (!probe_elf_symbol(elf, functions[k].symbol, &at))
                continue;
            f->place[k].begin = at.address + probe_elf_bias(elf);
            f->place[k].end = f->place[k].begin + at.size;
            found++;
        }
        probe_elf_close(elf);
        break;
    }
    if (count >= 0)
        probe_mappings_free(map, count);
    return found;
}

static int open_clock(pid_t tid, int cpu) {
    struct perf_event_attr a;
    memset(&a, 0, sizeof(a));
    a.size = sizeof(a);
    a.type = PERF_TYPE_SOFTWARE;
    a.config = PERF_COUNT_SW_CPU_CLOCK;
    a.sample_period = PERIOD_NS;
    a.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_REGS_USER;
    a.sample_regs_user = FIRST_ARGUMENT;
    a.inherit = 1;
    a.inherit_thread = 1;
    a.exclude_kernel = 1;
    a.exclude_hv = 1;
    a.watermark = 1;
    a.wakeup_watermark = UINT32_MAX;
    int fd = (int)syscall(SYS_perf_event_open, &a, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0 && errno == EINVAL) {
        a.inherit_thread = 0;
        fd = (int)syscall(SYS_perf_event_open, &a, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

static int cover_thread(struct probe_free *f, pid_t tid) {
    int error = 0;
    for (int c = 0; c < f->cpu_count; c++) {
        int fd = open_clock(tid, f->cpu[c]);
        if (fd < 0) {
            error = fd;
            continue;
        }
        f->fd = lab_grow_one(f->fd, (size_t)f->fd_count, sizeof(*f->fd));
        f->fd[f->fd_count++] = fd;
        if (!f->ring[c].base) {
            int pages = probe_ring_open(&f->ring[c], fd, f->cpu[c], RING_PAGES);
            error = pages < 0 ? pages : error;
        } else {
            error = probe_ring_add(&f->ring[c], fd);
        }
    }
    return error;
}

/* Every thread that is there, until a look shows no new one: what they make inherits. */
static int cover(struct probe_free *f) {
    pid_t *done = NULL;
    int done_count = 0, fresh = 1, error = 0;
    for (int round = 0; round < 8 && fresh; round++) {
        pid_t *list;
        int count = probe_tasks_scan(f->pid, &list);
        fresh = 0;
        for (int i = 0; i < count; i++) {
            bool known = false;
            for (int k = 0; k < done_count && !known; k++)
                known = done[k] == list[i];
            if (known)
                continue;
            done = lab_grow_one(done, (size_t)done_count, sizeof(*done));
            done[done_count++] = list[i];
            int failed = cover_thread(f, list[i]);
            error = failed && failed != -ESRCH ? failed : error;
            fresh++;
        }
        if (count > 0)
            free(list);
    }
    free(done);
    return f->fd_count > 0 ? 0 : error ? error : -ESRCH;
}

int probe_free_open(pid_t pid, struct probe_python *python, bool root, struct probe_free **out,
                    char **why) {
    struct probe_free *f = lab_alloc(1, sizeof(*f));
    int error = 0;
    f->pid = pid;
    f->python = python;
    f->cpu_count = probe_cpus(&f->cpu);
    f->ring = lab_alloc((size_t)f->cpu_count, sizeof(*f->ring));
    if (FIRST_ARGUMENT == 0) {
        *why = lab_copy("contended objects are known on x86-64 and aarch64 only");
        error = -ENOTSUP;
    } else if (!find_functions(f)) {
        *why = lab_copy("the interpreter's file has none of the functions' names");
        error = -ENOENT;
    } else if ((error = cover(f)) != 0) {
        *why = probe_perf_why(error, false);
    }
    if (error) {
        probe_free_close(f);
        return error;
    }
    if (!root)
        f->traces_why = lab_copy("left out, as asked");
    else if (probe_traces_open(pid, probe_python_facts(python)->file, rare, RARE, &f->traces,
                               &f->traces_why) == 0)
        f->traces_why = lab_copy("calls of what is rare in a free-threaded build, by uprobes");
    *out = f;
    return 0;
}

struct probe_means probe_free_traces(const struct probe_free *f) {
    return (struct probe_means){"tracefs", f->traces != NULL, f->traces_why};
}

void probe_free_close(struct probe_free *f) {
    if (!f)
        return;
    for (int c = 0; c < f->cpu_count; c++)
        probe_ring_close(&f->ring[c]);
    for (int i = 0; i < f->fd_count; i++)
        close(f->fd[i]);
    for (size_t i = 0; i < f->texts; i++)
        free(f->text[i]);
    probe_traces_close(f->traces);
    free(f->traces_why);
    free(f->ring);
    free(f->cpu);
    free(f->fd);
    free(f);
}

/* ---- samples ---- */

/* What is called by a name of its own: functions, classes. */
static void read_name(struct probe_free *f, struct object *o) {
    static const int function_name = 56; /* func_qualname, after the head and three pointers */
    struct probe_python *p = f->python;
    uint64_t at;
    if (strcmp(o->type, "function") == 0 && p->layout.free_threaded &&
        probe_read_u64(f->pid, o->address + function_name, &at) == 0) {
        char *name = python_text(p, at, NAME - 1);
        snprintf(o->name, sizeof(o->name), "%s", name ? name : "");
        free(name);
    } else if (strcmp(o->type, "type") == 0 &&
               probe_read_u64(f->pid, o->address + (uint64_t)p->layout.type_name, &at) == 0) {
        if (probe_read_string(f->pid, at, o->name, sizeof(o->name)) != 0)
            o->name[0] = '\0';
    }
    lab_make_printable(o->name);
}

static void count_object(struct probe_free *f, uint64_t address) {
    size_t at = (size_t)(address >> 4) * 0x9e3779b97f4a7c15u >> 40;
    f->of_objects++;
    for (int probe = 0; probe < 16; probe++) {
        struct object *o = &f->object[(at + (size_t)probe) % OBJECTS];
        if (o->address == address) {
            o->samples++;
            return;
        }
        if (o->address)
            continue;
        if (f->object_count > OBJECTS * 3 / 4)
            break;
        *o = (struct object){.address = address, .samples = 1};
        if (!f->python || probe_python_type(f->python, address, o->type, sizeof(o->type)) != 0)
            o->type[0] = '\0';
        else
            read_name(f, o);
        lab_make_printable(o->type);
        f->object_count++;
        return;
    }
    f->of_others++;
}

/* A sample, after its header. */
struct sample {
    uint64_t ip;
    uint32_t pid, tid;
    uint64_t abi, first;
};

static void take(struct probe_free *f, const struct sample *s) {
    if ((pid_t)s->pid != f->pid)
        return;
    f->samples++;
    for (int k = 0; k < FUNCTIONS; k++) {
        if (s->ip < f->place[k].begin || s->ip >= f->place[k].end)
            continue;
        f->of_function[k]++;
        f->of_cost[functions[k].cost]++;
        if (functions[k].object && s->abi == PERF_SAMPLE_REGS_ABI_64)
            count_object(f, s->first);
        return;
    }
}

static void drain(struct probe_free *f, struct probe_ring *r) {
    struct perf_event_mmap_page *meta = r->base;
    const char *data = (const char *)r->base + sysconf(_SC_PAGESIZE);
    uint64_t head = __atomic_load_n(&meta->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = meta->data_tail;
    while (tail < head) {
        struct {
            struct perf_event_header head;
            union {
                struct sample sample;
                uint64_t lost[2];
            } body;
        } record = {0};
        uint8_t *to = (uint8_t *)&record;
        for (size_t i = 0; i < sizeof(record) && i < head - tail; i++)
            to[i] = (uint8_t)data[(tail + i) & (r->bytes - 1)];
        if (record.head.size < sizeof(record.head))
            break;
        if (record.head.type == PERF_RECORD_SAMPLE)
            take(f, &record.body.sample);
        else if (record.head.type == PERF_RECORD_LOST)
            f->lost += record.body.lost[1];
        tail += record.head.size;
    }
    /* What was read may be written over. */
    __atomic_store_n(&meta->data_tail, tail, __ATOMIC_RELEASE);
}

static void take_call(void *arg, int function, pid_t tid, uint64_t ns) {
    struct probe_free *f = arg;
    if (function == 0) {
        f->stop_ns = ns;
        f->stop_tid = tid;
    } else if (function == 1 && f->stop_ns && ns >= f->stop_ns) {
        struct probe_event e = {.ns = ns, .kind = PROBE_PAUSE, .tid = f->stop_tid, .pid = f->pid,
                                .lock = PROBE_NO_LOCK, .cpu = -1, .value = ns - f->stop_ns};
        f->stop_ns = 0;
        f->pauses++;
        f->pause_ns += e.value;
        f->pause_most_ns = e.value > f->pause_most_ns ? e.value : f->pause_most_ns;
        f->sink(f->sink_arg, &e);
    }
}

void probe_free_step(struct probe_free *f, struct probe_python *python, probe_sink *sink,
                     void *arg) {
    f->sink = sink;
    f->sink_arg = arg;
    if (f->traces)
        probe_traces_step(f->traces, take_call, f);
    if (python != f->python)
        f->python = NULL;
    for (int c = 0; c < f->cpu_count; c++) {
        if (f->ring[c].base)
            drain(f, &f->ring[c]);
    }
}

/* ---- the report ---- */

static int by_samples(const void *a, const void *b) {
    const struct object *x = a, *y = b;
    return x->samples != y->samples ? (x->samples < y->samples ? 1 : -1)
                                    : (x->address > y->address) - (x->address < y->address);
}

static const char *keep(struct probe_free *f, char *text) {
    f->text[f->texts++] = text;
    return text;
}

static const char *share(struct probe_free *f, uint64_t samples) {
    return keep(f, lab_format("%.2f", f->samples ? 100.0 * (double)samples / (double)f->samples
                                                 : 0.0));
}

static void fill_objects(struct probe_free *f, struct probe_table *t) {
    static const struct probe_column columns[] = {{"type", NULL, NULL},
                                                  {"name", NULL, NULL},
                                                  {"address", NULL, NULL},
                                                  {"percent", "CPU time", "percent"}};
    *t = (struct probe_table){
        .id = "contended_objects",
        .title = "Objects whose reference counts threads share (estimated from samples)",
        .about = "In dropping references to them, threads that did not make them spent so much of "
                 "all CPU time; taking one costs about as much again.",
        .column = columns, .columns = 4, .cell = f->cell[0]};
    /* The table is left sorted: no samples come any more. */
    qsort(f->object, OBJECTS, sizeof(f->object[0]), by_samples);
    for (size_t i = 0; i < ROWS && f->object[i].samples; i++) {
        const struct object *o = &f->object[i];
        const char **cell = &f->cell[0][4 * t->rows++];
        cell[0] = o->type[0] ? o->type : NULL;
        cell[1] = o->name[0] ? o->name : NULL;
        cell[2] = keep(f, lab_format("0x%llx", (unsigned long long)o->address));
        cell[3] = share(f, o->samples);
    }
}

static void fill_functions(struct probe_free *f, struct probe_table *t) {
    static const struct probe_column columns[] = {{"function", NULL, NULL},
                                                  {"percent", "CPU time", "percent"},
                                                  {"samples", NULL, "count"}};
    *t = (struct probe_table){
        .id = "free_threading",
        .title = "What keeps threads apart without a GIL (estimated from samples)",
        .column = columns, .columns = 3, .cell = f->cell[1]};
    for (int k = 0; k < FUNCTIONS; k++) {
        if (!f->of_function[k])
            continue;
        const char **cell = &f->cell[1][3 * t->rows++];
        cell[0] = functions[k].symbol;
        cell[1] = share(f, f->of_function[k]);
        cell[2] = keep(f, lab_format("%llu", (unsigned long long)f->of_function[k]));
    }
}

static void fill_calls(struct probe_free *f, struct probe_table *t) {
    static const struct probe_column columns[] = {
        {"function", NULL, NULL}, {"what", "which", NULL}, {"calls", NULL, "count"}};
    *t = (struct probe_table){.id = "free_threading_calls",
                              .title = "Calls of what is rare (by uprobes)",
                              .column = columns, .columns = 3, .cell = f->cell[2]};
    for (int k = 0; k < RARE && f->traces; k++) {
        enum probe_traced how;
        uint64_t count = probe_traces_count(f->traces, k, &how);
        if (how == PROBE_TRACED_NOT)
            continue;
        const char **cell = &f->cell[2][3 * t->rows++];
        cell[0] = rare[k];
        cell[1] = rare_words[k];
        cell[2] = keep(f, lab_format("%llu", (unsigned long long)count));
        if (how == PROBE_TRACED_SOME)
            t->about = "Some calls were not seen: there were too many.";
    }
}

const struct probe_table *probe_free_tables(struct probe_free *f, size_t *count) {
    if (!f->table[0].id) {
        fill_objects(f, &f->table[0]);
        fill_functions(f, &f->table[1]);
        fill_calls(f, &f->table[2]);
    }
    *count = f->traces ? 3 : 2;
    return f->table;
}

void probe_free_words(const struct probe_free *f, struct probe_sentences *verdict,
                      struct probe_sentences *advice, struct probe_sentences *notes) {
    const struct object *worst = &f->object[0];
    double all = (double)(f->samples ? f->samples : 1);
    for (int c = 0; c < COSTS; c++) {
        double part = 100 * (double)f->of_cost[c] / all;
        if (f->samples >= 50 && part >= 1)
            probe_say(verdict, "About %.0f %% of the CPU time went into %s.", part, cost_words[c]);
    }
    if (f->of_cost[COST_COUNT] * 50 > f->samples && worst->samples * 5 > f->of_objects) {
        probe_say(verdict,
                  "Most contended: an object of type `%s`%s%s%s, in %.0f %% of the samples of "
                  "shared counts.",
                  worst->type[0] ? worst->type : "unknown", worst->name[0] ? " (`" : "",
                  worst->name, worst->name[0] ? "`)" : "",
                  100 * (double)worst->samples / (double)f->of_objects);
        probe_say(advice,
                  "Give each thread an object of its own, or keep what it needs of a shared one in "
                  "local variables: each use of an object by a thread that did not make it changes "
                  "a count that all its users share.");
    }
    if (f->of_cost[COST_LOCK] * 20 > f->samples)
        probe_say(advice, "Threads meet at the same containers: fill a list or dict of its own in "
                          "each thread, and merge them at the end.");
    if (f->pauses)
        probe_say(verdict, "The longest pause of all threads took %.3g ms.",
                  (double)f->pause_most_ns * 1e-6);
    probe_say(notes,
              "Contention without a GIL is estimated from %llu samples of the CPU clock, one each "
              "ms of CPU time%s.",
              (unsigned long long)f->samples, f->lost ? ", some of which were lost" : "");
}
