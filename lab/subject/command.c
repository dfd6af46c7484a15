/* SPDX-License-Identifier: MIT */
/* Running any command, and what it cost. */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../text.h"
#include "interrupt.h"

/* What the helper keeps for each launch. */
struct place {
    char *path; /* where the program was found; NULL until looked for */
};

/* Shared between the helper and the child that vfork lends its memory to. */
struct start {
    const struct lab_launch *launch;
    const char *path;
    pid_t parent;
    volatile int64_t begin_ns;
    volatile int error; /* of what failed, exec included */
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the helper ---- */

static bool is_program(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The program that a name means, by PATH if it has no slash; NULL with errno if there is none.
 * Looked for once, so that no run pays for the directories that it is not in. */
static char *look_up(const char *name) {
    if (strchr(name, '/'))
        return lab_copy(name);
    const char *path = getenv("PATH");
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (const char *part = path; *name;) {
        size_t n = strcspn(part, ":");
        char *whole = n ? lab_format("%.*s/%s", (int)n, part, name) : lab_format("./%s", name);
        if (is_program(whole))
            return whole;
        free(whole);
        if (!part[n])
            break;
        part += n + 1;
    }
    errno = ENOENT;
    return NULL;
}

/* Runs in the helper's memory while that waits: it only makes system calls. A stream is a file of
 * the command's own, which are numbered from 3 on, or one of its standard streams in its place. */
static _Noreturn void be_child(struct start *s) {
    const struct lab_launch *l = s->launch;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->parent)
        _exit(127);
    const int from[3] = {l->in, l->out, l->err};
    for (int i = 0; i < 3; i++) {
        if (from[i] != i && dup2(from[i], i) < 0) {
            s->error = errno;
            _exit(127);
        }
    }
    lab_interrupt_reset();
    s->begin_ns = now_ns();
    execv(s->path, l->argv);
    s->error = errno;
    _exit(127);
}

/* By itself, so that no variable of a caller lives across the second return of vfork. */
static __attribute__((noinline)) pid_t start(struct start *s) {
    pid_t pid = vfork();
    if (pid == 0)
        be_child(s);
    return pid;
}

/* Whether the child has ended; it stays unreaped, so that its number stays its group's. */
static bool has_ended(pid_t pid, siginfo_t *info) {
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT) == 0 && info->si_pid == pid;
}

/* Whether the child was stopped since it wanted the terminal, which belongs to another group: it
 * would wait forever. */
static bool wants_terminal(pid_t pid, siginfo_t *info) {
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)pid, info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid == pid && (info->si_status == SIGTTIN || info->si_status == SIGTTOU);
}

