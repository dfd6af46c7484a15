/* SPDX-License-Identifier: MIT */
/* heddle export: a run in another format. */
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "opt.h"
#include "pick.h"
#include "record.h"
#include "report/output.h"
#include "report/report.h"
#include "store/format.h"
#include "text.h"

enum { OPT_FORMAT, OPT_OUTPUT, OPT_DB, OPT_HELP };

static const struct lab_option options[] = {
    {OPT_FORMAT, 'f', "format", "FORMAT", "see above (default: json)"},
    {OPT_OUTPUT, 'o', "output", "FILE", "write there instead of to standard output"},
    {OPT_DB, 0, "db", "FILE", "the store that the run is in"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

void cmd_export_help(FILE *f) {
    fputs("Usage: heddle export RUN [OPTION...]\n\n"
          "Writes a run: its number, label, commit, last, last-N, baseline:NAME, a\n"
          "revision (HEAD~1, rev:main), or a file that 'heddle import' would take.\n\n"
          "Formats:\n\n",
          f);
    for (size_t i = 0; i < lab_format_count; i++)
        fprintf(f, "  %-10s  %s\n", lab_formats[i].name, lab_formats[i].summary);
    fprintf(f, "  %-10s  %s\n\nOptions:\n", "html", "a page with charts");
    lab_opt_print(options, f);
}

/* The exit status. */
static int write_run(const struct lab_run *run, const char *format, const char *name) {
    struct lab_output out;
    if (lab_output_open(&out, name) != 0)
        return LAB_EXIT_USAGE;
    size_t left_out = 0;
    const struct lab_format *chosen = lab_format_find(format);
    if (strcmp(format, "html") == 0) {
        int error = report_html(run, out.file);
        if (error) {
            lab_complain("cannot write '%s': %s", name, strerror(-error));
            lab_output_abandon(&out);
            return LAB_EXIT_UNMEASURED;
        }
    } else {
        left_out = lab_format_write(chosen, run, out.file);
    }
    if (lab_output_commit(&out) != 0)
        return LAB_EXIT_UNMEASURED;
    if (left_out == 0)
        return LAB_EXIT_DONE;
    const char *never = chosen->never;
    lab_complain("%zu of %zu results are left out: %s has no words for %s", left_out,
                 run->result_count, format, never ? never : "them");
    return never && left_out < run->result_count ? LAB_EXIT_DONE : LAB_EXIT_UNMEASURED;
}

static int no_format(const char *name) {
    struct lab_text t = {0};
    for (size_t i = 0; i < lab_format_count; i++)
        lab_text_printf(&t, "%s, ", lab_formats[i].name);
    lab_complain("heddle export: there is no format '%s'; there are %shtml", name, t.data);
    lab_text_free(&t);
    return LAB_EXIT_USAGE;
}

int cmd_export(char **argv) {
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle export"};
    const char *what = NULL, *format = "json", *file = "-", *db = NULL;
    for (int id; (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        switch (id) {
        case OPT_FORMAT:
            format = o.value;
            break;
        case OPT_OUTPUT:
            file = o.value;
            break;
        case OPT_DB:
            db = o.value;
            break;
        case OPT_HELP:
            cmd_export_help(stdout);
            return cmd_finish(LAB_EXIT_DONE);
        case LAB_OPT_WORD:
            if (what) {
                lab_complain("heddle export: one run at a time");
                return LAB_EXIT_USAGE;
            }
            what = o.value;
            break;
        default:
            return LAB_EXIT_USAGE;
        }
    }
    if (!what) {
        lab_complain("heddle export: which run? ('heddle history' lists them)");
        return LAB_EXIT_USAGE;
    }
    if (strcmp(format, "html") != 0 && !lab_format_find(format)) {
        return no_format(format);
    }
    struct lab_run run;
    if (lab_pick_run(what, db, &run) != 0)
        return LAB_EXIT_USAGE;
    int status = write_run(&run, format, file);
    lab_run_free(&run);
    return status;
}
