/* SPDX-License-Identifier: MIT */
/* What the commands that watch a target share: how their options are read, how a command line is
 * told again, and how a target ended. */
#ifndef HEDDLE_LAB_PROBE_SESSION_H
#define HEDDLE_LAB_PROBE_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "opt.h"
#include "probe/output.h"
#include "probe/watch.h"

/* The options that heddle gil and heddle threads have in common (struct lab_opt, `shared`). */
extern const struct lab_option probe_session_options[];

/* Where what they say goes. */
struct probe_asked {
    const char *command; /* "heddle gil" */
    struct probe_options *watch;
    struct probe_outputs *outputs;
    const char **text_name;
    bool *live, *quiet, *help;
};

/* Takes one of them, or of probe_output_options. 0, or the exit status: of an unknown one, too. */
int probe_take_option(const struct probe_asked *a, int id, const char *name, const char *value);

/* Whether they make sense together. 0, or LAB_EXIT_USAGE after a complaint. */
int probe_check_options(const struct probe_asked *a);

/* "10s", "500ms", "2m", "1h", "0.5" (seconds), as seconds; within a range, which `range` says in
 * words. 0, or LAB_EXIT_USAGE after a complaint about the option. */
int probe_take_time(const char *option, const char *value, double least_s, double most_s,
                    const char *range, double *out);

/* The number of a process, likewise. */
int probe_take_pid(const char *value, pid_t *out);

/* What was typed after the command's name, so that a shell would read it as the same words. The
 * caller frees. */
char *probe_command_line(const char *command, char **argv);

/* The path of what a process runs, or NULL. The caller frees. */
char *probe_program_of(pid_t pid);

/* Whether it is stopped, by SIGSTOP, by its terminal or by a debugger: nothing of it runs. */
bool probe_is_stopped(pid_t pid);

/* How a target ended, or did not, in a word: by its wait status, -1 if that is not known. The
 * caller frees. */
char *probe_ended_words(bool ended, int status);
char *probe_how_it_ended(const struct probe_watch *w);

#endif
