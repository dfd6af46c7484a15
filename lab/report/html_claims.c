/* SPDX-License-Identifier: MIT */
/* What an earlier analysis of Python's threads says, beside what this run measured.
 *
 * The claims are ratios between interpreters, so each is set against the ratio of medians here.
 * Its range is that of the extremes of both intervals: wider than a proper interval of the ratio,
 * so that a claim is called wrong only where it clearly is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

struct python {
    const char *version; /* the beginning of it */
    bool free_threaded;
    const char *title;
};

static const struct python python312 = {"3.12", false, "3.12"};
static const struct python python313 = {"3.13", false, "3.13"};
static const struct python python313t = {"3.13", true, "3.13t"};

static const struct claim {
    const char *what, *metric;
    const struct python *who, *against;
    double ratio;
} claims[] = {
    {"Creating a Thread object", "create_ms", &python313, &python312, 1.2},
    {"Creating a Thread object", "create_ms", &python313t, &python312, 1.2},
    {"Starting it", "start_ms", &python313, &python312, 1.1},
    {"Starting it", "start_ms", &python313t, &python312, 1.1},
    {"Joining it", "join_ms", &python313, &python312, 1.3},
    {"Joining it", "join_ms", &python313t, &python312, 1.3},
    {"Switches of threads by the kernel", "switches_per_thread", &python313t, &python313, 0.8},
};

static const double claimed_stack_bytes = 1 << 20;

static bool is_that(const struct lab_run *run, const char *subject, const struct python *p) {
    const struct lab_subject_info *info = html_subject(run, subject);
    size_t n = strlen(p->version);
    return info && strcmp(info->kind, "python") == 0 && info->free_threaded == p->free_threaded &&
           strncmp(info->version, p->version, n) == 0 &&
           (info->version[n] == '.' || info->version[n] == '\0');
}

static const struct lab_result *find(const struct lab_run *run, const char *experiment,
                                     const char *metric, const struct python *p) {
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        if (strcmp(r->experiment, experiment) == 0 && strcmp(r->metric, metric) == 0 &&
            is_that(run, r->subject, p)) {
            return r;
        }
    }
    return NULL;
}

static const struct lab_result *any_python(const struct lab_run *run, const char *experiment,
                                           const char *metric) {
    for (size_t i = 0; i < run->result_count; i++) {
        const struct lab_result *r = &run->results[i];
        if (strcmp(r->experiment, experiment) == 0 && strcmp(r->metric, metric) == 0 &&
            strcmp(html_kind(run, r->subject), "python") == 0) {
            return r;
        }
    }
    return NULL;
}

bool html_claims_wanted(const struct lab_run *run) {
    return any_python(run, "lifecycle", "start_ms") != NULL;
}

static void verdict(FILE *f, bool agrees, const char *words) {
    html_printf(f, "<td class=\"%s\">%s</td></tr>\n", agrees ? "agrees" : "differs", words);
}

static void ratio_row(FILE *f, const struct lab_run *run, const struct claim *c) {
    const struct lab_result *a = find(run, "lifecycle", c->metric, c->who);
    const struct lab_result *b = find(run, "lifecycle", c->metric, c->against);
    char *pair = lab_format("%s / %s", c->who->title, c->against->title);
    html_printf(f, "<tr><th scope=\"row\">%s</th><td>%s</td>", c->what, pair);
    fprintf(f, "<td>%.1f\xc3\x97</td>", c->ratio);
    free(pair);
    if (!a || !b || !(b->median > 0)) {
        bool neither = !a && !b;
        char *missing = lab_format("Python %s%s%s not measured here",
                                   !a ? c->who->title : c->against->title,
                                   neither ? " and " : "", neither ? c->against->title : "");
        html_printf(f, "<td></td><td class=\"note\">%s</td></tr>\n", missing);
        free(missing);
        return;
    }
    double ratio = a->median / b->median;
    bool ranged = isfinite(a->ci_low) && isfinite(b->ci_low) && b->ci_low > 0;
    double low = ranged ? a->ci_low / b->ci_high : ratio * 0.9;
    double high = ranged ? a->ci_high / b->ci_low : ratio * 1.1;
    fprintf(f, "<td>%.2f\xc3\x97<small>%.2f \xe2\x80\x93 %.2f</small></td>", ratio, low, high);
    if (c->ratio >= low && c->ratio <= high) {
        verdict(f, true, "\xe2\x9c\x93 agrees");
    } else {
        char *words = lab_format("\xe2\x9c\x97 disagrees: it is %s here",
                                 c->ratio < low ? "more" : "less");
        verdict(f, false, words);
        free(words);
    }
}

/* Address space and memory of a blocked thread, where capacity was measured with a Python. */
static void stack_row(FILE *f, const struct lab_run *run) {
    const struct lab_result *address = any_python(run, "capacity", "address_bytes_per_thread");
    fputs("<tr><th scope=\"row\">The stack of a thread</th><td>", f);
    html_text(f, address ? address->subject : "any");
    fputs("</td><td>1 MB</td>", f);
    if (!address) {
        fputs("<td></td><td class=\"note\">needs the experiment capacity with a Python</td></tr>\n",
              f);
        return;
    }
    const struct lab_result *resident = any_python(run, "capacity", "bytes_per_thread");
    char *reserved = html_value(address->median, "bytes");
    html_printf(f, "<td>%s reserved", reserved);
    free(reserved);
    if (resident) {
        char *used = html_value(resident->median, "bytes");
        html_printf(f, "<small>%s in use</small>", used);
        free(used);
    }
    fputs("</td>", f);
    double ratio = address->median / claimed_stack_bytes;
    bool agrees = ratio > 0.8 && ratio < 1.25;
    verdict(f, agrees, agrees ? "\xe2\x9c\x93 agrees"
                              : "\xe2\x9c\x97 disagrees: what is reserved follows ulimit -s, and "
                                "little of it is used");
}

void html_claims(FILE *f, const struct lab_run *run) {
    fputs("<h3>An earlier analysis, checked</h3>\n"
          "<p>An analysis of the same workload gives these ratios between Python versions. Beside "
          "each stands what this run measured; in small, the range that the intervals of both "
          "sides allow.</p>\n"
          "<div class=\"scroll\"><table class=\"claims\">\n<thead><tr>"
          "<th scope=\"col\">cost</th><th scope=\"col\">of</th><th scope=\"col\">it says</th>"
          "<th scope=\"col\">measured</th><th scope=\"col\"></th></tr></thead>\n<tbody>\n",
          f);
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) ratio_row(f, run, &claims[i]);
    stack_row(f, run);
    fputs("</tbody></table></div>\n", f);
}
