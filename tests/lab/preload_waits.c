/* SPDX-License-Identifier: MIT */
/* Launches a command with the preloaded library and adds up what it tells, for bench/probe-bars:
 *
 *     preload-waits FILE COMMAND...      FILE: a line for each thread that used a GIL:
 *                                        number, ns of waiting, times it got it, ns of holding
 *
 * Waits and holds count from the first that any thread began; the command's exit status is ours. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/preload.h"

enum { THREADS = 4096 };

struct thread {
    int32_t tid;
    uint64_t waited_ns, held_ns, gots;
    uint64_t want_ns, got_ns; /* 0: not so */
};

static struct thread threads[THREADS];

static void take(void *arg, const struct probe_event *e) {
    (void)arg;
    struct thread *t = threads;
    if (e->lock == PROBE_NO_LOCK)
        return;
    while (t->tid && t->tid != e->tid && t < threads + THREADS - 1)
        t++;
    t->tid = e->tid;
    if (e->kind == PROBE_WANT) {
        t->want_ns = e->ns - e->value;
    } else if (e->kind == PROBE_GOT) {
        t->gots++;
        t->got_ns = e->ns;
        t->waited_ns += t->want_ns ? e->ns - t->want_ns : 0;
        t->want_ns = 0;
    } else if (e->kind == PROBE_DROP) {
        t->held_ns += t->got_ns ? e->ns - t->got_ns : 0;
        t->got_ns = 0;
    }
}

int main(int argc, char **argv) {
    struct probe_preload *p;
    char *why = NULL;
    int go[2], status;
    if (argc < 3) {
        fputs("usage: preload-waits FILE COMMAND...\n", stderr);
        return 2;
    }
    if (probe_preload_open(false, &p, &why) < 0 || pipe(go) != 0) {
        fprintf(stderr, "preload-waits: %s\n", why ? why : "no pipe");
        return 3;
    }
    probe_preload_setenv(p);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) == 1)
            execvp(argv[2], argv + 2);
        _exit(127);
    }
    probe_preload_launched(p, pid);
    if (pid < 0 || write(go[1], "", 1) != 1)
        return 3;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        probe_preload_step(p, false, false, take, NULL);
        usleep(2000);
    }
    probe_preload_finish(p, false, false, take, NULL);
    struct probe_preload_facts facts;
    probe_preload_facts(p, &facts);
    FILE *f = fopen(argv[1], "w");
    if (!f || facts.lost > 0) {
        fprintf(stderr, "preload-waits: %s\n", f ? "records were lost" : strerror(errno));
        return 3;
    }
    for (const struct thread *t = threads; t->tid; t++)
        fprintf(f, "%d %llu %llu %llu\n", t->tid, (unsigned long long)t->waited_ns,
                (unsigned long long)t->gots, (unsigned long long)t->held_ns);
    fclose(f);
    probe_preload_close(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
