/* SPDX-License-Identifier: MIT */
/* What is written of a probe's report: each form is whole, whatever the names, and says the same
 * as the report. */
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"
#include "probe/out.h"
#include "probe_sample.h"
#include "text.h"

typedef int writer(FILE *f, const struct probe_report *r);

static char *text_of(writer *write, const struct probe_report *r) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f != NULL);
    CHECK_EQ(write(f, r), 0);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(strlen(text), size);
    return text;
}

static json_t *json_of(writer *write, const struct probe_report *r) {
    json_error_t error;
    char *text = text_of(write, r);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    CHECK_MSG(root != NULL, "line %d: %s", error.line, error.text);
    free(text);
    return root;
}

static uint64_t number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    CHECK_MSG(json_is_integer(value), "%s is not a whole number", key);
    return (uint64_t)json_integer_value(value);
}

static const char *string(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    CHECK_MSG(json_is_string(value), "%s is not a string", key);
    return json_string_value(value);
}

/* ---- JSON ---- */

TEST(json_is_whole_for_every_report) {
    for (int kind = 0; kind < SAMPLE_KINDS; kind++) {
        struct sample *s = sample_make((enum sample_kind)kind);
        const struct probe_timeline *t = sample_timeline(s);
        json_t *root = json_of(probe_write_json, sample_report(s));
        CHECK_STR_EQ(string(root, "schema"), "heddle-probe");
        CHECK_EQ(number(root, "version"), 1u);
        CHECK_EQ(json_array_size(json_object_get(root, "threads")), t->thread_count);
        CHECK_EQ(json_array_size(json_object_get(root, "spans")), t->span_count);
        CHECK_EQ(json_array_size(json_object_get(root, "locks")), t->lock_count);
        json_decref(root);
        sample_free(s);
    }
}

TEST(json_says_what_the_report_says) {
    struct sample *s = sample_make(SAMPLE_GIL);
    const struct probe_timeline *t = sample_timeline(s);
    json_t *root = json_of(probe_write_json, sample_report(s));
    const json_t *threads = json_object_get(root, "threads");
    CHECK_EQ(number(root, "duration_ns"), t->end_ns - t->begin_ns);
    for (size_t i = 0; i < t->thread_count; i++) {
        const json_t *x = json_array_get(threads, i), *states = json_object_get(x, "state_ns");
        CHECK_STR_EQ(string(x, "name"), t->thread[i].name);
        CHECK_EQ(number(states, "holds"), t->thread[i].state_ns[PROBE_STATE_HOLDS]);
        CHECK_EQ(number(states, "waits"), t->thread[i].state_ns[PROBE_STATE_WAITS]);
        CHECK_EQ(number(states, "blocked"), t->thread[i].state_ns[PROBE_STATE_BLOCKED]);
        CHECK_EQ(number(json_object_get(x, "wait"), "count"), t->thread[i].wait.count);
        uint64_t sum = 0;
        size_t k;
        json_t *bucket;
        json_array_foreach(json_object_get(json_object_get(x, "wait"), "buckets"), k, bucket)
            sum += (uint64_t)json_integer_value(json_array_get(bucket, 1));
        CHECK_EQ(sum, t->thread[i].wait.count);
    }
    const json_t *io = json_array_get(threads, 3);
    CHECK_STR_EQ(string(json_array_get(json_object_get(io, "held_at"), 0), "at"),
                 "echo (app.py:40)");
    const json_t *cell = json_array_get(
        json_object_get(json_object_get(root, "tables"), "contended"), 0);
    CHECK_STR_EQ(string(cell, "type"), "dict");
    CHECK_EQ(json_number_value(json_object_get(cell, "count")), 416.0);
    json_decref(root);
    sample_free(s);
}

/* Every stack that is referred to is among the frames, and so is all that is outside it. */
TEST(json_has_all_frames) {
    struct sample *s = sample_make(SAMPLE_GIL);
    json_t *root = json_of(probe_write_json, sample_report(s));
    const json_t *frames = json_object_get(root, "frames"), *spans = json_object_get(root, "spans");
    size_t i, k;
    json_t *frame, *other, *span;
    CHECK_GT(json_array_size(frames), 4u);
    json_array_foreach(frames, i, frame) {
        bool found = number(frame, "outer") == 0;
        json_array_foreach(frames, k, other)
            found = found || number(other, "stack") == number(frame, "outer");
        CHECK(found);
    }
    json_array_foreach(spans, i, span) {
        bool found = false;
        uint64_t stack = (uint64_t)json_integer_value(json_array_get(span, 5));
        json_array_foreach(frames, k, frame)
            found = found || number(frame, "stack") == stack;
        CHECK_MSG(found || stack == 0, "stack %" PRIu64, stack);
    }
    json_decref(root);
    sample_free(s);
}

