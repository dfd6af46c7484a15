/* SPDX-License-Identifier: MIT */
/* A run from a file of any format. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "../message.h"
#include "../record.h"
#include "../text.h"
#include "format.h"
#include "read.h"
#include "store.h"

enum { LARGEST = 512 << 20 }; /* a store takes nothing longer than 1 GB */

/* The whole file, and when it was last written. 0 or -errno. */
static int read_all(const char *path, struct lab_text *t, time_t *written) {
    bool in = strcmp(path, "-") == 0;
    FILE *f = in ? stdin : fopen(path, "re");
    if (!f)
        return -errno;
    struct stat st;
    *written = fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? st.st_mtime : time(NULL);
    static char buffer[65536];
    size_t n;
    errno = 0;
    while (t->length <= LARGEST && (n = fread(buffer, 1, sizeof(buffer), f)) > 0)
        lab_text_add(t, buffer, n);
    int error = ferror(f) ? -(errno ? errno : EIO) : t->length > LARGEST ? -EFBIG : 0;
    if (!in)
        fclose(f);
    return error;
}

static const struct lab_format *read_any(struct lab_reader *r, const json_t *file) {
    for (size_t i = 0; i < lab_format_count; i++) {
        if (lab_formats[i].read && lab_formats[i].read(r, file))
            return &lab_formats[i];
    }
    return NULL;
}

/* The file itself, so that nothing of it is lost. If another tool has changed what heddle wrote, it
 * is no longer the run that heddle knows. */
static void keep_source(struct lab_run *run, const struct lab_format *format,
                        const struct lab_text *t) {
    free(run->uid);
    run->uid = NULL;
    run->source_format = lab_copy(format->name);
    run->source = lab_copy_n(t->data, t->length);
    if (!run->mode)
        run->mode = lab_run_mode("import");
}

/* No time is negative, nor is a size: such a file is damaged, and what is computed from it would
 * mislead. */
static void refuse_negative(struct lab_reader *r) {
    for (size_t i = 0; i < r->run->result_count; i++) {
        const struct lab_result *x = &r->run->results[i];
        if (lab_unit_per_second(x->unit) <= 0 && strcmp(x->unit, "bytes") != 0)
            continue;
        for (size_t k = 0; k < x->n; k++) {
            const struct lab_process_samples *p = &x->processes[k];
            double least = x->samples[k];
            for (size_t m = 0; m < p->count; m++)
                least = p->values[m] < least ? p->values[m] : least;
            if (least < 0)
                lab_read_wrong(r, "%s of '%s' is negative: %.17g %s", x->metric, x->subject, least,
                               x->unit);
        }
    }
}

static int parse(const char *name, const struct lab_text *t, struct lab_run *out) {
    json_error_t e;
    json_t *file = json_loadb(t->data, t->length, 0, &e);
    if (!file) {
        bool packed = t->length > 2 && memcmp(t->data, "\x1f\x8b", 2) == 0;
        lab_complain("'%s' is not JSON: %s", name,
                     packed ? "it is compressed (gunzip it first)" : e.text);
        if (!packed && e.line > 0)
            lab_complain("  in line %d, column %d", e.line, e.column);
        return -EINVAL;
    }
    struct lab_reader r = {.run = out};
    const struct lab_format *format = read_any(&r, file);
    if (!format)
        lab_read_wrong(&r, "it is JSON of none of heddle, pyperf, Google Benchmark, hyperfine");
    else if (out->result_count == 0 && out->failure_count == 0)
        lab_read_wrong(&r, "there is no result in it");
    else if (!r.wrong)
        refuse_negative(&r);
    bool good = !r.wrong;
    if (!good) {
        lab_complain("cannot take '%s': %s", name, r.wrong);
    } else if (format->read != lab_read_heddle &&
               (!r.own || r.foreign || out->result_count != r.expected)) {
        keep_source(out, format, t);
    }
    free(r.wrong);
    json_decref(file);
    return good ? 0 : -EINVAL;
}

int lab_load_file(const char *path, struct lab_run *out) {
    struct lab_text t = {0};
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    *out = (struct lab_run){0};
    lab_text_add(&t, "", 0);
    time_t written;
    int error = read_all(path, &t, &written);
    if (error)
        lab_complain("cannot read '%s': %s", name, strerror(-error));
    else
        error = parse(name, &t, out);
    lab_text_free(&t);
    if (error) {
        lab_run_free(out);
    } else if (!out->time) { /* not in the file: hyperfine notes none */
        char text[32];
        struct tm utc;
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&written, &utc));
        out->time = lab_copy(text);
    }
    return error;
}
