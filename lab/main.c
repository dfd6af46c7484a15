/* SPDX-License-Identifier: MIT */
/* The command `heddle`: a table of commands. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <heddle/base.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

static int cmd_help(char **argv);
static int cmd_version(char **argv);

static void help_help(FILE *f) {
    fputs("Usage: heddle help [COMMAND]\n\nSays how a command is used.\n", f);
}

static void version_help(FILE *f) {
    fputs("Usage: heddle version\n\nPrints the version.\n", f);
}

static const struct lab_command commands[] = {
    {"lab", "measure threads: heddle's, the kernel's, Python's, others'", cmd_lab, cmd_lab_help},
    {"run", "measure commands, and compare them", cmd_run, cmd_run_help},
    {"compare", "compare two runs", cmd_compare, cmd_compare_help},
    {"gate", "compare a run with a baseline, for the exit status", cmd_gate, cmd_gate_help},
    {"gil", "say who holds Python's GIL, and who waits for it", cmd_gil, cmd_gil_help},
    {"threads", "say where a program's threads spend their time", cmd_threads, cmd_threads_help},
    {"subjects", "list who can be measured here", cmd_subjects, cmd_subjects_help},
    {"machine", "say what would disturb a measurement here", cmd_machine, cmd_machine_help},
    {"ops", "say which bytecode a Python program runs, and in which forms", cmd_ops, cmd_ops_help},
    {"history", "list the runs that were kept, and label them", cmd_history, cmd_history_help},
    {"export", "write a run in another format: Markdown, pyperf, ...", cmd_export, cmd_export_help},
    {"import", "take runs from files of other tools", cmd_import, cmd_import_help},
    {"help", "say how a command is used", cmd_help, help_help},
    {"version", "print the version", cmd_version, version_help},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct lab_command *find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void usage(FILE *f) {
    fputs("Usage: heddle COMMAND [ARGUMENT...]\n\nCommands:\n", f);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n'heddle help COMMAND' or 'heddle COMMAND --help' tells more; so does\n"
          "the manual: heddle(1), and heddle-COMMAND(1) for each of them.\n",
          f);
}

static int unknown(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (lab_is_near(name, commands[i].name)) {
            lab_complain("there is no command '%s'; is '%s' meant? (see 'heddle help')", name,
                         commands[i].name);
            return LAB_EXIT_USAGE;
        }
    }
    lab_complain("there is no command '%s' (see 'heddle help')", name);
    return LAB_EXIT_USAGE;
}

static bool wants_help(char **argv) {
    return argv[0] && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
}

static int cmd_help(char **argv) {
    if (wants_help(argv)) {
        help_help(stdout);
    } else if (!argv[0]) {
        usage(stdout);
    } else {
        const struct lab_command *c = find(argv[0]);
        if (!c)
            return unknown(argv[0]);
        if (argv[1]) {
            lab_complain("heddle help: one command at a time");
            return LAB_EXIT_USAGE;
        }
        c->help(stdout);
    }
    return cmd_finish(LAB_EXIT_DONE);
}

static int cmd_version(char **argv) {
    if (wants_help(argv)) {
        version_help(stdout);
    } else if (argv[0]) {
        lab_complain("heddle version: nothing may follow");
        return LAB_EXIT_USAGE;
    } else {
        printf("heddle %d.%d.%d\n", HD_VERSION_MAJOR, HD_VERSION_MINOR, HD_VERSION_PATCH);
    }
    return cmd_finish(LAB_EXIT_DONE);
}

int cmd_finish(int status) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    lab_complain("cannot write to standard output: %s", strerror(errno ? errno : EIO));
    return status == LAB_EXIT_DONE ? LAB_EXIT_UNMEASURED : status;
}

/* A command started with a standard stream closed would get its own files under that number, and
 * write messages into them. /dev/null takes the place; of the kind that fails, so that output
 * into a closed standard output is still seen to be lost. */
static void fill_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int got = open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
        if (got < 0)
            _exit(LAB_EXIT_UNMEASURED);
    }
}

int main(int argc, char **argv) {
    fill_standard_streams();
    setlocale(LC_CTYPE, ""); /* that alone: numbers are written with a point everywhere */
    if (argc < 2) {
        usage(stderr);
        return LAB_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const struct lab_command *c = find(name);
    return c ? c->run(argv + 2) : unknown(name);
}
