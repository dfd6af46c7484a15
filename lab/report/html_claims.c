/* SPDX-License-Identifier: MIT */
/* What earlier sources say of an experiment, beside what this run measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

static void of_whom(FILE *f, const struct lab_check *c) {
    const struct lab_reference *r = c->reference;
    html_text(f, c->result ? c->result->subject : r->subject);
    if (r->than_subject) {
        html_printf(f, " / %s", c->than ? c->than->subject : r->than_subject);
    } else if (r->than_metric) {
        html_printf(f, ", against %s", r->than_metric);
    }
}

/* Why nothing can be said, as far as it is known. */
static void missing(FILE *f, const struct lab_check *c) {
    const struct lab_reference *r = c->reference;
    bool ratio = r->than_metric || r->than_subject;
    const char *who = !c->result         ? r->subject
                      : r->than_subject  ? r->than_subject
                                         : c->result->subject;
    const char *what = !c->result || !r->than_metric ? r->metric : r->than_metric;
    fputs("<td></td><td class=\"note\">", f);
    html_printf(f, ratio && c->result && c->than ? "%s of %s is too near to nothing"
                                                 : "%s of %s was not measured here", what, who);
    fputs("</td></tr>\n", f);
}

static void measured(FILE *f, const struct lab_check *c) {
    bool ratio = c->reference->than_metric || c->reference->than_subject;
    const char *unit = ratio ? "ratio" : c->result->unit;
    char *value = html_value(c->measured, unit), *range = html_range(c->low, c->high, unit);
    html_printf(f, "<td>%s<small>%s</small></td>", value, range);
    free(value);
    free(range);
    if (c->agreement == LAB_AGREES) {
        fputs("<td class=\"agrees\">\xe2\x9c\x93 agrees</td></tr>\n", f);
        return;
    }
    if (c->agreement == LAB_UNDECIDED) {
        fputs("<td class=\"note\">cannot be told: the range has both</td></tr>\n", f);
        return;
    }
    html_printf(f, "<td class=\"differs\">\xe2\x9c\x97 disagrees: it is %s here",
                c->low > c->reference->high ? "more" : "less");
    if (c->reference->because) html_printf(f, "<small>%s</small>", c->reference->because);
    fputs("</td></tr>\n", f);
}

static void row(FILE *f, const struct lab_check *c) {
    html_printf(f, "<tr><th scope=\"row\">%s</th><td>", c->reference->what);
    of_whom(f, c);
    html_printf(f, "</td><td>%s</td>", c->reference->says);
    if (c->agreement == LAB_UNMEASURED) {
        missing(f, c);
    } else {
        measured(f, c);
    }
}

static void head(FILE *f) {
    fputs("<h3>Earlier figures, checked</h3>\n"
          "<p>What others have said, and beside it what this run measured; in small, the range "
          "that the intervals of both sides allow. A figure is said to disagree where it lies "
          "outside of that.</p>\n"
          "<div class=\"scroll\"><table class=\"claims\">\n<thead><tr>"
          "<th scope=\"col\">what</th><th scope=\"col\">of</th><th scope=\"col\">it says</th>"
          "<th scope=\"col\">measured</th><th scope=\"col\"></th></tr></thead>\n", f);
}

void html_claims(FILE *f, const struct lab_run *run, const char *experiment) {
    struct lab_check *checks;
    size_t count = lab_references_check(run, &checks);
    const char *source = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct lab_reference *r = checks[i].reference;
        if (strcmp(r->experiment, experiment) != 0) continue;
        if (!source) head(f);
        if (!source || strcmp(source, r->source) != 0) {
            if (source) fputs("</tbody>\n", f);
            html_printf(f, "<tbody><tr><th colspan=\"5\" scope=\"rowgroup\">%s</th></tr>\n",
                        r->source);
            source = r->source;
        }
        row(f, &checks[i]);
    }
    if (source) fputs("</tbody></table></div>\n", f);
    free(checks);
}
