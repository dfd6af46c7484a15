/* SPDX-License-Identifier: MIT */
/* Launching and attaching.
 *
 * A launched target is forked and waits for a byte before its exec, so that everything is in place
 * when it begins; if we end before, it ends too. It stays in our process group: it can read the
 * terminal, and Ctrl-C reaches it without us. */
#include "probe/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "probe/tasks.h"
#include "subject/interrupt.h"
#include "text.h"

enum { KERNEL_THREAD = 0x00200000 }; /* PF_KTHREAD, in the flags of /proc/PID/stat */

static int open_pidfd(pid_t pid) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

/* The numbers of one line of /proc/PID/status, such as "Uid:\t0\t0". How many, at most max;
 * -errno if the file cannot be read. */
static int status_numbers(const char *path, const char *key, long *out, int max) {
    FILE *f = fopen(path, "re");
    char line[512];
    int count = 0;
    size_t n = strlen(key);
    if (!f)
        return -errno;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, n) != 0 || line[n] != ':')
            continue;
        char *at = line + n + 1, *end;
        for (; count < max; count++, at = end) {
            out[count] = strtol(at, &end, 10);
            if (end == at)
                break;
        }
        break;
    }
    fclose(f);
    return count;
}

static bool is_32_bit(pid_t pid) {
    char path[64];
    unsigned char id[EI_NIDENT] = {0};
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, id, sizeof(id));
    close(fd);
    return n == (ssize_t)sizeof(id) && memcmp(id, ELFMAG, SELFMAG) == 0 &&
           id[EI_CLASS] == ELFCLASS32;
}

static const char *user_name(long uid, char *room, size_t size) {
    struct passwd *p = getpwuid((uid_t)uid);
    if (p)
        snprintf(room, size, "%s", p->pw_name);
    else
        snprintf(room, size, "number %ld", uid);
    return room;
}

/* Why the kernel lets us not look into a process. */
static void complain_of_rights(pid_t pid, long uid) {
    char theirs[64], ours[64];
    if (uid >= 0 && (uid_t)uid != geteuid()) {
        lab_complain("process %d belongs to user %s, and this is user %s: run heddle as that "
                     "user or as root",
                     (int)pid, user_name(uid, theirs, sizeof(theirs)),
                     user_name(geteuid(), ours, sizeof(ours)));
        return;
    }
    char *scope = lab_read_line("/proc/sys/kernel/yama/ptrace_scope");
    if (scope && atoi(scope) > 0)
        lab_complain(
            "process %d may not be looked into: kernel.yama.ptrace_scope is %s. Run "
            "heddle as root, launch the program with heddle (`-- COMMAND`), or, as root, `sysctl "
            "kernel.yama.ptrace_scope=0`",
            (int)pid, scope);
    else
        lab_complain("process %d may not be looked into: it has rights that this process lacks (a "
                     "set-user-id program, capabilities, another user namespace), or it forbids "
                     "it (PR_SET_DUMPABLE). Run heddle as root, outside of containers",
                     (int)pid);
    free(scope);
}

/* Whether the kernel lets us look: this file takes the right to ptrace. */
static bool may_look(pid_t pid) {
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT; /* a kernel without it: the rest will tell */
    bool good = read(fd, text, sizeof(text)) >= 0 || (errno != EPERM && errno != EACCES);
    close(fd);
    return good;
}

static bool has_other_threads(pid_t pid) {
    pid_t *list;
    int count = probe_tasks_scan(pid, &list);
    free(list);
    return count > 1;
}

/* Complains unless the process can be watched: -errno. */
static int inspect(pid_t pid) {
    char path[64], room[16];
    long tgid = 0, uid[4] = {-1, -1, -1, -1};
    struct probe_task task = {.tid = pid, .pid = pid, .stat_file = -1};
    struct probe_task_stat stat;
    ssize_t n = readlink("/proc/self", room, sizeof(room) - 1);
    room[n < 0 ? 0 : n] = '\0';
    if (n < 0 || atoi(room) != getpid()) {
        lab_complain("/proc is not that of this process's pid namespace, so no process can be "
                     "found: mount it (`mount -t proc proc /proc`)");
        return -ENOENT;
    }
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    int found = status_numbers(path, "Tgid", &tgid, 1);
    if (found <= 0) {
        bool hidden = pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
        if (hidden)
            lab_complain("/proc hides process %d (hidepid): run heddle as its user or as root",
                         (int)pid);
        else
            lab_complain("there is no process %d%s", (int)pid,
                         pid <= 0 ? ": a process number is positive" : "");
        return hidden ? -EPERM : -ESRCH;
    }
    if (tgid != pid) {
        lab_complain("%d is a thread of process %ld: use `--pid %ld`", (int)pid, tgid, tgid);
        return -EINVAL;
    }
    int error = probe_task_stat(&task, &stat);
    if (task.stat_file >= 0)
        close(task.stat_file);
    if (error == 0 && stat.state == 'Z' && has_other_threads(pid)) {
        lab_complain("the main thread of process %d has ended while others go on: the kernel "
                     "shows nothing of such a process",
                     (int)pid);
        return -ENOTSUP;
    }
    if (error == 0 && (stat.state == 'Z' || stat.state == 'X')) {
        lab_complain("process %d has ended; only its entry is left (a zombie)", (int)pid);
        return -ESRCH;
    }
    if (error == 0 && stat.flags & KERNEL_THREAD) {
        lab_complain("process %d (%s) is a thread of the kernel: there is no program to look into",
                     (int)pid, stat.name);
        return -EINVAL;
    }
    if (pid == getpid()) {
        lab_complain("process %d is heddle itself", (int)pid);
        return -EINVAL;
    }
    status_numbers(path, "Uid", uid, 4);
    if (!may_look(pid)) {
        complain_of_rights(pid, uid[1]);
        return -EPERM;
    }
    return 0;
}