/* ---- CSV ---- */

/* The number of fields of the row at *at, which moves to the next. */
static size_t row_fields(const char **at) {
    size_t n = 1;
    bool quoted = false;
    for (; **at && (quoted || **at != '\r'); (*at)++) {
        if (**at == '"')
            quoted = !quoted;
        n += **at == ',' && !quoted;
    }
    CHECK_EQ(strncmp(*at, "\r\n", 2), 0);
    *at += 2;
    return n;
}

TEST(csv_has_a_row_a_thread) {
    for (int kind = 0; kind < SAMPLE_KINDS; kind++) {
        struct sample *s = sample_make((enum sample_kind)kind);
        char *text = text_of(probe_write_csv, sample_report(s));
        const char *at = text;
        size_t fields = row_fields(&at), rows = 0;
        CHECK_GT(fields, 30u);
        for (; *at; rows++)
            CHECK_EQ(row_fields(&at), fields);
        CHECK_EQ(rows, sample_timeline(s)->thread_count);
        free(text);
        sample_free(s);
    }
}

TEST(csv_names_the_places) {
    struct sample *s = sample_make(SAMPLE_GIL);
    char *text = text_of(probe_write_csv, sample_report(s));
    CHECK_STR_HAS(text, "\r\nio,4245,4242,4242,");
    CHECK_STR_HAS(text, ",echo (app.py:40),echo (app.py:40),"
                        "socket.recv (socket.py:706): take_a_nap\r\n");
    free(text);
    sample_free(s);
}

/* ---- collapsed stacks ---- */

/* What the lines that begin so add up to. */
static uint64_t sum_lines(const char *text, const char *prefix) {
    uint64_t sum = 0;
    for (const char *at = text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        CHECK(end != NULL);
        const char *blank = end;
        while (blank > at && blank[-1] != ' ')
            blank--;
        CHECK_GT(end - blank, 0);
        CHECK_EQ(strspn(blank, "0123456789"), (size_t)(end - blank));
        size_t n = strlen(prefix);
        if (strncmp(at, prefix, n) == 0 && (at[n] == ';' || at[n] == ' '))
            sum += strtoull(blank, NULL, 10);
    }
    return sum;
}

static void check_near(uint64_t us, uint64_t ns, uint64_t most) {
    uint64_t want = ns / 1000, apart = us > want ? us - want : want - us;
    CHECK_MSG(apart <= most, "%" PRIu64 " us, not %" PRIu64, us, want);
}

TEST(collapsed_stacks_add_up) {
    struct sample *s = sample_make(SAMPLE_GIL);
    const struct probe_thread *io = &sample_timeline(s)->thread[3];
    char *text = text_of(probe_write_collapsed, sample_report(s));
    check_near(sum_lines(text, "io;holding"), io->state_ns[PROBE_STATE_HOLDS], 4);
    check_near(sum_lines(text, "io;waiting"), io->state_ns[PROBE_STATE_WAITS], 4);
    check_near(sum_lines(text, "io;blocked"), io->state_ns[PROBE_STATE_BLOCKED], 4);
    CHECK_STR_HAS(text, "\nio;waiting;Thread.run (threading.py:975);echo (app.py:40) ");
    CHECK_STR_HAS(text, "\nio;blocked;Thread.run (threading.py:975);echo (app.py:40);"
                        "socket.recv (socket.py:706);[take_a_nap] ");
    CHECK(!strstr(text, ";running"));
    free(text);
    sample_free(s);
}

TEST(collapsed_stacks_do_without_a_lock) {
    struct sample *s = sample_make(SAMPLE_THREADS);
    const struct probe_thread *x = &sample_timeline(s)->thread[1];
    char *text = text_of(probe_write_collapsed, sample_report(s));
    check_near(sum_lines(text, "worker-1;running"), x->state_ns[PROBE_STATE_ON], 4);
    check_near(sum_lines(text, "worker-1;runnable"), x->state_ns[PROBE_STATE_RUNNABLE], 4);
    CHECK(!strstr(text, ";holding"));
    free(text);
    sample_free(s);
}

TEST(collapsed_stacks_survive_any_name) {
    struct sample *s = sample_make(SAMPLE_EVIL);
    char *text = text_of(probe_write_collapsed, sample_report(s));
    sum_lines(text, "");
    for (const char *c = text; *c; c++)
        CHECK(*c == '\n' || (unsigned char)*c >= 0x20);
    free(text);
    sample_free(s);
}

