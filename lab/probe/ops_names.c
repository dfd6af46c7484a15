/* SPDX-License-Identifier: MIT */
/* The names of the instructions, which every minor version numbers anew: the interpreter itself is
 * asked, by running the executable of the target once with a script of ours. It runs as the
 * target's user, and looks at nothing of the target's but its own library. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "probe/ops.h"
#include "subject/interrupt.h"
#include "text.h"

static const double patience_s = 20;

/* A line for each instruction: number, name, the general form's number, caches, kind. Runs on 2.7
 * and all of 3. Forms without a counter beside them are no specializations: two instructions in
 * one, say. In 3.11 the general form that still tries is one of its own, and the plain one has
 * given up for good. */
static const char script[] =
    "import dis, sys\n"
    "names = list(getattr(dis, '_all_opname', dis.opname))\n"
    "try:\n"
    "    from opcode import _specializations as family\n"
    "except ImportError:\n"
    "    try:\n"
    "        from _opcode_metadata import _specializations as family\n"
    "    except ImportError:\n"
    "        family = {}\n"
    "try:\n"
    "    from _opcode_metadata import _specialized_opmap\n"
    "    for name in _specialized_opmap: names[_specialized_opmap[name]] = name\n"
    "except ImportError:\n"
    "    pass\n"
    "number = dict((name, i) for i, name in enumerate(names))\n"
    "base = dict((special, name) for name in family for special in family[name])\n"
    "caches = getattr(dis, '_inline_cache_entries', {})\n"
    "if not hasattr(caches, 'items'):\n"
    "    caches = dict((names[i], n) for i, n in enumerate(caches))\n"
    "sys.stdout.write('heddle-ops %d.%d\\n' % sys.version_info[:2])\n"
    "for i, name in enumerate(names[:256]):\n"
    "    if name.startswith('<'): continue\n"
    "    general, kind = base.get(name, name), 0\n"
    "    n = caches.get(general, 0)\n"
    "    n = n if isinstance(n, int) else 0\n"
    "    old = sys.version_info[:2] == (3, 11)\n"
    "    counts = n and general not in ('RESUME', 'JUMP_BACKWARD')\n"
    "    if name in base and counts: kind = 1 if name.endswith('_ADAPTIVE') else 2\n"
    "    elif name in family and counts: kind = 0 if old else 1\n"
    "    elif name.startswith('INSTRUMENTED_'):\n"
    "        general, kind = name[13:], 3\n"
    "    elif name == 'ENTER_EXECUTOR': kind = 4\n"
    "    elif '__' in name and name.split('__')[0] in number: general = name.split('__')[0]\n"
    "    elif name.endswith('_QUICK'): general = name[:-6]\n"
    "    sys.stdout.write('%d %s %d %d %d\\n' % (i, name, number.get(general, i), n, kind))\n"
    "sys.stdout.write('end\\n')\n";

struct probe_op_asking {
    pid_t child;
    int out; /* of its standard output; -1: it could not be started */
    int error;
    char *path;
    int major, minor;
};

static _Noreturn void be_child(int file, const char *path, bool old, const struct stat *owner,
                               int out) {
    lab_interrupt_reset();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
    }
    dup2(out, STDOUT_FILENO);
    /* A program of somebody else's is not to run with root's rights. */
    if (owner && geteuid() == 0 && owner->st_uid != 0 &&
        (setgroups(0, NULL) != 0 || setgid(owner->st_gid) != 0 || setuid(owner->st_uid) != 0))
        _exit(126);
    if (chdir("/") != 0)
        _exit(126);
    char *alone[] = {(char *)path, "-I", "-S", "-c", (char *)script, NULL};
    char *before[] = {(char *)path, "-E", "-s", "-S", "-c", (char *)script, NULL};
    char number[64];
    snprintf(number, sizeof(number), "/proc/self/fd/%d", file);
    execv(file >= 0 ? number : path, old ? before : alone);
    _exit(127);
}

/* Opens the executable, of which `path` becomes the name. */
static int open_executable(pid_t pid, char **path, struct stat *owner) {
    char link[64], target[4096];
    snprintf(link, sizeof(link), "/proc/%d", (int)pid);
    if (stat(link, owner) != 0)
        return -errno;
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    *path = lab_copy_n(target, (size_t)n);
    char *gone = strstr(*path, " (deleted)");
    if (gone)
        *gone = '\0';
    /* Not closed by exec: it is opened again through its number. */
    int fd = open(link, O_RDONLY);
    return fd < 0 ? -errno : fd;
}

