/* SPDX-License-Identifier: MIT */
/* The live view on a terminal, by ncurses.
 *
 * The library is opened when the view is asked for, not linked: heddle forks itself to measure
 * commands (lab/subject/command.h), and what every command loads would count as memory of theirs.
 * Its header says at build time what the functions are; without it, or without the library, the
 * view is a table that is printed again and again (live.c). */
#include "probe/live_view.h"

#include <stdlib.h>
#include <string.h>

#ifdef HEDDLE_HAVE_CURSES

#define NCURSES_NOMACROS 1
#define NCURSES_OPAQUE 1
#include <curses.h>
#include <dlfcn.h>
#include <unistd.h>

/* What is used of the library. */
#define FUNCTIONS(X)                                                                               \
    X(newterm) X(set_term) X(delscreen) X(endwin) X(cbreak) X(noecho) X(curs_set) X(newwin)        \
    X(delwin) X(keypad) X(wtimeout) X(wgetch) X(werase) X(wmove) X(waddnstr) X(wattrset)           \
    X(wrefresh) X(clearok) X(getmaxx) X(getmaxy) X(has_colors) X(start_color)                      \
    X(use_default_colors) X(init_pair) X(set_escdelay) X(COLOR_PAIR)

struct library {
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
};

struct live_curses {
    struct library lib;
    void *handle;
    SCREEN *screen;
    WINDOW *window;
    FILE *out, *in;
    bool colours;
};

static bool load(struct live_curses *c, const char **why) {
    c->handle = dlopen("libncursesw.so.6", RTLD_NOW | RTLD_LOCAL);
    if (!c->handle) {
        *why = "libncursesw.so.6 is not there (Debian: libncursesw6)";
        return false;
    }
    void *found;
#define FIND(name)                                                                                 \
    found = dlsym(c->handle, #name);                                                               \
    memcpy(&c->lib.name, &found, sizeof(found));                                                   \
    if (!found)                                                                                    \
        *why = "this ncurses lacks " #name "()";
    FUNCTIONS(FIND)
#undef FIND
    return *why == NULL;
}

/* A colour for each state, as the pages have them. */
static void set_colours(struct live_curses *c) {
    static const short colours[PROBE_STATES] = {
        [PROBE_STATE_NONE] = -1,
        [PROBE_STATE_HOLDS] = COLOR_BLUE,
        [PROBE_STATE_HOLDS_OFF] = COLOR_MAGENTA,
        [PROBE_STATE_WAITS] = COLOR_RED,
        [PROBE_STATE_ON] = COLOR_GREEN,
        [PROBE_STATE_RUNNABLE] = COLOR_YELLOW,
        [PROBE_STATE_BLOCKED] = -1,
    };
    const char *none = getenv("NO_COLOR");
    if ((none && *none) || !c->lib.has_colors())
        return;
    c->lib.start_color();
    c->lib.use_default_colors();
    for (short s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++)
        c->lib.init_pair(s, colours[s] < 0 ? -1 : COLOR_BLACK, colours[s]);
    c->colours = true;
}

static bool start(struct live_curses *c, int fd, const char **why) {
    int again = dup(fd), other = dup(fd);
    c->out = again < 0 ? NULL : fdopen(again, "w");
    c->in = other < 0 ? NULL : fdopen(other, "r");
    if (c->out && c->in)
        c->screen = c->lib.newterm(NULL, c->out, c->in);
    if (!c->screen) {
        *why = "the terminal is of a kind that ncurses does not know (TERM)";
        return false;
    }
    c->lib.set_term(c->screen);
    c->lib.set_escdelay(25);
    c->lib.cbreak();
    c->lib.noecho();
    c->lib.curs_set(0);
    c->window = c->lib.newwin(0, 0, 0, 0);
    c->lib.keypad(c->window, TRUE);
    c->lib.wtimeout(c->window, 0);
    set_colours(c);
    return true;
}

struct live_curses *live_curses_open(int fd, const char **why) {
    struct live_curses *c = lab_alloc(1, sizeof(*c));
    *why = NULL;
    if (load(c, why) && start(c, fd, why))
        return c;
    live_curses_close(c);
    return NULL;
}

void live_curses_size(struct live_curses *c, size_t *columns, size_t *rows) {
    int x = c->lib.getmaxx(c->window), y = c->lib.getmaxy(c->window);
    *columns = x > 0 ? (size_t)x : 1;
    *rows = y > 0 ? (size_t)y : 1;
}

static int attribute(const struct live_curses *c, int look) {
    switch (look) {
    case LIVE_PLAIN:
        return A_NORMAL;
    case LIVE_BOLD:
        return A_BOLD;
    case LIVE_DIM:
        return A_DIM;
    case LIVE_STATE + PROBE_STATE_BLOCKED:
        return A_DIM;
    default:
        return c->colours ? c->lib.COLOR_PAIR(look - LIVE_STATE) : (int)A_NORMAL;
    }
}

void live_curses_show(struct live_curses *c, const struct live_line *line, size_t lines) {
    size_t columns, rows;
    live_curses_size(c, &columns, &rows);
    c->lib.werase(c->window);
    for (size_t y = 0; y < lines && y < rows; y++) {
        const struct live_line *l = &line[y];
        /* Not into the last column of the last row: that would scroll on some terminals. */
        size_t room = columns - (y + 1 == rows);
        size_t end = l->text.data ? lab_fit(l->text.data, room, NULL) : 0;
        c->lib.wmove(c->window, (int)y, 0);
        for (size_t i = 0; i < end;) {
            size_t n = 1;
            while (i + n < end && l->look.data[i + n] == l->look.data[i])
                n++;
            c->lib.wattrset(c->window, attribute(c, l->look.data[i]));
            c->lib.waddnstr(c->window, l->text.data + i, (int)n);
            i += n;
        }
        c->lib.wattrset(c->window, A_NORMAL);
    }
    c->lib.wrefresh(c->window);
}

int live_curses_key(struct live_curses *c) {
    int key = c->lib.wgetch(c->window);
    if (key == KEY_RESIZE) {
        c->lib.delwin(c->window);
        c->window = c->lib.newwin(0, 0, 0, 0);
        c->lib.keypad(c->window, TRUE);
        c->lib.wtimeout(c->window, 0);
        c->lib.clearok(c->window, TRUE);
        return LIVE_KEY_SIZE;
    }
    return key == ERR ? -1 : key == KEY_UP ? LIVE_KEY_UP : key == KEY_DOWN ? LIVE_KEY_DOWN : key;
}

void live_curses_close(struct live_curses *c) {
    if (!c)
        return;
    if (c->screen) {
        c->lib.delwin(c->window);
        c->lib.curs_set(1);
        c->lib.endwin();
        c->lib.delscreen(c->screen);
    }
    if (c->out)
        fclose(c->out);
    if (c->in)
        fclose(c->in);
    free(c); /* the library stays: its signal handlers may still be in use */
}

#else

struct live_curses *live_curses_open(int fd, const char **why) {
    (void)fd;
    *why = "heddle was built without ncurses (Debian: libncurses-dev)";
    return NULL;
}

void live_curses_size(struct live_curses *c, size_t *columns, size_t *rows) {
    (void)c;
    *columns = 80;
    *rows = 24;
}

void live_curses_show(struct live_curses *c, const struct live_line *line, size_t lines) {
    (void)c;
    (void)line;
    (void)lines;
}

int live_curses_key(struct live_curses *c) {
    (void)c;
    return -1;
}

void live_curses_close(struct live_curses *c) {
    (void)c;
}

#endif
