/* SPDX-License-Identifier: MIT */
/* heddle import: runs from files, into the store. */
#include <stdlib.h>

#include "cmd.h"
#include "message.h"
#include "opt.h"
#include "record.h"
#include "store/keep.h"
#include "store/store.h"
#include "text.h"

enum { OPT_LABEL, OPT_DB, OPT_HELP };

static const struct lab_option options[] = {
    {OPT_LABEL, 0, "label", "NAME", "a name for the runs, by which they are found again"},
    {OPT_DB, 0, "db", "FILE", "the store that keeps them"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

void cmd_import_help(FILE *f) {
    fputs("Usage: heddle import FILE... [OPTION...]\n\n"
          "Takes runs from JSON of heddle, pyperf, Google Benchmark and hyperfine; which\n"
          "one a file is, is seen. - is standard input. Each file becomes a run; one that\n"
          "is in the store already is not taken again, but gets the label.\n\n",
          f);
    lab_opt_print(options, f);
    fputs("\nExit status: 0 done, 2 wrong usage, 3 not every file could be taken (the others\n"
          "were).\n",
          f);
}

/* The exit status. */
static int import(struct lab_store *store, const char *file, const char *label) {
    struct lab_run run;
    long long id;
    if (lab_load_file(file, &run) != 0)
        return LAB_EXIT_UNMEASURED;
    bool known = false;
    int error = lab_store_known(store, &run, &id);
    if (!error && id)
        known = true;
    else if (!error)
        error = lab_store_save(store, &run, label, &id);
    if (!error && known && label)
        error = lab_store_label(store, id, label);
    if (!error)
        printf("%s: %s, %zu result%s, %s run %lld%s%s\n", file,
               run.source_format ? run.source_format : "heddle", run.result_count,
               run.result_count == 1 ? "" : "s", known ? "there already as" : "kept as", id,
               known && label ? ", now labelled " : "", known && label ? label : "");
    lab_run_free(&run);
    return error ? LAB_EXIT_UNMEASURED : LAB_EXIT_DONE;
}

int cmd_import(char **argv) {
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle import"};
    const char *label = NULL, *db = NULL;
    const char **files = NULL;
    size_t count = 0;
    int status = LAB_EXIT_DONE;
    bool help = false;
    for (int id; status == LAB_EXIT_DONE && (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        switch (id) {
        case OPT_LABEL:
            label = o.value;
            break;
        case OPT_DB:
            db = o.value;
            break;
        case OPT_HELP:
            help = true;
            break;
        case LAB_OPT_WORD:
            files = lab_grow_one(files, count, sizeof(*files));
            files[count++] = o.value;
            break;
        default:
            status = LAB_EXIT_USAGE;
        }
    }
    struct lab_store *store = NULL;
    if (status == LAB_EXIT_DONE && help) {
        cmd_import_help(stdout);
    } else if (status == LAB_EXIT_DONE) {
        if (count == 0)
            lab_complain("heddle import: which files?");
        if (count == 0 || (label && !lab_keep_label(label)) ||
            lab_store_open(db, true, &store) != 0)
            status = LAB_EXIT_USAGE;
    }
    for (size_t i = 0; store && i < count; i++) {
        int one = import(store, files[i], label);
        status = status == LAB_EXIT_DONE ? one : status;
    }
    lab_store_close(store);
    free(files);
    return cmd_finish(status);
}
