/* SPDX-License-Identifier: MIT */
/* What earlier sources say of an experiment, below its tables: a paragraph a figure, over all the
 * subjects that it is about. The page and JSON have each subject's own. */
#include <stdlib.h>
#include <string.h>

#include "../experiment.h"
#include "../text.h"
#include "format.h"
#include "text_view.h"

/* The checks of one reference: [0, n). */
static void summary(const struct text_view *v, const struct lab_check *checks, size_t n) {
    const struct lab_reference *r = checks[0].reference;
    bool ratio = r->than_metric || r->than_subject;
    size_t agree = 0, disagree = 0, measured = 0, highest = 0, lowest = 0;
    for (size_t i = 0; i < n; i++) {
        if (checks[i].agreement == LAB_UNMEASURED)
            continue;
        bool first = measured++ == 0;
        if (first || checks[i].measured > checks[highest].measured)
            highest = i;
        if (first || checks[i].measured < checks[lowest].measured)
            lowest = i;
        agree += checks[i].agreement == LAB_AGREES;
        disagree += checks[i].agreement == LAB_DISAGREES;
    }
    if (measured == 0)
        return;
    char low[LAB_CELL], high[LAB_CELL];
    const char *unit = ratio ? "ratio" : checks[lowest].result->unit;
    lab_human(low, checks[lowest].measured, unit);
    lab_human(high, checks[highest].measured, unit);
    struct lab_text t = {0};
    lab_text_printf(&t, "%s: %s says %s; here %s", r->what, r->source, r->says, low);
    if (strcmp(low, high) != 0)
        lab_text_printf(&t, " (%s) to %s (%s)", checks[lowest].result->subject, high,
                        checks[highest].result->subject);
    if (agree == measured || disagree == measured) {
        lab_text_printf(&t, ": %s", agree ? "agrees" : "disagrees");
    } else if (agree && disagree) {
        lab_text_printf(&t, ": agrees with %zu, disagrees with %zu of %zu", agree, disagree,
                        measured);
    } else if (agree || disagree) {
        lab_text_printf(&t, ": %s with %zu of %zu", agree ? "agrees" : "disagrees",
                        agree + disagree, measured);
    } else {
        lab_text_printf(&t, ": cannot be told from so few processes");
    }
    if (disagree && r->because)
        lab_text_printf(&t, " (%s)", r->because);
    const char *colour = disagree ? v->red : v->dim;
    fprintf(v->f, "%s  ", colour);
    lab_wrap(v->f, t.data, 2, 4);
    fputs(v->plain, v->f);
    lab_text_free(&t);
}

void text_references(const struct text_view *v, const char *experiment) {
    struct lab_check *checks;
    size_t count = lab_references_check(v->run, &checks);
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && checks[i + n].reference == checks[i].reference; n++)
            continue;
        if (strcmp(checks[i].reference->experiment, experiment) == 0)
            summary(v, checks + i, n);
    }
    free(checks);
}