/* ---- trace ---- */

struct track {
    int64_t pid, tid;
    double end_us, sum_us;
    const char *name;
};

static struct track *track_of(struct track *tracks, size_t *n, int64_t pid, int64_t tid) {
    for (size_t i = 0; i < *n; i++) {
        if (tracks[i].pid == pid && tracks[i].tid == tid)
            return &tracks[i];
    }
    CHECK_LT(*n, 100u);
    tracks[*n] = (struct track){pid, tid, 0, 0, NULL};
    return &tracks[(*n)++];
}

/* Adds an event of the trace. Spans of one track follow each other, and do not overlap. */
static void take_event(struct track *tracks, size_t *n, const json_t *e) {
    const char *phase = string(e, "ph");
    if (strcmp(phase, "C") == 0) {
        int64_t waiting = (int64_t)number(json_object_get(e, "args"), "threads");
        CHECK(waiting >= 0 && waiting < 64);
        return;
    }
    struct track *t = track_of(tracks, n, (int64_t)number(e, "pid"), (int64_t)number(e, "tid"));
    if (strcmp(phase, "X") == 0) {
        double ts = json_number_value(json_object_get(e, "ts"));
        double us = json_number_value(json_object_get(e, "dur"));
        CHECK_GE(ts, t->end_us - 0.0005);
        CHECK_GT(us, 0);
        t->end_us = ts + us;
        t->sum_us += us;
    } else {
        CHECK_STR_EQ(phase, "M");
        if (strcmp(string(e, "name"), "thread_name") == 0)
            t->name = string(json_object_get(e, "args"), "name");
    }
}

TEST(trace_has_a_track_a_thread_and_one_of_the_lock) {
    for (int kind = 0; kind < SAMPLE_KINDS; kind++) {
        struct sample *s = sample_make((enum sample_kind)kind);
        const struct probe_timeline *t = sample_timeline(s);
        struct track tracks[100];
        size_t n = 0, i, locks = 0;
        json_t *root = json_of(probe_write_trace, sample_report(s)), *e;
        json_array_foreach(json_object_get(root, "traceEvents"), i, e)
            take_event(tracks, &n, e);
        double held = 0;
        for (i = 0; i < t->thread_count; i++)
            held += (double)t->thread[i].state_ns[PROBE_STATE_HOLDS] / 1e3;
        for (i = 0; i < n; i++) {
            bool lock = tracks[i].name && strcmp(tracks[i].name, "GIL") == 0;
            locks += lock;
            CHECK(tracks[i].name || tracks[i].sum_us <= 0);
            if (lock)
                CHECK(tracks[i].sum_us > held - 1 && tracks[i].sum_us < held + 1);
        }
        CHECK_EQ(locks, t->lock_count);
        CHECK_GE(n, t->thread_count + locks);
        json_decref(root);
        sample_free(s);
    }
}

TEST(each_gil_has_a_track_of_its_own) {
    static char name[] = "worker";
    struct probe_thread threads[] = {{.tid = 100, .pid = 100, .name = name},
                                     {.tid = 200, .pid = 200, .name = name}};
    struct probe_lock locks[] = {{.takes = 1, .pid = 100}, {.takes = 1, .pid = 200}};
    /* They overlap, and a second thread of the first process begins before the first has ended. */
    struct probe_span spans[] = {{1000, 9000, 0, PROBE_STATE_HOLDS, 0, 0, 0},
                                 {2000, 12000, 1, PROBE_STATE_HOLDS, 1, 0, 1},
                                 {8000, 10000, 1, PROBE_STATE_HOLDS, 1, 0, 0},
                                 {12000, 15000, 1, PROBE_STATE_WAITS, -1, 0, 1},
                                 {13000, 15000, 0, PROBE_STATE_HOLDS, 1, 0, -1}};
    const struct probe_timeline t = {.begin_ns = 1000, .end_ns = 20000, .thread = threads,
                                     .thread_count = 2, .lock = locks, .lock_count = 2,
                                     .span = spans, .span_count = 5};
    const struct probe_report r = {.command = "gil", .timeline = &t, .pid = 100};
    struct track tracks[100];
    size_t n = 0, i, found = 0;
    json_t *root = json_of(probe_write_trace, &r), *e;
    json_array_foreach(json_object_get(root, "traceEvents"), i, e) {
        const char *cat = json_string_value(json_object_get(e, "cat"));
        if (!cat || strcmp(cat, "thread") != 0) /* threads' spans overlap here */
            take_event(tracks, &n, e);
    }
    for (i = 0; i < n; i++) {
        bool first = tracks[i].name && strcmp(tracks[i].name, "GIL of process 100") == 0;
        bool second = tracks[i].name && strcmp(tracks[i].name, "GIL of process 200") == 0;
        found += first || second;
        if (first)
            CHECK(tracks[i].pid == 100 && tracks[i].sum_us > 8.99 && tracks[i].sum_us < 9.01);
        if (second)
            CHECK(tracks[i].pid == 200 && tracks[i].sum_us > 9.99 && tracks[i].sum_us < 10.01);
    }
    CHECK_EQ(found, 2u);
    json_decref(root);
    root = json_of(probe_write_json, &r);
    CHECK_EQ(json_integer_value(json_array_get(
                 json_array_get(json_object_get(root, "spans"), 1), 6)), 1);
    CHECK_EQ(json_integer_value(json_array_get(
                 json_array_get(json_object_get(root, "spans"), 4), 6)), -1);
    json_decref(root);
}

