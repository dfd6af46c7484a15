/* SPDX-License-Identifier: MIT */
/* Running a child.
 *
 * The child's end is seen by SIGCHLD, not by the end of its output: a grandchild may hold the
 * pipes open for as long as it likes. The leader is reaped only after the group was killed, since
 * until then its number, which names the group, cannot be given to anybody else. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../message.h"
#include "interrupt.h"

enum {
    OUT_BYTES_MAX = 1 << 20, /* thousands of samples; more is not a subject but a fault */
    ERR_BYTES_MAX = 16 << 10,
    READ_BYTES = 16 << 10,
};

struct run {
    struct lab_process *p;
    pid_t pid;
    int out, err; /* read ends, -1 when at their end */
    double deadline_s;
    sigset_t waiting;
};

/* Makes the child a better victim than everybody else's programs when memory runs out: some
 * subjects need gigabytes for what others do in megabytes. */
static void volunteer_for_oom(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, "700", 3);
    (void)ignored;
    close(fd);
}

static _Noreturn void be_child(char *const *argv, pid_t parent, int out, int err, int trouble) {
    setpgid(0, 0);
    /* A command that is killed outright must not leave a busy loop behind. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    volunteer_for_oom();
    lab_interrupt_reset();
    execv(argv[0], argv);
    int e = errno;
    ssize_t ignored = write(trouble, &e, sizeof(e));
    (void)ignored;
    _exit(127);
}

static void close_pair(int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

/* Starts the child; 0 or the errno of what failed, exec included. */
static int start(struct run *r, char *const *argv) {
    int out[2], err[2], trouble[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return errno;
    if (pipe2(err, O_CLOEXEC) != 0) {
        close_pair(out);
        return EMFILE;
    }
    if (pipe2(trouble, O_CLOEXEC) != 0) {
        close_pair(out);
        close_pair(err);
        return EMFILE;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        be_child(argv, parent, out[1], err[1], trouble[1]);
    int e = pid < 0 ? errno : 0;
    close(out[1]);
    close(err[1]);
    close(trouble[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* both sides do it: whoever comes first */
        ssize_t n;
        while ((n = read(trouble[0], &e, sizeof(e))) < 0 && errno == EINTR)
            continue;
        if (n == (ssize_t)sizeof(e)) {
            waitpid(pid, NULL, 0);
        } else {
            e = 0;
        }
    }
    close(trouble[0]);
    if (e) {
        close(out[0]);
        close(err[0]);
        return e;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    r->pid = pid;
    r->out = out[0];
    r->err = err[0];
    return 0;
}

/* Takes what is there. False when there is more than allowed. */
static bool drain(int *fd, struct lab_text *into, size_t max, bool rest_is_dropped) {
    char bytes[READ_BYTES];
    while (*fd >= 0) {
        ssize_t n = read(*fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            close(*fd);
            *fd = -1;
            return true;
        }
        size_t room = max - into->length;
        size_t take = (size_t)n < room ? (size_t)n : room;
        lab_text_add(into, bytes, take);
        if (take < (size_t)n && !rest_is_dropped)
            return false;
    }
    return true;
}

static bool drain_both(struct run *r) {
    drain(&r->err, &r->p->err, ERR_BYTES_MAX, true);
    return drain(&r->out, &r->p->out, OUT_BYTES_MAX, false);
}

/* Whether the child has ended; it stays unreaped. */
static bool has_ended(const struct run *r, siginfo_t *info) {
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)r->pid, info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid == r->pid;
}

static enum lab_process_end wait_for_end(struct run *r) {
    siginfo_t info;
    for (;;) {
        bool ended = has_ended(r, &info); /* before the last look at the pipes */
        if (!drain_both(r))
            return LAB_PROCESS_TALKATIVE;
        if (ended) {
            r->p->code = info.si_status;
            return info.si_code == CLD_EXITED ? LAB_PROCESS_EXITED : LAB_PROCESS_SIGNALLED;
        }
        if (lab_interrupt_signal())
            return LAB_PROCESS_INTERRUPTED;
        double left_s = r->deadline_s - lab_now_s();
        if (left_s <= 0)
            return LAB_PROCESS_TIMED_OUT;
        struct pollfd fds[2] = {{.fd = r->out, .events = POLLIN}, {.fd = r->err, .events = POLLIN}};
        struct timespec timeout = {.tv_sec = (time_t)left_s};
        timeout.tv_nsec = (long)((left_s - (double)timeout.tv_sec) * 1e9);
        ppoll(fds, 2, &timeout, &r->waiting);
    }
}

void lab_process_run(struct lab_process *p, char *const *argv, double timeout_s) {
    *p = (struct lab_process){0};
    lab_text_add(&p->out, "", 0);
    lab_text_add(&p->err, "", 0);
    struct run r = {.p = p, .out = -1, .err = -1};
    sigset_t before;
    lab_interrupt_install();
    lab_interrupt_block(&r.waiting, &before);
    double begin_s = lab_now_s();
    r.deadline_s = begin_s + timeout_s;
    p->code = start(&r, argv);
    if (p->code) {
        p->end = LAB_PROCESS_NOT_STARTED;
    } else {
        p->end = wait_for_end(&r);
        kill(-r.pid, SIGKILL);
        while (waitpid(r.pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        if (r.out >= 0)
            close(r.out);
        if (r.err >= 0)
            close(r.err);
    }
    p->seconds = lab_now_s() - begin_s;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

void lab_process_free(struct lab_process *p) {
    lab_text_free(&p->out);
    lab_text_free(&p->err);
}

/* The last line that says something: where most programs put the reason of their death. */
static char *last_line(const struct lab_text *t) {
    size_t end = t->length;
    while (end > 0 && (t->data[end - 1] == '\n' || t->data[end - 1] == ' '))
        end--;
    size_t begin = end;
    while (begin > 0 && t->data[begin - 1] != '\n')
        begin--;
    while (begin < end && t->data[begin] == ' ')
        begin++;
    if (begin == end)
        return NULL;
    enum { LINE_MAX_BYTES = 200 };
    size_t n = end - begin < LINE_MAX_BYTES ? end - begin : LINE_MAX_BYTES;
    char *line = lab_copy_n(t->data + begin, n);
    lab_make_printable(line);
    return line;
}

char *lab_process_reason(const struct lab_process *p, double timeout_s) {
    char *said = last_line(&p->err), *reason = NULL;
    const char *colon = said ? ": " : "", *tail = said ? said : "";
    switch (p->end) {
    case LAB_PROCESS_EXITED:
        if (p->code)
            reason = lab_format("ended with status %d%s%s", p->code, colon, tail);
        break;
    case LAB_PROCESS_SIGNALLED: {
        const char *name = sigabbrev_np(p->code), *words = sigdescr_np(p->code);
        reason = lab_format("crashed: SIG%s (%s)%s%s", name ? name : "?",
                            p->code == SIGKILL ? "killed, perhaps for memory"
                            : words            ? words
                                               : "unknown signal",
                            colon, tail);
        break;
    }
    case LAB_PROCESS_TIMED_OUT:
        reason = lab_format("did not end within %.3g s and was killed%s%s", timeout_s, colon, tail);
        break;
    case LAB_PROCESS_TALKATIVE:
        reason = lab_format("wrote more than %d bytes and was killed", OUT_BYTES_MAX);
        break;
    case LAB_PROCESS_INTERRUPTED:
        reason = lab_format("interrupted");
        break;
    case LAB_PROCESS_NOT_STARTED:
        reason = lab_format("cannot be started: %s", strerror(p->code));
        break;
    }
    free(said);
    return reason;
}
