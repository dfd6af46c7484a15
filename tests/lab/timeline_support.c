/* SPDX-License-Identifier: MIT */
/* Made-up events for tests of the timeline. */
#include "timeline_support.h"

static const uint64_t start_ns = 1000000000;

struct probe_timeline *timeline;

void begin(void) {
    timeline = probe_timeline_new(1000, 1000);
    probe_timeline_interval(timeline, INTERVAL);
}

uint64_t at(double us) {
    return start_ns + (uint64_t)(us * 1000);
}

void send(struct probe_event e, double us) {
    e.ns = at(us);
    e.pid = MAIN;
    probe_timeline_event(timeline, &e);
}

void on(double us, int tid) {
    send((struct probe_event){.kind = PROBE_ON, .tid = tid, .cpu = tid % 2, .lock = -1}, us);
}

void off(double us, int tid) {
    send((struct probe_event){.kind = PROBE_OFF, .tid = tid, .cpu = -1, .lock = -1}, us);
}

void preempt(double us, int tid) {
    send(
        (struct probe_event){
            .kind = PROBE_OFF, .tid = tid, .preempted = true, .cpu = -1, .lock = -1},
        us);
}

void take(double us, int tid) {
    send((struct probe_event){.kind = PROBE_TAKE, .tid = tid, .cpu = -1}, us);
}

void sample(double us, int holder) {
    send((struct probe_event){.kind = PROBE_HOLDER, .tid = holder, .cpu = -1}, us);
}

void look_lock(double us, int tid, uint32_t stack) {
    send(
        (struct probe_event){
            .kind = PROBE_LOOK, .tid = tid, .doing = PROBE_ON_FUTEX, .cpu = -1, .stack = stack},
        us);
}

void look_call(double us, int tid, uint64_t call) {
    send((struct probe_event){.kind = PROBE_LOOK,
                              .tid = tid,
                              .doing = PROBE_IN_CALL,
                              .cpu = -1,
                              .lock = -1,
                              .value = call},
         us);
}

void look_runs(double us, int tid, uint32_t stack) {
    send((struct probe_event){.kind = PROBE_LOOK,
                              .tid = tid,
                              .doing = PROBE_RUNS,
                              .cpu = -1,
                              .lock = -1,
                              .stack = stack},
         us);
}

void exact(double us, int tid, enum probe_kind kind) {
    send((struct probe_event){.kind = kind, .tid = tid, .cpu = -1}, us);
}

void name(double us, int tid, const char *text) {
    send((struct probe_event){.kind = PROBE_NAME, .tid = tid, .text = text, .lock = -1}, us);
}

void turn(double us, int from, int to) {
    off(us + 10, to);
    on(us + 5010, to);    /* an interval over: it asks */
    off(us + 5015, to);   /* and waits on */
    off(us + 5030, from); /* has let go, waits until the other has it */
    on(us + 5060, to);
    take(us + 5062, to);
    on(us + 5080, from); /* to go for the lock at once */
}

void convoy(bool looks) {
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 0; i < 50; i++) {
        double us = 1 + i * 10000;
        on(us, OTHER); /* a request came */
        off(us + 5, OTHER);
        if (looks) {
            for (int k = 0; k < 5; k++)
                look_lock(us + 500 + k * 1000, OTHER, 7);
        }
        on(us + 5010, OTHER);
        off(us + 5015, OTHER);
        off(us + 5030, MAIN);
        on(us + 5060, OTHER);
        take(us + 5062, OTHER);
        on(us + 5080, MAIN); /* has been forced, goes to wait */
        off(us + 5085, MAIN);
        off(us + 5112, OTHER); /* lets go, and waits for the next request */
        on(us + 5140, MAIN);
        take(us + 5142, MAIN);
        if (looks) {
            for (int k = 0; k < 4; k++)
                look_call(us + 5600 + k * 1000, OTHER, 45);
        }
    }
}
