/* SPDX-License-Identifier: MIT */
/* The parts of a watch that need no target: order, the table of threads, the files of /proc. */
#include "test.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/watch_inside.h"

struct taken {
    uint64_t ns[16];
    int count;
    char text[16];
};

static void take(void *arg, const struct probe_event *e) {
    struct taken *t = arg;
    t->ns[t->count++] = e->ns;
    if (e->text)
        snprintf(t->text, sizeof(t->text), "%s", e->text);
}

TEST(events_go_in_order) {
    struct probe_order o = {0};
    struct taken t = {0};
    static const uint64_t come[] = {50, 10, 30, 20, 40};
    for (int i = 0; i < 5; i++) {
        char text[8] = "name";
        struct probe_event e = {.ns = come[i], .text = come[i] == 30 ? text : NULL};
        probe_order_add(&o, &e);
        text[0] = '?'; /* it was copied */
    }
    probe_order_release(&o, 30, take, &t);
    CHECK_EQ(t.count, 3);
    CHECK(t.ns[0] == 10 && t.ns[1] == 20 && t.ns[2] == 30);
    CHECK(strcmp(t.text, "name") == 0);
    struct probe_event late = {.ns = 5};
    probe_order_add(&o, &late);
    probe_order_release(&o, UINT64_MAX, take, &t);
    CHECK_EQ(t.count, 6);
    CHECK_EQ(t.ns[3], 30u); /* time stood still for the one that was late */
    CHECK_EQ(t.ns[5], 50u);
    CHECK_EQ(o.late, 1u);
    probe_order_free(&o);
}

TEST(stat_files_are_read) {
    struct probe_task_stat s;
    char good[] = "12 (a) R (b) S 1 12 12 0 -1 4194304 10 0 0 0 7 8 0 0 20 0 1 0 100 1 1 1 1 1 1 "
                  "1 1 0 0 0 0 0 0 0 17 3 0 0\n";
    CHECK(probe_task_stat_parse(good, &s));
    CHECK(strcmp(s.name, "a) R (b") == 0);
    CHECK_EQ(s.state, 'S');
    CHECK_EQ(s.flags, 4194304u);
    CHECK_EQ(s.user_ticks, 7u);
    CHECK_EQ(s.system_ticks, 8u);
    CHECK_EQ(s.cpu, 3);
    static const char *const bad[] = {"", "12", "12 (a", "12 (a)", "12 (a) S 1 2", ")( S 1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s", bad[i]);
        CHECK_MSG(!probe_task_stat_parse(text, &s), "%s", bad[i]);
    }
}

static struct probe_seen seen(const char *text, bool bits32) {
    struct probe_call call;
    struct probe_seen s;
    CHECK_OK(probe_call_parse(text, &call));
    probe_seen_of(&call, bits32, &s);
    return s;
}

TEST(calls_are_told_from_futexes) {
    char text[128];
    CHECK_EQ(seen("running\n", false).doing, PROBE_RUNS);
    CHECK_EQ(seen("-1 0x7ffd 0x55\n", false).doing, PROBE_RUNS);
    snprintf(text, sizeof(text), "%d 0x7f10 0x80 0x2 0x0 0x0 0xffffffff 0x7ffd 0x7fff\n",
             SYS_futex);
    CHECK_EQ(seen(text, false).doing, PROBE_ON_FUTEX);
    CHECK_EQ(seen(text, false).value, 0x7f10u);
    CHECK_EQ(seen("1 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n", false).doing, PROBE_IN_CALL);
    CHECK_EQ(seen("1 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n", false).value, 1u);
    /* The calls of 32-bit programs have other numbers. */
    CHECK_EQ(seen("240 0x1f 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n", true).doing, PROBE_ON_FUTEX);
    CHECK_EQ(seen("240 0x1f 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n", true).value, 0x1fu);
    CHECK_EQ(seen("1 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n", true).doing, PROBE_NOT_KNOWN);
}

TEST(tasks_come_and_go) {
    struct probe_tasks t = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i <= 1000; i++)
            CHECK_EQ(probe_tasks_add(&t, 7, i * 3)->tid, i * 3);
        CHECK_EQ(t.count, 1000u);
        for (int i = 1; i <= 1000; i++) {
            struct probe_task *task = probe_tasks_find(&t, i * 3);
            CHECK(task != NULL && probe_tasks_find(&t, i * 3 + 1) == NULL);
            if (i % 100 != 0)
                probe_tasks_remove(&t, task);
        }
        CHECK_EQ(t.count, 10u);
        CHECK(probe_tasks_find(&t, 300) != NULL);
    }
    probe_tasks_free(&t);
}

/* ---- a ring as the kernel fills it ---- */

struct ring {
    struct probe_ring r;
    struct probe_record got[64];
    size_t count;
};

