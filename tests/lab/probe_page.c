/* SPDX-License-Identifier: MIT */
/* Writes a report of a program that never ran: probe-page KIND FORM FILE; or watches it live:
 * probe-page KIND live SECONDS, which says something on standard output as a launched command
 * would; with "goes-on" in the place of "live" a child says more two seconds later. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe_sample.h"

static const char *const kinds[SAMPLE_KINDS] = {"gil", "many", "threads", "evil", "empty"};

static const struct {
    const char *name;
    int (*write)(FILE *f, const struct probe_report *r);
} forms[] = {{"json", probe_write_json},   {"csv", probe_write_csv},
             {"trace", probe_write_trace}, {"collapsed", probe_write_collapsed},
             {"html", probe_write_html}};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

/* ---- live: events as they come from two threads that take turns, and one that sleeps ---- */

static struct probe_timeline *timeline;
static uint64_t at_ns;

static void event(enum probe_kind kind, int tid, uint64_t value, const char *text) {
    const struct probe_event e = {.ns = at_ns, .tid = tid, .pid = 4242, .kind = (uint8_t)kind,
                                  .lock = kind == PROBE_TAKE ? 0 : PROBE_NO_LOCK, .cpu = tid % 2,
                                  .value = value, .text = text};
    probe_timeline_event(timeline, &e);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(void) {
    static const char *const names[] = {"main", "first", "second"};
    timeline = probe_timeline_new(100, 10000);
    at_ns = now_ns();
    for (int i = 0; i < 3; i++) {
        event(PROBE_THREAD, 4242 + i, 0, NULL);
        event(PROBE_NAME, 4242 + i, 0, names[i]);
        event(PROBE_ON, 4242 + i, 0, NULL);
    }
    event(PROBE_TAKE, 4243, 1, NULL);
    event(PROBE_OFF, 4242, 0, NULL);
    event(PROBE_OFF, 4244, 0, NULL);
}

/* The other one takes it. */
static void take_turns(void) {
    static uint64_t number = 1;
    int tid = ++number % 2 ? 4243 : 4244;
    at_ns = now_ns();
    event(PROBE_ON, tid, 0, NULL);
    event(PROBE_TAKE, tid, number, NULL);
    event(PROBE_OFF, tid == 4243 ? 4244 : 4243, 0, NULL);
}

/* What is "launched" writes when it is too late for the view. */
static void go_on(void) {
    const struct timespec pause = {2, 0};
    if (fork() != 0)
        return;
    nanosleep(&pause, NULL);
    _exit(write(STDOUT_FILENO, "said afterwards\n", 16) != 16);
}

static int live(const struct sample *s, double seconds, bool goes_on) {
    const struct timespec pause = {0, 20000000};
    const char *word = "how it ended: by itself\n";
    struct probe_report r = *sample_report(s);
    struct probe_live *view;
    if (probe_live_open(true, &view) != 0)
        return 3;
    if (write(STDOUT_FILENO, "said meanwhile\n", 15) != 15)
        return 3;
    if (goes_on)
        go_on();
    begin();
    r.timeline = timeline;
    r.books = NULL;
    for (int i = 0; i < seconds * 50; i++) {
        take_turns();
        if (!probe_live_step(view, &r, timeline)) {
            word = "how it ended: by the user\n";
            break;
        }
        nanosleep(&pause, NULL);
    }
    probe_live_close(view);
    probe_timeline_free(timeline);
    fputs(word, stdout);
    return 0;
}

int main(int argc, char **argv) {
    int kind = 0;
    size_t form = 0;
    while (argc == 4 && kind < SAMPLE_KINDS && strcmp(kinds[kind], argv[1]) != 0)
        kind++;
    while (argc == 4 && form < FORMS && strcmp(forms[form].name, argv[2]) != 0)
        form++;
    setlocale(LC_ALL, "");
    bool goes_on = argc == 4 && strcmp(argv[2], "goes-on") == 0;
    if (argc == 4 && kind < SAMPLE_KINDS && (goes_on || strcmp(argv[2], "live") == 0)) {
        struct sample *s = sample_make((enum sample_kind)kind);
        int status = live(s, strtod(argv[3], NULL), goes_on);
        sample_free(s);
        return status;
    }
    if (argc != 4 || kind == SAMPLE_KINDS || form == FORMS) {
        fputs("usage: probe-page gil|many|threads|evil|empty "
              "json|csv|trace|collapsed|html FILE\n", stderr);
        return 2;
    }
    FILE *f = fopen(argv[3], "w");
    if (!f) {
        perror(argv[3]);
        return 1;
    }
    struct sample *s = sample_make((enum sample_kind)kind);
    int error = forms[form].write(f, sample_report(s));
    sample_free(s);
    return fclose(f) != 0 || error != 0;
}
