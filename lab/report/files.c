/* SPDX-License-Identifier: MIT */
/* The files that a command writes its reports to. */
#include "files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../message.h"
#include "matches.h"
#include "report.h"

int lab_files_name(struct lab_files *files, enum lab_report which, const char *name) {
    if (*name == '\0') {
        lab_complain("%s: a report needs a file name", files->command);
        return LAB_EXIT_USAGE;
    }
    for (int i = 0; i < LAB_REPORTS; i++) {
        if (i != (int)which && files->names[i] && strcmp(files->names[i], name) == 0) {
            lab_complain("%s: two reports cannot go to '%s'", files->command, name);
            return LAB_EXIT_USAGE;
        }
    }
    files->names[which] = name;
    return 0;
}

int lab_files_open(struct lab_files *files) {
    for (int i = 0; i < LAB_REPORTS; i++) {
        if (files->names[i] && lab_output_open(&files->outputs[i], files->names[i]) != 0)
            return LAB_EXIT_USAGE;
    }
    return 0;
}

int lab_files_write(struct lab_files *files,
                    int (*write)(enum lab_report which, const void *arg, FILE *f), const void *arg,
                    bool *table) {
    int status = 0;
    *table = true;
    for (int i = 0; i < LAB_REPORTS; i++) {
        struct lab_output *o = &files->outputs[i];
        if (!o->name)
            continue;
        if (o->file == stdout)
            *table = false;
        int error = write((enum lab_report)i, arg, o->file);
        if (error) {
            lab_complain("cannot write '%s': %s", o->name, strerror(-error));
            lab_output_abandon(o);
        }
        if (error || lab_output_commit(o) != 0)
            status = LAB_EXIT_UNMEASURED;
    }
    return status;
}

void lab_files_close(struct lab_files *files) {
    for (int i = 0; i < LAB_REPORTS; i++)
        lab_output_abandon(&files->outputs[i]);
}

bool lab_files_colour(void) {
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

int lab_files_run(enum lab_report which, const void *arg, FILE *f) {
    const struct lab_run *run = arg;
    switch (which) {
    case LAB_REPORT_CSV:
        return report_csv(run, f);
    case LAB_REPORT_JSON:
        return report_json(run, f);
    case LAB_REPORT_MARKDOWN:
        return report_markdown(run, f);
    case LAB_REPORT_SAMPLES:
        return report_runs(run, f);
    default:
        return report_html(run, f);
    }
}

int lab_files_pair(enum lab_report which, const void *arg, FILE *f) {
    const struct report_pair *p = arg;
    return which == LAB_REPORT_CSV        ? report_matches_csv(p, f)
           : which == LAB_REPORT_JSON     ? report_matches_json(p, f)
           : which == LAB_REPORT_MARKDOWN ? report_matches_markdown(p, f)
                                          : report_matches_html(p, f);
}