static void make_ring(struct ring *t, uint64_t at) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *t = (struct ring){.r = {.bytes = page}};
    t->r.base = calloc(2, page);
    struct perf_event_mmap_page *meta = t->r.base;
    meta->data_head = meta->data_tail = at;
}

static void put(struct ring *t, uint32_t type, uint16_t misc, const void *body, size_t size) {
    struct perf_event_mmap_page *meta = t->r.base;
    struct perf_event_header h = {.type = type, .misc = misc, .size = (uint16_t)(sizeof(h) + size)};
    char whole[256];
    memcpy(whole, &h, sizeof(h));
    memcpy(whole + sizeof(h), body, size);
    for (size_t i = 0; i < h.size; i++) {
        char *data = (char *)t->r.base + t->r.bytes;
        data[(meta->data_head + i) % t->r.bytes] = whole[i];
    }
    meta->data_head += h.size;
}

static void get(void *arg, const struct probe_record *r) {
    struct ring *t = arg;
    CHECK_LT(t->count, 64u);
    t->got[t->count++] = *r;
}

/* What all records end in. */
struct tail {
    uint32_t pid, tid;
    uint64_t ns;
    uint32_t cpu, reserved;
};
static const struct tail tail = {.pid = 7, .tid = 8, .ns = 99, .cpu = 1};

TEST(records_are_read_across_the_end_of_a_ring) {
    /* The first record begins 8, 16, ... bytes before the end. */
    for (size_t before = 8; before <= 64; before += 8) {
        struct ring t;
        make_ring(&t, (uint64_t)sysconf(_SC_PAGESIZE) * 5 - before);
        put(&t, PERF_RECORD_SWITCH, 0, &tail, sizeof(tail));
        put(&t, PERF_RECORD_SWITCH,
            PERF_RECORD_MISC_SWITCH_OUT | PERF_RECORD_MISC_SWITCH_OUT_PREEMPT, &tail, sizeof(tail));
        probe_ring_drain(&t.r, get, &t);
        probe_ring_drain(&t.r, get, &t); /* there is nothing more */
        CHECK_EQ(t.count, 2u);
        CHECK(t.got[0].kind == PROBE_RECORD_ON && t.got[1].kind == PROBE_RECORD_OFF);
        CHECK(t.got[1].preempted && t.got[1].tid == 8 && t.got[1].ns == 99 && t.got[1].cpu == 1);
        free(t.r.base);
    }
}

TEST(each_kind_of_record_is_read) {
    struct ring t;
    make_ring(&t, 0);
    struct {
        uint32_t pid, tid;
        uint64_t ns, address;
        uint32_t cpu, reserved;
    } sample = {.pid = 7, .tid = 8, .ns = 5, .address = 0xabc, .cpu = 1};
    struct {
        uint32_t pid, ppid, tid, ptid;
        uint64_t ns;
        struct tail tail;
    } task = {.pid = 7, .ppid = 6, .tid = 9, .ptid = 8, .ns = 99, .tail = tail};
    struct {
        uint32_t pid, tid;
        char name[8];
        struct tail tail;
    } name = {.pid = 7, .tid = 9, .name = "worker", .tail = tail};
    struct {
        uint64_t id, lost;
        struct tail tail;
    } lost = {.id = 3, .lost = 12, .tail = tail};
    put(&t, PERF_RECORD_SAMPLE, 0, &sample, sizeof(sample));
    put(&t, PERF_RECORD_FORK, 0, &task, sizeof(task));
    put(&t, PERF_RECORD_COMM, 0, &name, sizeof(name));
    put(&t, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC, &name, sizeof(name));
    put(&t, PERF_RECORD_MMAP, 0, &lost, sizeof(lost)); /* of no interest */
    put(&t, PERF_RECORD_EXIT, 0, &task, sizeof(task));
    put(&t, PERF_RECORD_LOST, 0, &lost, sizeof(lost));
    put(&t, PERF_RECORD_SWITCH, 0, &tail, 8); /* too short */
    probe_ring_drain(&t.r, get, &t);
    static const enum probe_record_kind wanted[] = {PROBE_RECORD_WRITE, PROBE_RECORD_FORK,
                                                    PROBE_RECORD_NAME,  PROBE_RECORD_EXEC,
                                                    PROBE_RECORD_EXIT,  PROBE_RECORD_LOST};
    CHECK_EQ(t.count, 6u);
    for (size_t i = 0; i < 6; i++)
        CHECK_EQ(t.got[i].kind, wanted[i]);
    CHECK(t.got[0].value == 0xabc && t.got[0].ns == 5 && t.got[0].tid == 8);
    CHECK(t.got[1].tid == 9 && t.got[1].value == 8 && t.got[1].parent == 6);
    CHECK(t.got[2].tid == 9 && strcmp(t.got[2].text, "worker") == 0);
    CHECK_EQ(t.got[5].value, 12u);
    free(t.r.base);
}
