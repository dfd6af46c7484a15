/* SPDX-License-Identifier: MIT */
/* The live view: when it is refreshed, where it is shown, and what becomes of the output of a
 * command that was launched meanwhile.
 *
 * That command would write into the picture, so its standard output and error, where they are the
 * terminal, are a file until the view ends; then the terminal gets them. A pipe would be simpler to
 * show as it comes, but ends the command if we die, and stops it if we are slow: a file does
 * neither. The file has no name, so that nothing of it stays if we are killed; it gets one when the
 * view ends and the command goes on. */
#include "probe/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "probe/live_view.h"
#include "subject/interrupt.h"

static const uint64_t refresh_ns = 500000000, refresh_plain_ns = 2000000000;

struct probe_live {
    struct live_view view;
    struct live_curses *curses; /* NULL: printed */
    int terminal;               /* where it is shown */
    int kept[3];                /* what 0, 1 and 2 were; -1: still are */
    int file;                   /* what 1 and 2 are meanwhile; -1: none */
    char *path;                 /* of that */
    bool named;                 /* it is there by that name: the file system knows no others */
    uint64_t shown_ns;
};

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- the launched command's output ---- */

static int make_file(struct probe_live *l) {
    const char *folder = getenv("TMPDIR");
    folder = folder && *folder ? folder : "/tmp";
    l->file = open(folder, O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    if (l->file >= 0) {
        l->path = lab_format("%s/heddle-live-%d", folder, (int)getpid());
        return 0;
    }
    l->path = lab_format("%s/heddle-live-XXXXXX", folder);
    l->file = mkostemp(l->path, O_APPEND | O_CLOEXEC);
    l->named = true;
    if (l->file < 0) {
        int error = errno;
        lab_complain("--live cannot keep the command's output in '%s': %s (TMPDIR says where)",
                     l->path, strerror(error));
        free(l->path);
        l->path = NULL;
        return -error;
    }
    lab_interrupt_remove(l->path);
    return 0;
}

/* Another description of the file. */
static int open_again(const struct probe_live *l, int flags) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", l->file);
    return open(path, flags | O_CLOEXEC);
}

