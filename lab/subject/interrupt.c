/* SPDX-License-Identifier: MIT */
/* Ctrl-C and its like. */
#include "interrupt.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static const int taken[] = {SIGINT, SIGTERM, SIGHUP};
enum { TAKEN = sizeof(taken) / sizeof(taken[0]) };

static const long long same_ns = 200 * 1000 * 1000LL; /* what comes within it is one */

static volatile sig_atomic_t came;
static const char *volatile to_remove[LAB_INTERRUPT_FILES];
static sigset_t mask_at_start;
static bool installed, survives;

/* timeout(1) sends its signal both to the command and to the group that it is in, so that it
 * comes twice at once. The handler blocks all signals that it takes: it is never interrupted. */
static void on_signal(int sig) {
    static struct timespec first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!came) {
        first = now;
        came = sig;
        return;
    }
    if (survives)
        return;
    if ((now.tv_sec - first.tv_sec) * 1000000000LL + now.tv_nsec - first.tv_nsec < same_ns)
        return;
    for (size_t i = 0; i < LAB_INTERRUPT_FILES; i++) {
        if (to_remove[i])
            unlink(to_remove[i]);
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Only there so that the signal interrupts ppoll: an ignored one would not. */
static void on_child(int sig) {
    (void)sig;
}

void lab_interrupt_install(void) {
    if (installed)
        return;
    installed = true;
    sigprocmask(SIG_SETMASK, NULL, &mask_at_start);
    /* A report that is being written is not to be cut short: writes go on after the signal. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < TAKEN; i++)
        sigaddset(&action.sa_mask, taken[i]);
    for (size_t i = 0; i < TAKEN; i++) {
        struct sigaction old;
        sigaction(taken[i], NULL, &old);
        if (old.sa_handler != SIG_IGN)
            sigaction(taken[i], &action, NULL);
    }
    struct sigaction child = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &child, NULL);
}

void lab_interrupt_survive(void) {
    survives = true;
}

int lab_interrupt_signal(void) {
    return came;
}

void lab_interrupt_block(sigset_t *waiting, sigset_t *before) {
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    for (size_t i = 0; i < TAKEN; i++)
        sigaddset(&block, taken[i]);
    sigprocmask(SIG_BLOCK, &block, before);
    *waiting = *before;
    sigdelset(waiting, SIGCHLD);
    for (size_t i = 0; i < TAKEN; i++)
        sigdelset(waiting, taken[i]);
}

void lab_interrupt_reset(void) {
    /* exec resets handlers, but not the mask, nor a SIGPIPE that our parent ignored. */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &mask_at_start, NULL);
}

void lab_interrupt_remove(const char *path) {
    for (size_t i = 0; i < LAB_INTERRUPT_FILES; i++) {
        if (!to_remove[i]) {
            to_remove[i] = path;
            return;
        }
    }
}

void lab_interrupt_keep(const char *path) {
    for (size_t i = 0; i < LAB_INTERRUPT_FILES; i++) {
        if (to_remove[i] == path)
            to_remove[i] = NULL;
    }
}
