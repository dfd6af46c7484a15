/* SPDX-License-Identifier: MIT */
/* Ctrl-C and its like. The first one ends the child that runs and the measuring, and what was
 * measured is reported; a second one, no sooner than 200 ms after the first, ends the command at
 * once. */
#ifndef HEDDLE_LAB_INTERRUPT_H
#define HEDDLE_LAB_INTERRUPT_H

#include <signal.h>

/* Takes SIGINT, SIGTERM and SIGHUP (those that are not ignored) and SIGCHLD. */
void lab_interrupt_install(void);

/* For a process that the kernel ends with its parent: a second signal does nothing by itself. */
void lab_interrupt_survive(void);

/* The signal that came, or 0. */
int lab_interrupt_signal(void);

/* Blocks what lab_interrupt_install took, so that none comes between a look at the flags and the
 * wait. *waiting becomes the mask to wait with (ppoll), *before the one to put back. */
void lab_interrupt_block(sigset_t *waiting, sigset_t *before);

/* For a child: everything as it was before the command changed it. */
void lab_interrupt_reset(void);

/* A file that a second signal removes before the command dies. */
enum { LAB_INTERRUPT_FILES = 8 };
void lab_interrupt_remove(const char *path);
void lab_interrupt_keep(const char *path);

#endif
