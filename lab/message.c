/* SPDX-License-Identifier: MIT */
/* What the command says on standard error. */
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SILENT_S = 2,       /* work shorter than this needs no progress */
    PLAIN_EVERY_S = 10, /* between two lines where they cannot be rewritten */
    LINE_WIDTH = 79,    /* one less than the terminal, which would wrap at the last column */
};
static const double redraw_every_s = 0.1;

static struct {
    bool enabled, terminal, shown;
    double since_s, last_s;
} progress;

double lab_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void lab_complain(const char *fmt, ...) {
    va_list args;
    lab_progress_hide();
    fputs("heddle: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void lab_progress_start(bool quiet) {
    const char *term = getenv("TERM");
    progress.enabled = !quiet;
    progress.terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    progress.shown = false;
    progress.since_s = lab_now_s();
    progress.last_s = 0;
}

void lab_progress(const char *fmt, ...) {
    if (!progress.enabled)
        return;
    double now = lab_now_s();
    if (now - progress.since_s < SILENT_S)
        return;
    double pause = progress.terminal ? redraw_every_s : PLAIN_EVERY_S;
    if (now - progress.last_s < pause && (progress.shown || !progress.terminal))
        return;
    progress.last_s = now;

    char line[LINE_WIDTH + 1];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (progress.terminal) {
        fprintf(stderr, "\r%s\033[K", line);
        progress.shown = true;
    } else {
        fprintf(stderr, "heddle: %s\n", line);
    }
    fflush(stderr);
}

void lab_progress_hide(void) {
    if (!progress.shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress.shown = false;
}