/* A signal that sigtimedwait took off the queue goes to its handler (or to nobody, if ignored). */
static void hand_over(int sig, const sigset_t *waiting) {
    sigset_t blocked;
    raise(sig);
    sigprocmask(SIG_SETMASK, waiting, &blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* Waits for the end of the child, and says at which moment it was known. The signals are blocked
 * and taken off the queue: none is lost between a look and the wait, and no handler runs at the
 * end of the command. */
static int64_t wait_for_end(pid_t pid, const struct lab_launch *l, int64_t begin_ns,
                            const sigset_t *waiting, struct lab_usage *u) {
    double timeout_s = l->timeout_s;
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    for (;;) {
        struct timespec left = {.tv_sec = 3600};
        if (timeout_s > 0) {
            double left_s = timeout_s - (double)(now_ns() - begin_ns) * 1e-9;
            left_s = left_s < 0 ? 0 : left_s > 3600 ? 3600 : left_s;
            left.tv_sec = (time_t)left_s;
            left.tv_nsec = (long)((left_s - (double)left.tv_sec) * 1e9);
        }
        int sig = sigtimedwait(&set, NULL, &left);
        int64_t end_ns = now_ns();
        if (has_ended(pid, &info)) {
            u->end = info.si_code == CLD_EXITED ? LAB_PROCESS_EXITED : LAB_PROCESS_SIGNALLED;
            u->code = info.si_status;
            return end_ns;
        }
        if (sig == SIGCHLD && wants_terminal(pid, &info)) {
            u->end = LAB_PROCESS_SIGNALLED;
            u->code = info.si_status;
            kill(-pid, SIGKILL);
            return end_ns;
        }
        if (sig > 0 && sig != SIGCHLD)
            hand_over(sig, waiting);
        if (lab_interrupt_signal() && !l->steady) {
            u->end = LAB_PROCESS_INTERRUPTED;
            return end_ns;
        }
        if (timeout_s > 0 && (double)(end_ns - begin_ns) * 1e-9 >= timeout_s) {
            u->end = LAB_PROCESS_TIMED_OUT;
            return end_ns;
        }
    }
}

static double seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void take_usage(struct lab_usage *u, const struct rusage *r) {
    u->user_s = seconds(r->ru_utime);
    u->sys_s = seconds(r->ru_stime);
    u->max_rss_bytes = (double)r->ru_maxrss * 1024;
    u->minor_faults = (double)r->ru_minflt;
    u->major_faults = (double)r->ru_majflt;
    u->voluntary_switches = (double)r->ru_nvcsw;
    u->involuntary_switches = (double)r->ru_nivcsw;
}

static void refuse(struct lab_usage *u, int error) {
    u->end = LAB_PROCESS_NOT_STARTED;
    u->code = error;
}

static void run(const struct lab_launch *l, struct place *place, struct lab_usage *u) {
    *u = (struct lab_usage){0};
    if (!place->path)
        place->path = look_up(l->argv[0]);
    if (!place->path) {
        refuse(u, errno);
        return;
    }
    struct start s = {.launch = l, .path = place->path, .parent = getpid()};
    sigset_t waiting, before;
    if (l->in > STDERR_FILENO)
        lseek(l->in, 0, SEEK_SET); /* every run reads all of a file */
    lab_interrupt_block(&waiting, &before);
    pid_t pid = start(&s);
    if (pid < 0 || s.error) {
        refuse(u, pid < 0 ? errno : s.error);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    } else {
        struct rusage r;
        setpgid(pid, pid);
        int64_t end_ns = wait_for_end(pid, l, s.begin_ns, &waiting, u);
        bool ended = u->end == LAB_PROCESS_EXITED || u->end == LAB_PROCESS_SIGNALLED;
        if (!ended || !l->leave_remains)
            kill(-pid, SIGKILL);
        while (wait4(pid, NULL, 0, &r) < 0 && errno == EINTR)
            continue;
        take_usage(u, &r);
        getrusage(RUSAGE_SELF, &r);
        u->floor_rss_bytes = (double)r.ru_maxrss * 1024;
        u->wall_s = (double)(end_ns - s.begin_ns) * 1e-9;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static _Noreturn void be_helper(int socket, const struct lab_launch *launches, size_t count) {
    struct place *places = calloc(count ? count : 1, sizeof(*places));
    size_t index;
    if (!places)
        _exit(1);
    lab_interrupt_survive();
    while (recv(socket, &index, sizeof(index), 0) == (ssize_t)sizeof(index)) {
        struct lab_usage u = {0};
        if (index >= count)
            break;
        run(&launches[index], &places[index], &u);
        if (send(socket, &u, sizeof(u), MSG_NOSIGNAL) != (ssize_t)sizeof(u))
            break;
    }
    _exit(0);
}

/* ---- the command's side ---- */

int lab_launcher_start(struct lab_launcher *l, const struct lab_launch *launches, size_t count) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    pid_t parent = getpid();
    l->pid = fork();
    if (l->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        if (getppid() != parent)
            _exit(1);
        be_helper(ends[1], launches, count);
    }
    int error = l->pid < 0 ? errno : 0;
    close(ends[1]);
    if (error)
        close(ends[0]);
    l->socket = error ? -1 : ends[0];
    l->launches = launches;
    return error;
}

/* Waits for the helper's answer; a signal to the command alone is passed on, if it matters. */
static bool receive(struct lab_launcher *l, bool steady, struct lab_usage *usage) {
    sigset_t waiting, before;
    bool told = steady;
    ssize_t n = -1;
    lab_interrupt_block(&waiting, &before);
    for (;;) {
        if (lab_interrupt_signal() && !told) {
            told = true;
            kill(l->pid, SIGTERM);
        }
        struct pollfd fd = {.fd = l->socket, .events = POLLIN};
        const struct timespec second = {.tv_sec = 1};
        int ready = ppoll(&fd, 1, &second, &waiting);
        if (ready == 0 && l->tick)
            l->tick(l->arg);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        n = recv(l->socket, usage, sizeof(*usage), 0);
        if (n >= 0 || errno != EINTR)
            break;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return n == (ssize_t)sizeof(*usage);
}

void lab_launcher_run(struct lab_launcher *l, size_t index, struct lab_usage *usage) {
    bool steady = l->launches[index].steady;
    bool sent = send(l->socket, &index, sizeof(index), MSG_NOSIGNAL) == (ssize_t)sizeof(index);
    if (!sent || !receive(l, steady, usage)) {
        *usage = (struct lab_usage){0};
        refuse(usage, EPIPE); /* somebody killed the helper */
    }
    if (usage->end == LAB_PROCESS_SIGNALLED && !steady && lab_interrupt_signal())
        usage->end = LAB_PROCESS_INTERRUPTED;
}

void lab_launcher_stop(struct lab_launcher *l) {
    if (l->pid <= 0)
        return;
    close(l->socket);
    while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *l = (struct lab_launcher){.socket = -1};
}

char *lab_usage_reason(const struct lab_usage *usage, double timeout_s) {
    struct lab_process p = {.end = usage->end, .code = usage->code};
    return lab_process_reason(&p, timeout_s);
}
