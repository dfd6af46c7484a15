/* SPDX-License-Identifier: MIT */
/* A file that a report goes to. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../message.h"
#include "../subject/interrupt.h"
#include "../text.h"

static int refuse_because(struct lab_output *o, int error, const char *reason) {
    lab_complain("cannot write '%s': %s", o->name, reason);
    lab_output_abandon(o);
    return -error;
}

static int refuse(struct lab_output *o, int error) {
    return refuse_because(o, error, strerror(error));
}

/* Opens for writing; waits two seconds for somebody to read from a pipe, not forever. */
static int open_patiently(const char *name, bool pipe) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int fd = -1;
    for (int i = 0; i < 200; i++) {
        fd = open(name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 || errno != ENXIO || !pipe)
            break;
        nanosleep(&pause, NULL);
        errno = ENXIO;
    }
    return fd;
}

/* What is written later does wait for the reader of a pipe to take it. */
static int open_in_place(struct lab_output *o, bool pipe) {
    int fd = open_patiently(o->name, pipe);
    if (fd < 0 && errno == ENXIO && pipe)
        return refuse_because(o, ENXIO, "nobody has opened the pipe to read from it");
    if (fd < 0)
        return refuse(o, errno);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0)
        o->file = fdopen(fd, "w");
    if (o->file)
        return 0;
    int error = errno;
    close(fd);
    return refuse(o, error);
}

/* A new file in the target's directory. mkstemp makes it private; a report is as public as any
 * file that the user makes, or as the one that it replaces. */
static int open_temporary(struct lab_output *o, mode_t mode) {
    o->temporary = lab_format("%s.XXXXXX", o->target);
    int fd = mkostemp(o->temporary, O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        free(o->temporary);
        o->temporary = NULL;
        return error;
    }
    lab_interrupt_remove(o->temporary);
    if (fchmod(fd, mode) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    o->file = fdopen(fd, "w");
    return o->file ? 0 : errno;
}

int lab_output_open(struct lab_output *o, const char *name) {
    *o = (struct lab_output){.name = name};
    if (strcmp(name, "-") == 0) {
        o->file = stdout;
        return 0;
    }
    struct stat st;
    bool there = stat(name, &st) == 0;
    if (!there && errno != ENOENT)
        return refuse(o, errno);
    if (there && S_ISDIR(st.st_mode))
        return refuse(o, EISDIR);
    if (there && access(name, W_OK) != 0)
        return refuse(o, errno);
    if (there && !S_ISREG(st.st_mode)) /* a device or a pipe is not to be replaced by a file */
        return open_in_place(o, S_ISFIFO(st.st_mode));
    /* Through symbolic links: the file is replaced, not the link to it. */
    char real[PATH_MAX];
    o->target = lab_copy(there && realpath(name, real) ? real : name);
    mode_t mask = umask(0);
    umask(mask);
    int error = open_temporary(o, there ? st.st_mode & 07777 : 0666 & ~mask);
    return error ? refuse(o, error) : 0;
}

int lab_output_commit(struct lab_output *o) {
    int error = 0;
    errno = 0;
    if (fflush(o->file) != 0 || ferror(o->file))
        error = errno ? errno : EIO;
    if (o->file != stdout && fclose(o->file) != 0 && !error)
        error = errno;
    o->file = NULL;
    if (!error && o->target && rename(o->temporary, o->target) != 0)
        error = errno;
    if (error)
        return refuse(o, error);
    if (o->temporary) {
        lab_interrupt_keep(o->temporary);
        free(o->temporary);
        o->temporary = NULL;
    }
    lab_output_abandon(o);
    return 0;
}

void lab_output_abandon(struct lab_output *o) {
    if (o->file && o->file != stdout)
        fclose(o->file);
    if (o->temporary) {
        unlink(o->temporary);
        lab_interrupt_keep(o->temporary);
    }
    free(o->temporary);
    free(o->target);
    *o = (struct lab_output){0};
}
