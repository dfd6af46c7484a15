/* SPDX-License-Identifier: MIT */
/* The parts of the live view: what it shows, as lines (live_view.c), and ncurses, which shows them
 * (live_curses.c). */
#ifndef HEDDLE_LAB_PROBE_LIVE_VIEW_H
#define HEDDLE_LAB_PROBE_LIVE_VIEW_H

#include "probe/output.h"
#include "text.h"

/* How a piece of a line looks. Those of states follow: LIVE_STATE + the state. */
enum live_look { LIVE_PLAIN, LIVE_BOLD, LIVE_DIM, LIVE_STATE };

struct live_line {
    struct lab_text text;
    struct lab_text look; /* of each byte of the text */
};

enum live_order { LIVE_BY_HOLDS, LIVE_BY_WAITS, LIVE_BY_NAME, LIVE_BY_AGE, LIVE_ORDERS };

/* What there was at some moment, to tell what has happened since. */
struct live_past {
    uint64_t ns;
    uint64_t takes, forced;
    uint64_t (*state_ns)[PROBE_STATES]; /* of each thread */
    uint64_t *thread_takes;
    size_t threads;
};

struct live_view {
    struct live_past past, next; /* `next` becomes `past` when time goes on */
    bool total;            /* since the beginning, not since `past` */
    bool paused;
    enum live_order order;
    size_t first;          /* the first thread that is shown */
    struct live_line *line;
    size_t lines;
};

/* Makes the lines of a screen of so many columns and rows. */
void live_view_make(struct live_view *v, const struct probe_report *r, uint64_t now_ns,
                    size_t columns, size_t rows);
/* Time has gone on: what is shown has happened since the last call, until the next one. */
void live_view_mark(struct live_view *v, const struct probe_timeline *t, uint64_t now_ns);
/* Acts on a key; false: the user wants to end. */
bool live_view_key(struct live_view *v, int key);
void live_view_free(struct live_view *v);

/* Keys that are no characters. */
enum { LIVE_KEY_UP = 0x1000, LIVE_KEY_DOWN, LIVE_KEY_SIZE };

struct live_curses;

/* NULL, if ncurses is not there or cannot use the terminal `fd`; *why then says so. */
struct live_curses *live_curses_open(int fd, const char **why);
void live_curses_size(struct live_curses *c, size_t *columns, size_t *rows);
void live_curses_show(struct live_curses *c, const struct live_line *line, size_t lines);
/* A key, or -1. */
int live_curses_key(struct live_curses *c);
void live_curses_close(struct live_curses *c);

#endif
