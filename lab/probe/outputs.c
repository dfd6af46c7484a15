/* SPDX-License-Identifier: MIT */
/* The files of a probe's command, and their options. */
#include "probe/output.h"

#include <errno.h>
#include <string.h>

#include "message.h"
#include "text.h"

const struct lab_option probe_output_options[] = {
    {PROBE_OPT_OUTPUT + PROBE_OUTPUT_JSON, 0, "json", "FILE",
     "write everything as JSON; - is standard output"},
    {PROBE_OPT_OUTPUT + PROBE_OUTPUT_CSV, 0, "csv", "FILE", "write a row a thread as CSV"},
    {PROBE_OPT_OUTPUT + PROBE_OUTPUT_COLLAPSED, 0, "collapsed", "FILE",
     "write the stacks that were sampled, as flame graphs are made from"},
    {PROBE_OPT_OUTPUT + PROBE_OUTPUT_TRACE, 0, "trace", "FILE",
     "write the timeline for Perfetto (ui.perfetto.dev) or chrome://tracing"},
    {PROBE_OPT_OUTPUT + PROBE_OUTPUT_HTML, 0, "html", "FILE",
     "write a page with a timeline that can be zoomed"},
    {PROBE_OPT_SPANS, 0, "spans", "N",
     "keep the newest N single spans for these (default: 262144; 0: none)"},
    {0},
};

static int (*const writers[PROBE_OUTPUTS])(FILE *f, const struct probe_report *r) = {
    [PROBE_OUTPUT_JSON] = probe_write_json,
    [PROBE_OUTPUT_CSV] = probe_write_csv,
    [PROBE_OUTPUT_COLLAPSED] = probe_write_collapsed,
    [PROBE_OUTPUT_TRACE] = probe_write_trace,
    [PROBE_OUTPUT_HTML] = probe_write_html,
};

enum { SPANS_USUAL = 1 << 18, SPANS_MOST = 1 << 24, LARGE = 4 << 20 };

static int take_spans(struct probe_outputs *o, const char *value) {
    unsigned long long number;
    if (!lab_parse_number(value, false, 0, SPANS_MOST, &number)) {
        lab_complain("%s: --spans: '%s' is not a number from 0 to %d", o->command, value,
                     SPANS_MOST);
        return LAB_EXIT_USAGE;
    }
    o->spans_set = true;
    o->spans = (size_t)number;
    return 0;
}

size_t probe_outputs_spans(const struct probe_outputs *o) {
    return o->spans_set ? o->spans : SPANS_USUAL;
}

char *probe_outputs_size(const struct probe_outputs *o, const struct probe_timeline *t) {
    struct lab_text text = {0};
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (o->bytes[i] > LARGE)
            lab_text_printf(&text, "%s'%s' has %.1f MB", text.length ? ", " : "", o->names[i],
                            (double)o->bytes[i] / 1e6);
    }
    if (text.length)
        lab_text_printf(&text, ": most of that are the %zu single spans of the timeline; with "
                        "--spans N the newest N are kept.", t->span_count);
    return text.data;
}

int probe_outputs_name(struct probe_outputs *o, int id, const char *name) {
    int which = id - PROBE_OPT_OUTPUT;
    if (id == PROBE_OPT_SPANS)
        return take_spans(o, name);
    if (*name == '\0') {
        lab_complain("%s: --%s needs a file name", o->command, probe_output_options[which].name);
        return LAB_EXIT_USAGE;
    }
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (i != which && o->names[i] && strcmp(o->names[i], name) == 0) {
            lab_complain("%s: --%s and --%s cannot both go to '%s'", o->command,
                         probe_output_options[i].name, probe_output_options[which].name, name);
            return LAB_EXIT_USAGE;
        }
    }
    o->names[which] = name;
    return 0;
}

bool probe_outputs_any(const struct probe_outputs *o) {
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (o->names[i])
            return true;
    }
    return false;
}

bool probe_outputs_have(const struct probe_outputs *o, const char *name) {
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (name && o->names[i] && strcmp(o->names[i], name) == 0)
            return true;
    }
    return false;
}

int probe_outputs_open(struct probe_outputs *o) {
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (o->names[i] && lab_output_open(&o->outputs[i], o->names[i]) != 0) {
            probe_outputs_close(o);
            return LAB_EXIT_USAGE;
        }
    }
    return 0;
}

int probe_outputs_write(struct probe_outputs *o, const struct probe_report *r, bool *text) {
    int status = 0;
    *text = true;
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        struct lab_output *out = &o->outputs[i];
        if (!out->name)
            continue;
        if (out->file == stdout)
            *text = false;
        int error = writers[i](out->file, r);
        errno = 0;
        if (error && fflush(out->file) != 0 && errno) /* why, is known to who tries again */
            error = -errno;
        if (error) {
            lab_complain("cannot write '%s': %s", out->name, strerror(-error));
            lab_output_abandon(out);
        }
        long bytes = error || out->file == stdout ? -1 : ftell(out->file);
        o->bytes[i] = bytes > 0 ? bytes : 0;
        if (error || lab_output_commit(out) != 0)
            status = LAB_EXIT_UNMEASURED;
    }
    return status;
}

void probe_outputs_close(struct probe_outputs *o) {
    for (int i = 0; i < PROBE_OUTPUTS; i++)
        lab_output_abandon(&o->outputs[i]);
}

bool probe_outputs_take_stdout(const struct probe_outputs *o) {
    for (int i = 0; i < PROBE_OUTPUTS; i++) {
        if (o->names[i] && strcmp(o->names[i], "-") == 0)
            return true;
    }
    return false;
}