/* ---- all of them ---- */

static writer *const writers[] = {probe_write_json, probe_write_csv, probe_write_collapsed,
                                  probe_write_trace};

TEST(a_full_disk_is_noticed) {
    struct sample *s = sample_make(SAMPLE_GIL);
    for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
        char buffer[64];
        FILE *f = fopen("/dev/full", "we");
        CHECK(f != NULL);
        setvbuf(f, buffer, _IOFBF, sizeof(buffer));
        CHECK_ERR(writers[i](f, sample_report(s)), -EIO);
        fclose(f);
    }
    sample_free(s);
}

TEST(what_is_not_known_is_left_out) {
    struct probe_timeline t = {0};
    const struct probe_report r = {.command = "threads", .timeline = &t, .pid = 77};
    for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
        free(text_of(writers[i], &r));
}

/* ---- the files of a command ---- */

static char folder[] = "/tmp/heddle-outputs-XXXXXX";

static bool is_empty(void) {
    return rmdir(folder) == 0 && mkdir(folder, 0700) == 0;
}

TEST(files_are_whole_or_not_there) {
    static const char *const names[PROBE_OUTPUTS] = {"a.json", "a.csv", "a.col", "a.trace",
                                                     "a.html"};
    struct sample *s = sample_make(SAMPLE_GIL);
    struct probe_outputs o = {.command = "heddle gil"};
    char path[PROBE_OUTPUTS][64];
    bool text;
    CHECK(mkdtemp(folder) != NULL);
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%s", folder, names[i]);
        CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + i, path[i]), 0);
    }
    CHECK(!probe_outputs_take_stdout(&o));
    CHECK_EQ(probe_outputs_open(&o), 0);
    CHECK_ERR(access(path[0], F_OK), -1);
    probe_outputs_close(&o);
    CHECK(is_empty());
    CHECK_EQ(probe_outputs_open(&o), 0);
    CHECK_EQ(probe_outputs_write(&o, sample_report(s), &text), 0);
    CHECK(text);
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        struct stat st;
        CHECK_EQ(stat(path[i], &st), 0);
        CHECK_GT(st.st_size, 500);
        CHECK_EQ(unlink(path[i]), 0);
    }
    CHECK_EQ(rmdir(folder), 0);
    sample_free(s);
}

TEST(two_files_of_one_name_are_refused) {
    struct probe_outputs o = {.command = "heddle gil"};
    CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + PROBE_OUTPUT_CSV, "-"), 0);
    CHECK(probe_outputs_take_stdout(&o));
    CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + PROBE_OUTPUT_CSV, "a"), 0); /* the last */
    CHECK(!probe_outputs_take_stdout(&o));
    CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + PROBE_OUTPUT_HTML, "a"), LAB_EXIT_USAGE);
    CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + PROBE_OUTPUT_HTML, ""), LAB_EXIT_USAGE);
}

TEST(a_file_that_cannot_be_written_is_complained_about) {
    struct sample *s = sample_make(SAMPLE_GIL);
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        struct probe_outputs o = {.command = "heddle gil"};
        bool text;
        CHECK_EQ(probe_outputs_name(&o, PROBE_OPT_OUTPUT + i, "/dev/full"), 0);
        CHECK_EQ(probe_outputs_open(&o), 0);
        CHECK_EQ(probe_outputs_write(&o, sample_report(s), &text), LAB_EXIT_UNMEASURED);
        probe_outputs_close(&o);
    }
    sample_free(s);
}
