/* SPDX-License-Identifier: MIT */
/* What a command that measures does about the store. */
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../message.h"
#include "../report/report.h"
#include "../text.h"
#include "store.h"

bool lab_keep_label(const char *label) {
    unsigned long long number;
    bool good = *label && lab_is_printable(label) && !strchr(label, '/') &&
                !lab_starts_with(label, "last") && !lab_starts_with(label, "baseline:") &&
                !lab_parse_number(label, false, 0, ~0ULL, &number);
    if (!good)
        lab_complain("'%s' cannot be a run's label: it would be taken for a number, a file, "
                     "last-N or a baseline, or is empty or not printable",
                     label);
    return good;
}

bool lab_keep_baseline(const char *name) {
    if (*name && lab_is_printable(name))
        return true;
    lab_complain("'%s' cannot be a baseline's name: it is empty or not printable", name);
    return false;
}

int lab_keep_check(struct lab_keep *keep) {
    if (keep->label && !lab_keep_label(keep->label))
        return LAB_EXIT_USAGE;
    if (keep->off)
        return 0;
    struct lab_store *store;
    const char *variable = getenv("HEDDLE_DB");
    bool named = keep->file || (variable && *variable);
    int error = lab_store_open(keep->file, true, &store);
    if (!error) {
        lab_store_close(store);
        return 0;
    }
    if (named)
        return LAB_EXIT_USAGE;
    lab_complain("this run is not kept (--db names another place, --no-store none)");
    keep->off = true;
    return 0;
}

/* One word, quoted if a shell would read anything into it. */
static void add_quoted(struct lab_text *t, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=/.,:@%^";
    if (*word && word[strspn(word, plain)] == '\0') {
        lab_text_printf(t, "%s", word);
        return;
    }
    lab_text_printf(t, "'");
    for (; *word; word++)
        lab_text_printf(t, *word == '\'' ? "'\\''" : "%c", *word);
    lab_text_printf(t, "'");
}

void lab_keep_describe(struct lab_run *run, const char *name, char *const *argv) {
    char text[32];
    time_t now = time(NULL);
    struct tm utc;
    struct lab_text line = {0};
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    free(run->time);
    run->time = lab_copy(text);
    lab_text_printf(&line, "heddle %s", name);
    for (; *argv; argv++) {
        lab_text_printf(&line, " ");
        add_quoted(&line, *argv);
    }
    free(run->command);
    run->command = line.data;
}

char *lab_keep_commit(void) {
    FILE *f = popen("exec git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null"
                    " </dev/null",
                    "re");
    if (!f)
        return NULL;
    char line[128];
    char *got = fgets(line, sizeof(line), f);
    if (pclose(f) != 0 || !got)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return lab_copy(line);
}

/* The run as a file that heddle import reads. */
static void rescue(const struct lab_run *run) {
    const char *directory = getenv("TMPDIR");
    char *path =
        lab_format("%s/heddle-run-XXXXXX.json", directory && *directory ? directory : "/tmp");
    int fd = mkostemps(path, (int)strlen(".json"), O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    int error = f ? 0 : errno;
    if (f) {
        report_json(run, f);
        errno = 0;
        if (ferror(f) || fflush(f) != 0)
            error = errno ? errno : EIO;
        if (fclose(f) != 0 && !error)
            error = errno;
    }
    if (error) {
        lab_complain("nor could '%s' be written: %s; the reports are all there is", path,
                     strerror(error));
        unlink(path);
    } else {
        lab_complain("the run is in '%s': 'heddle import' takes it from there", path);
    }
    free(path);
}

int lab_keep_run(const struct lab_keep *keep, struct lab_run *run) {
    if (keep->label && !run->label)
        run->label = lab_copy(keep->label);
    if (keep->off)
        return 0;
    if (!run->uid)
        run->uid = lab_store_uid();
    struct lab_store *store;
    int error = lab_store_open(keep->file, true, &store);
    if (!error) {
        error = lab_store_save(store, run, NULL, &run->id);
        lab_store_close(store);
    }
    if (!error)
        return 0;
    rescue(run);
    return LAB_EXIT_UNMEASURED;
}
