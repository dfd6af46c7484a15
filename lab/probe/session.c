/* SPDX-License-Identifier: MIT */
/* What the commands that watch a target share; session.h. */
#include "probe/session.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "subject/interrupt.h"
#include "text.h"

static bool parse_time(const char *text, double *out) {
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600}};
    char *end;
    double value = strtod(text, &end);
    if (end == text || !isfinite(value) || value <= 0)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *out = value * units[i].factor;
            return true;
        }
    }
    return false;
}

int probe_take_time(const char *option, const char *value, double least_s, double most_s,
                    const char *range, double *out) {
    if (parse_time(value, out) && *out >= least_s && *out <= most_s)
        return 0;
    lab_complain("--%s: '%s' is not a time %s, such as %s", option, value, range,
                 most_s > 60 ? "10s, 500ms or 2m" : "500us, 2ms or 1s");
    return LAB_EXIT_USAGE;
}

int probe_take_pid(const char *value, pid_t *out) {
    unsigned long long number;
    if (!lab_parse_number(value, false, 1, 1 << 30, &number)) {
        lab_complain("--pid: '%s' is not the number of a process", value);
        return LAB_EXIT_USAGE;
    }
    *out = (pid_t)number;
    return 0;
}

char *probe_command_line(const char *command, char **argv) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,+@%";
    struct lab_text text = {0};
    lab_text_printf(&text, "%s", command);
    for (; *argv; argv++) {
        const char *word = *argv;
        if (*word && word[strspn(word, plain)] == '\0') {
            lab_text_printf(&text, " %s", word);
            continue;
        }
        lab_text_printf(&text, " '");
        for (; *word; word++)
            lab_text_printf(&text, *word == '\'' ? "'\\''" : "%c", *word);
        lab_text_printf(&text, "'");
    }
    return text.data;
}

char *probe_program_of(pid_t pid) {
    char path[64], target[4096];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    return n > 0 ? lab_copy_n(target, (size_t)n) : NULL;
}

bool probe_is_stopped(pid_t pid) {
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    const char *end = strrchr(text, ')'); /* of the name, which may be anything */
    return end && end[1] == ' ' && (end[2] == 'T' || end[2] == 't');
}

char *probe_ended_words(bool ended, int status) {
    if (lab_interrupt_signal())
        return lab_copy("interrupted");
    if (!ended)
        return lab_copy("and it goes on");
    if (status < 0)
        return lab_copy("until it ended");
    if (WIFSIGNALED(status))
        return lab_format("ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status))
        return lab_format("ended with status %d", WEXITSTATUS(status));
    return lab_copy("to its end");
}

char *probe_how_it_ended(const struct probe_watch *w) {
    struct probe_watch_facts facts;
    probe_watch_facts(w, &facts);
    return probe_ended_words(facts.ended, facts.status);
}

/* ---- the options that commands share ---- */

enum { /* beyond a command's own, and those of outputs */
    OPT_PID = 2000,
    OPT_FOR,
    OPT_EVERY,
    OPT_FOLLOW,
    OPT_NO_PERF,
    OPT_LIVE,
    OPT_OUTPUT,
    OPT_QUIET,
    OPT_HELP,
};

const struct lab_option probe_session_options[] = {
    {OPT_PID, 'p', "pid", "N", "watch a process that runs"},
    {OPT_FOR, 's', "for", "TIME", "end after so long: 10s, 500ms, 2m (default: with the target)"},
    {OPT_EVERY, 0, "every", "TIME", "between two samples (default: 1ms)"},
    {OPT_FOLLOW, 'f', "follow", NULL, "the target's children, too"},
    {OPT_NO_PERF, 0, "no-perf", NULL, "do without the kernel's perf events: samples alone"},
    {OPT_LIVE, 'l', "live", NULL, "show what happens while it happens; q ends"},
    {OPT_OUTPUT, 'o', "output", "FILE", "write the text there, not to standard output"},
    {OPT_QUIET, 'q', "quiet", NULL, "no progress on standard error"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

int probe_take_option(const struct probe_asked *a, int id, const char *name, const char *value) {
    double seconds = 0;
    int status = 0;
    switch (id) {
    case OPT_PID:
        return probe_take_pid(value, &a->watch->pid);
    case OPT_FOR:
        return probe_take_time(name, value, 1e-3, 1e7, "up to 2777h", &a->watch->for_s);
    case OPT_EVERY:
        status = probe_take_time(name, value, 1e-4, 10, "from 100us to 10s", &seconds);
        a->watch->every_ms = seconds * 1e3;
        return status;
    case OPT_FOLLOW:
        a->watch->follow = true;
        return 0;
    case OPT_NO_PERF:
        a->watch->no_perf = true;
        return 0;
    case OPT_LIVE:
        *a->live = true;
        return 0;
    case OPT_OUTPUT:
        *a->text_name = value;
        return 0;
    case OPT_QUIET:
        *a->quiet = true;
        return 0;
    case OPT_HELP:
        *a->help = true;
        return 0;
    default:
        return probe_outputs_name(a->outputs, id, value);
    }
}

int probe_check_options(const struct probe_asked *a) {
    const char *text = *a->text_name;
    if (a->watch->command && a->watch->pid) {
        lab_complain("%s: either a command or --pid, not both", a->command);
    } else if (!a->watch->command && !a->watch->pid) {
        lab_complain("%s: what shall be watched? Give a command after --, or --pid N", a->command);
    } else if (a->watch->pid == getpid()) {
        lab_complain("%s: %d is this command itself", a->command, (int)a->watch->pid);
    } else if (text && *text == '\0') {
        lab_complain("%s: --output needs a file name", a->command);
    } else if (probe_outputs_have(a->outputs, text)) {
        lab_complain("%s: two outputs cannot both go to '%s'", a->command, text);
    } else {
        return 0;
    }
    return LAB_EXIT_USAGE;
}