int probe_target_attach(struct probe_target *t, pid_t pid) {
    *t = (struct probe_target){.pid = pid, .pidfd = -1, .go = -1, .failed = -1, .status = -1};
    int error = inspect(pid);
    if (error)
        return error;
    t->pidfd = open_pidfd(pid);
    t->bits32 = is_32_bit(pid);
    return 0;
}

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static _Noreturn void be_target(char **command, int go, int failed) {
    char byte;
    lab_interrupt_reset();
    ssize_t n;
    while ((n = read(go, &byte, 1)) < 0 && errno == EINTR)
        continue;
    if (n != 1)
        _exit(127);
    execvp(command[0], command);
    int error = errno;
    n = write(failed, &error, sizeof(error));
    _exit(n < 0 ? 126 : 127);
}

int probe_target_launch(struct probe_target *t, char **command) {
    int go[2], failed[2];
    *t = (struct probe_target){.pidfd = -1, .launched = true, .go = -1, .failed = -1, .status = -1};
    if (pipe2(go, O_CLOEXEC) != 0) {
        int error = errno;
        lab_complain("cannot make a pipe: %s", strerror(error));
        return -error;
    }
    if (pipe2(failed, O_CLOEXEC) != 0) {
        int error = errno;
        lab_complain("cannot make a pipe: %s", strerror(error));
        close(go[0]);
        close(go[1]);
        return -error;
    }
    fflush(NULL);
    t->pid = fork();
    if (t->pid == 0) {
        close(go[1]); /* so that our end is told by the end of the pipe */
        be_target(command, go[0], failed[1]);
    }
    int error = t->pid < 0 ? errno : 0;
    close(go[0]);
    close(failed[1]);
    t->go = go[1];
    t->failed = failed[0];
    if (error) {
        lab_complain("cannot make a process: %s", strerror(error));
        close_end(&t->go);
        close_end(&t->failed);
        return -error;
    }
    t->pidfd = open_pidfd(t->pid);
    return 0;
}

/* execvp says EACCES as well where a directory of PATH cannot be searched. A shell looks whether
 * there is such a file. */
static bool is_in_path(const char *name) {
    const char *path = getenv("PATH");
    bool found = false;
    for (const char *part = path; part && !found;) {
        size_t n = strcspn(part, ":");
        char *whole = n ? lab_format("%.*s/%s", (int)n, part, name) : lab_copy(name);
        found = access(whole, F_OK) == 0;
        free(whole);
        part = part[n] ? part + n + 1 : NULL;
    }
    return found;
}

int probe_target_begin(struct probe_target *t, const char *name) {
    int error = 0;
    ssize_t n;
    while ((n = write(t->go, "", 1)) < 0 && errno == EINTR)
        continue;
    close_end(&t->go);
    while ((n = read(t->failed, &error, sizeof(error))) < 0 && errno == EINTR)
        continue;
    close_end(&t->failed);
    if (n != (ssize_t)sizeof(error)) {
        t->bits32 = is_32_bit(t->pid);
        return 0;
    }
    if (error == EACCES && !strchr(name, '/') && !is_in_path(name))
        error = ENOENT;
    char *words = lab_copy(name);
    lab_make_printable(words);
    lab_complain("cannot run %s: %s", words,
                 error == ENOENT && !strchr(name, '/') ? "not found in PATH" : strerror(error));
    free(words);
    waitpid(t->pid, NULL, 0);
    t->ended = true;
    t->launched = false; /* it is gone */
    return -error;
}

/* The status of another one's child, which its entry shows until it is fetched: the last field. */
static int status_of_zombie(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    char *line = lab_read_line(path);
    const char *after = line ? strrchr(line, ')') : NULL;
    bool zombie = after && strlen(after) > 2 && (after[2] == 'Z' || after[2] == 'X');
    int status = zombie ? atoi(strrchr(after, ' ') + 1) : -1;
    free(line);
    return status;
}

bool probe_target_has_ended(struct probe_target *t) {
    if (t->ended)
        return true;
    if (t->launched) {
        siginfo_t info = {0};
        t->ended = waitid(P_PID, (id_t)t->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                   info.si_pid == t->pid;
        if (t->ended)
            t->status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    } else if (t->pidfd >= 0) {
        struct pollfd p = {.fd = t->pidfd, .events = POLLIN};
        t->ended = poll(&p, 1, 0) > 0;
    } else {
        t->ended = kill(t->pid, 0) != 0 && errno == ESRCH;
    }
    if (t->ended && !t->launched)
        t->status = status_of_zombie(t->pid);
    return t->ended;
}

/* Whether what the terminal sends to us goes to the target as well. */
static bool in_foreground(void) {
    int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool front = tcgetpgrp(fd) == getpgrp();
    close(fd);
    return front;
}

void probe_target_tell(struct probe_target *t, int sig) {
    if (!t->launched || t->ended || t->told)
        return;
    t->told = true;
    if (sig != SIGINT || !in_foreground())
        kill(t->pid, sig);
}

int probe_target_leave(struct probe_target *t) {
    int status = -1;
    bool held = t->go >= 0;
    close_end(&t->go);
    close_end(&t->failed);
    if (t->launched && (held || probe_target_has_ended(t))) {
        while (waitpid(t->pid, &status, 0) < 0) {
            if (errno != EINTR) {
                status = -1;
                break;
            }
        }
        t->launched = false;
    }
    close_end(&t->pidfd);
    return status;
}
