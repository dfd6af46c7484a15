/* SPDX-License-Identifier: MIT */
/* limits: threads that wait are started, one after the other, until the system says no or there are
 * --threads of them; what it said is a note, with the limit that it was. Then all of them end.
 * Where others are held to the same limit, a part of it is left to them (room.h), so that they
 * still get processes and memory: then the note says before which limit it stopped. */
#include "room.h"
#include "subject.h"
#include "workloads.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

struct limits {
    subject_thread *threads;
    uint64_t most, started;
    uint64_t arrived; /* atomic */
    subject_gate gate;
    int error;
    struct bench_room room;
    const struct bench_limit *limit; /* that was met, or before which it stopped */
    double start_ms, end_ms;
    struct bench_memory memory; /* of all threads */
};

enum { LOOK_EVERY = 64 }; /* threads between two looks: few beside what is left alone */

static void *wait_at_gate(void *arg) {
    struct limits *l = (struct limits *)arg;
    __atomic_add_fetch(&l->arrived, 1, __ATOMIC_RELEASE);
    subject_gate_wait(&l->gate);
    return NULL;
}

static int limits_body(void *arg) {
    struct limits *l = (struct limits *)arg;
    struct bench_memory before = bench_memory_now();
    subject_gate_init(&l->gate);
    uint64_t begin = bench_now_ns();
    while (l->started < l->most && !l->error && !l->limit) {
        if (l->started % LOOK_EVERY == 0) {
            uint64_t look = bench_now_ns();
            l->limit = bench_room_short(&l->room);
            begin += bench_now_ns() - look; /* is no part of starting threads */
        }
        if (l->limit) {
            break;
        }
        l->error = subject_spawn(&l->threads[l->started], wait_at_gate, l);
        l->started += !l->error;
    }
    if (l->error) {
        uint64_t stack = bench_value("stack-size");
        l->limit = bench_room_met(&l->room, stack ? stack : SUBJECT_STACK_BYTES);
    }
    while (__atomic_load_n(&l->arrived, __ATOMIC_ACQUIRE) < l->started) {
        subject_sleep_us(100);
    }
    uint64_t middle = bench_now_ns();
    l->memory = bench_memory_now();
    l->memory.resident_bytes -= before.resident_bytes;
    l->memory.address_bytes -= before.address_bytes;
    uint64_t opened = bench_now_ns();
    subject_gate_open(&l->gate);
    for (uint64_t i = 0; i < l->started; i++) {
        subject_join(&l->threads[i]);
    }
    l->start_ms = (double)(middle - begin) / 1e6;
    l->end_ms = (double)(bench_now_ns() - opened) / 1e6;
    return BENCH_OK;
}

/* The first line of a file, for people. */
static const char *line_of(const char *path, char *line, size_t room) {
    FILE *f = fopen(path, "re");
    bool good = f && fgets(line, (int)room, f);
    if (f) {
        fclose(f);
    }
    if (good) {
        line[strcspn(line, "\n")] = '\0';
    }
    return good && *line ? line : "unknown";
}

static void say_limits(void) {
    static const struct {
        const char *name, *path;
    } files[] = {
        {"pid_max", "/proc/sys/kernel/pid_max"},
        {"threads_max", "/proc/sys/kernel/threads-max"},
        {"max_map_count", "/proc/sys/vm/max_map_count"},
    };
    char line[64];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        bench_note(files[i].name, "%s", line_of(files[i].path, line, sizeof(line)));
    }
    struct rlimit nproc = {RLIM_INFINITY, RLIM_INFINITY}, as = nproc;
    getrlimit(RLIMIT_NPROC, &nproc);
    getrlimit(RLIMIT_AS, &as);
    bench_note("rlimit_nproc", "%lld", (long long)nproc.rlim_cur);
    bench_note("rlimit_as", "%lld", (long long)as.rlim_cur);
}

static void say_who_said_no(const struct limits *l) {
    unsigned long long next = (unsigned long long)l->started + 1;
    char words[512] = "no limit that is known was near";
    if (l->limit) {
        bench_room_words(l->limit, words, sizeof(words));
        bench_note("limit", "%s", bench_room_name(l->limit));
    }
    if (l->error) {
        bench_note("said_no", "thread %llu: %s (%s)", next, strerror(l->error), words);
    } else if (l->limit) {
        bench_note("said_no", "nobody, but %llu of it are left to others before thread %llu (%s)",
                   (unsigned long long)l->limit->left_alone, next, words);
    } else {
        bench_note("said_no", "never, up to %llu threads", (unsigned long long)l->most);
    }
}

static int limits_run(void) {
    struct limits *l = (struct limits *)bench_array(1, sizeof(*l));
    l->most = bench_value("threads");
    l->threads = (subject_thread *)bench_array(l->most, sizeof(*l->threads));
    struct subject_setup setup = {0, bench_value("stack-size"), false};
    bench_room_find(&l->room);
    int status = subject_run(&setup, limits_body, l);
    if (status == BENCH_OK && l->started == 0 && !l->error) {
        char words[512];
        bench_room_words(l->limit, words, sizeof(words));
        status = bench_error("no thread was started: what is left is for others (%s)", words);
    } else if (status == BENCH_OK && l->started == 0) {
        status = bench_error("not one thread could be started: %s", strerror(l->error));
    } else if (status == BENCH_OK) {
        double count = (double)l->started;
        bench_sample("limit_threads", "count", count);
        bench_sample("reached", "count", l->error != 0);
        bench_sample("start_us_per_thread", "us", l->start_ms * 1e3 / count);
        bench_sample("end_us_per_thread", "us", l->end_ms * 1e3 / count);
        bench_sample("bytes_per_thread", "bytes",
                     l->memory.resident_bytes > 0 ? l->memory.resident_bytes / count : 0);
        say_who_said_no(l);
        say_limits();
    }
    free(l->threads);
    free(l);
    return status;
}

const struct bench_experiment bench_limits = {
    "limits",
    true,
    limits_run,
    {{"threads", 20000, 1, 10000000, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {NULL, 0, 0, 0, NULL}},
};