struct probe_op_asking *probe_op_names_begin(pid_t pid, const struct probe_python_facts *facts,
                                             const char *python) {
    struct probe_op_asking *a = lab_alloc(1, sizeof(*a));
    struct stat owner;
    int ends[2], file = -1;
    *a = (struct probe_op_asking){.out = -1, .major = facts->major, .minor = facts->minor};
    if (python) {
        a->path = lab_copy(python);
    } else {
        file = open_executable(pid, &a->path, &owner);
        if (file < 0) {
            a->error = -file;
            return a;
        }
    }
    if (pipe2(ends, O_CLOEXEC) == 0) {
        fflush(NULL);
        a->child = fork();
        if (a->child == 0)
            be_child(file, a->path, facts->major == 2, python ? NULL : &owner, ends[1]);
        a->error = a->child < 0 ? errno : 0;
        close(ends[1]);
        a->out = ends[0];
    } else {
        a->error = errno;
    }
    if (file >= 0)
        close(file);
    return a;
}

/* All that it prints, within the time. */
static void read_answer(struct probe_op_asking *a, struct lab_text *out) {
    enum { ANSWER_MOST = 1 << 20 };
    double until = lab_now_s() + patience_s;
    char bytes[4096];
    lab_text_add(out, "", 0);
    for (;;) {
        struct pollfd p = {.fd = a->out, .events = POLLIN};
        double left = until - lab_now_s();
        if (left <= 0 || out->length > ANSWER_MOST)
            break;
        if (poll(&p, 1, (int)(left * 1000) + 1) < 0 && errno != EINTR)
            break;
        if (!p.revents)
            continue;
        ssize_t n = read(a->out, bytes, sizeof(bytes));
        if (n <= 0)
            break;
        lab_text_add(out, bytes, (size_t)n);
    }
}

static bool take_line(const char *line, struct probe_op_names *out) {
    unsigned number, base, caches, kind;
    char name[64];
    if (sscanf(line, "%u %63s %u %u %u", &number, name, &base, &caches, &kind) != 5 ||
        number > 255 || base > 255 || caches > 32 || kind > PROBE_OP_COMPILED)
        return false;
    free(out->op[number].name);
    out->op[number] = (struct probe_op){lab_copy(name), (uint8_t)base, (uint8_t)caches,
                                        (uint8_t)kind};
    return true;
}

static bool take_answer(const struct probe_op_asking *a, const char *answer,
                        struct probe_op_names *out) {
    int major = 0, minor = 0;
    if (sscanf(answer, "heddle-ops %d.%d", &major, &minor) != 2 || major != a->major ||
        minor != a->minor)
        return false;
    for (const char *at = strchr(answer, '\n'); at; at = strchr(at, '\n')) {
        at++;
        if (lab_starts_with(at, "end\n"))
            return true;
        if (!take_line(at, out))
            return false;
    }
    return false;
}

void probe_op_names_finish(struct probe_op_asking *a, struct probe_op_names *out) {
    struct lab_text answer = {0};
    int status = -1;
    memset(out, 0, sizeof(*out));
    if (a->out >= 0) {
        read_answer(a, &answer);
        close(a->out);
    }
    if (a->child > 0) {
        kill(a->child, SIGKILL); /* it has ended, or has had its time */
        waitpid(a->child, &status, 0);
    }
    out->known = answer.data && take_answer(a, answer.data, out);
    const char *path = a->path ? a->path : "the process's executable";
    if (out->known)
        out->how = lab_format("as %s says, which was run for it", path);
    else if (a->error)
        out->how = lab_format("%s could not be run to ask for the names of the instructions: %s",
                              path, strerror(a->error));
    else
        out->how = lab_format("%s, run to ask for the names of the instructions, did not answer "
                              "as Python %d.%d does; name an interpreter of that version with "
                              "--python",
                              path, a->major, a->minor);
    lab_text_free(&answer);
    free(a->path);
    free(a);
}

void probe_op_names_free(struct probe_op_names *n) {
    for (int i = 0; i < 256; i++)
        free(n->op[i].name);
    free(n->how);
    memset(n, 0, sizeof(*n));
}