/* Gives the file a name. */
static int name_file(struct probe_live *l) {
    char path[64];
    if (l->named)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", l->file);
    for (int i = 0; i < 100; i++) {
        if (linkat(AT_FDCWD, path, AT_FDCWD, l->path, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        if (errno != EEXIST)
            break;
        char *next = lab_format("%s+", l->path);
        free(l->path);
        l->path = next;
    }
    return -errno;
}

static void replace(struct probe_live *l, int fd, int by) {
    l->kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (l->kept[fd] >= 0)
        dup2(by, fd);
}

static int divert(struct probe_live *l) {
    int error = isatty(1) || isatty(2) ? make_file(l) : 0;
    if (error)
        return error;
    /* The command gets a description of its own: whether it still has it can be asked. */
    int write_to = l->file >= 0 ? open_again(l, O_WRONLY | O_APPEND) : -1;
    fflush(stdout);
    for (int fd = 1; fd <= 2 && write_to >= 0; fd++) {
        if (isatty(fd))
            replace(l, fd, write_to);
    }
    if (write_to >= 0)
        close(write_to);
    int nothing = isatty(0) ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    if (nothing >= 0) { /* keys are for the view */
        replace(l, 0, nothing);
        close(nothing);
    }
    return 0;
}

static void put_back(struct probe_live *l) {
    fflush(stdout);
    fflush(stderr);
    for (int fd = 0; fd < 3; fd++) {
        if (l->kept[fd] >= 0) {
            dup2(l->kept[fd], fd);
            close(l->kept[fd]);
        }
    }
}

/* Whether somebody else can still write to the file: then there is no lease to be had. Whoever was
 * interrupted with us gets a moment to end. */
static bool goes_on(const struct probe_live *l) {
    const struct timespec pause = {0, 10000000};
    for (int i = 0; i < 25; i++) {
        if (fcntl(l->file, F_SETLEASE, F_WRLCK) == 0 || errno != EAGAIN)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Shows what was written meanwhile. The file stays where the command still writes to it. */
static void show_output(struct probe_live *l) {
    char buffer[16384];
    ssize_t n;
    off_t at = 0;
    if (l->file < 0)
        return;
    bool stays = goes_on(l);
    while ((n = pread(l->file, buffer, sizeof(buffer), at)) > 0) {
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(STDOUT_FILENO, buffer + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR)
                w = 0;
            else if (w < 0)
                break;
        }
        at += n;
    }
    if (l->named)
        lab_interrupt_keep(l->path);
    int error = stays ? name_file(l) : 0;
    if (error)
        lab_complain("the command goes on; what it writes from now on is lost: '%s': %s", l->path,
                     strerror(-error));
    else if (stays)
        lab_complain("the command goes on; what it writes from now on is in '%s'", l->path);
    else if (l->named)
        unlink(l->path);
    close(l->file);
    free(l->path);
}

/* ---- opening and closing ---- */

int probe_live_open(bool launch, struct probe_live **out) {
    struct probe_live *l = lab_alloc(1, sizeof(*l));
    const char *why = NULL;
    *out = NULL;
    *l = (struct probe_live){.kept = {-1, -1, -1}, .file = -1, .shown_ns = now()};
    l->terminal = fcntl(isatty(STDOUT_FILENO) ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    if (l->terminal < 0) {
        int error = errno;
        lab_complain("--live has nowhere to write to: %s", strerror(error));
        free(l);
        return -error;
    }
    if (isatty(l->terminal)) {
        int error = launch ? divert(l) : 0;
        if (!error)
            l->curses = live_curses_open(l->terminal, &why);
        if (error) {
            close(l->terminal);
            free(l);
            return error;
        }
        if (!l->curses)
            dprintf(l->terminal, "heddle: --live is a plain table: %s\n", why);
    }
    if (!l->curses) /* the first one soon */
        l->shown_ns -= refresh_plain_ns - refresh_ns;
    *out = l;
    return 0;
}

void probe_live_close(struct probe_live *l) {
    if (!l)
        return;
    live_curses_close(l->curses);
    put_back(l);
    show_output(l);
    close(l->terminal);
    live_view_free(&l->view);
    free(l);
}

/* ---- showing ---- */

static void size_of(struct probe_live *l, size_t *columns, size_t *rows) {
    struct winsize size;
    *columns = LAB_WIDTH;
    *rows = 40;
    if (l->curses)
        live_curses_size(l->curses, columns, rows);
    else if (isatty(l->terminal) && ioctl(l->terminal, TIOCGWINSZ, &size) == 0 && size.ws_col)
        *columns = size.ws_col;
}

/* Without ncurses: the keys do nothing, and are not spoken of. */
static void print(struct probe_live *l, size_t columns) {
    struct lab_text t = {0};
    for (size_t i = 0; i + 1 < l->view.lines; i++) {
        const char *line = l->view.line[i].text.data ? l->view.line[i].text.data : "";
        lab_text_printf(&t, "%.*s\n", (int)lab_fit(line, columns, NULL), line);
    }
    for (size_t done = 0; done < t.length;) {
        ssize_t n = write(l->terminal, t.data + done, t.length - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    lab_text_free(&t);
}

static void refresh(struct probe_live *l, const struct probe_report *r, uint64_t ns) {
    size_t columns, rows;
    size_of(l, &columns, &rows);
    live_view_make(&l->view, r, ns, columns, rows);
    if (l->curses)
        live_curses_show(l->curses, l->view.line, l->view.lines);
    else
        print(l, columns);
}

bool probe_live_step(struct probe_live *l, const struct probe_report *r, struct probe_timeline *t) {
    uint64_t ns = now();
    bool touched = false;
    for (int key; l->curses && (key = live_curses_key(l->curses)) >= 0; touched = true) {
        if (!live_view_key(&l->view, key))
            return false;
    }
    bool due = ns - l->shown_ns >= (l->curses ? refresh_ns : refresh_plain_ns) && !l->view.paused;
    if (due || touched) {
        probe_timeline_settle(t, ns);
        if (due) {
            live_view_mark(&l->view, t, ns);
            l->shown_ns = ns;
        }
        refresh(l, r, ns);
    }
    return true;
}
