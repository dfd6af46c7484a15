/* SPDX-License-Identifier: MIT */
/* The options that commands share. */
#include "options.h"

#include "message.h"

enum {
    OPT_REPORT = 2000, /* and what enum lab_report says: beyond the commands' own */
    OPT_LABEL = OPT_REPORT + LAB_REPORTS,
    OPT_DB,
    OPT_NO_STORE,
    OPT_QUIET,
    OPT_HELP,
};

#define HELP {OPT_HELP, 'h', "help", NULL, "print this and end"}

const struct lab_option lab_options_run[] = {
    {OPT_REPORT + LAB_REPORT_CSV, 0, "csv", "FILE",
     "write the results as CSV; - is standard output"},
    {OPT_REPORT + LAB_REPORT_JSON, 0, "json", "FILE", "write all there is to know as JSON"},
    {OPT_REPORT + LAB_REPORT_HTML, 0, "html", "FILE", "write a page with charts"},
    {OPT_REPORT + LAB_REPORT_MARKDOWN, 0, "markdown", "FILE", "write tables for a pull request"},
    {OPT_LABEL, 0, "label", "NAME", "a name for this run, by which it is found again"},
    {OPT_DB, 0, "db", "FILE", "the store that keeps the run (see 'heddle history')"},
    {OPT_NO_STORE, 0, "no-store", NULL, "do not keep the run"},
    {OPT_QUIET, 0, "quiet", NULL, "no progress on standard error"},
    HELP,
    {0},
};

const struct lab_option lab_options_pair[] = {
    {OPT_REPORT + LAB_REPORT_CSV, 0, "csv", "FILE",
     "write the comparisons as CSV; - is standard output"},
    {OPT_REPORT + LAB_REPORT_JSON, 0, "json", "FILE", "write the comparisons as JSON"},
    {OPT_REPORT + LAB_REPORT_HTML, 0, "html", "FILE", "write a page with charts"},
    {OPT_REPORT + LAB_REPORT_MARKDOWN, 0, "markdown", "FILE", "write tables for a pull request"},
    {OPT_DB, 0, "db", "FILE", "the store that runs are looked for in"},
    HELP,
    {0},
};

int lab_options_take(struct lab_options *o, int id, const char *value) {
    if (id >= OPT_REPORT && id < OPT_REPORT + LAB_REPORTS)
        return lab_files_name(&o->files, (enum lab_report)(id - OPT_REPORT), value);
    switch (id) {
    case OPT_LABEL:
        o->keep.label = value;
        return 0;
    case OPT_DB:
        o->keep.file = value;
        return 0;
    case OPT_NO_STORE:
        o->keep.off = true;
        return 0;
    case OPT_QUIET:
        o->quiet = true;
        return 0;
    case OPT_HELP:
        o->help = true;
        return 0;
    default:
        return LAB_EXIT_USAGE;
    }
}
