/* SPDX-License-Identifier: MIT */
/* From samples to results: one value a process, and estimates over the processes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../record.h"
#include "../stat/stat.h"
#include "../text.h"
#include "plan.h"
#include "warmup.h"

static const struct lab_collected *collected(const struct lab_item *item, const char *metric) {
    for (size_t i = 0; i < item->collected_count; i++) {
        if (strcmp(item->collected[i].metric, metric) == 0)
            return &item->collected[i];
    }
    return NULL;
}

/* Without the first `cold` samples. */
static double median_of(const struct lab_process_samples *p, size_t cold) {
    return lab_stat_median(p->values + cold, p->count - cold);
}

static struct lab_warmup warmup_of(const struct lab_collected *c) {
    if (!lab_warmup_applies(c->unit))
        return (struct lab_warmup){0};
    return lab_warmup_find(c->processes, c->count);
}

/* The reference's processes in this group, or NULL. */
static const struct lab_collected *find_bare(const struct lab_group *g) {
    for (size_t i = 0; i < g->item_count; i++) {
        if (g->items[i].bare && g->items[i].collected_count)
            return &g->items[i].collected[0];
    }
    return NULL;
}

/* Each process is divided by the reference of its own round, which ran seconds apart from it:
 * what slows the machine for a minute falls out. The median of these ratios is the estimate. */
static double ratio_to_bare(const struct lab_collected *c, const struct lab_collected *bare) {
    size_t cold = warmup_of(c).samples, bare_cold = warmup_of(bare).samples;
    double *ratios = lab_alloc(c->count, sizeof(*ratios));
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        for (size_t k = 0; k < bare->count; k++) {
            double floor = median_of(&bare->processes[k], bare_cold);
            if (bare->rounds[k] != c->rounds[i] || floor <= 0)
                continue;
            ratios[n++] = median_of(&c->processes[i], cold) / floor;
            break;
        }
    }
    double ratio = n ? lab_stat_median(ratios, n) : NAN;
    free(ratios);
    return ratio;
}

static void copy_params(struct lab_result *r, const struct lab_item *item) {
    for (size_t i = 0; i < item->param_count; i++) {
        const struct lab_pair *p = &item->params[i];
        lab_pairs_add(&r->params, &r->param_count, p->key, p->value, p->number);
    }
}

static void estimate(struct lab_result *r, const struct lab_collected *c, size_t cold) {
    r->n = c->count;
    r->samples = lab_alloc(c->count, sizeof(*r->samples));
    r->processes = lab_alloc(c->count, sizeof(*r->processes));
    for (size_t i = 0; i < c->count; i++) {
        const struct lab_process_samples *from = &c->processes[i];
        struct lab_process_samples *to = &r->processes[i];
        to->count = from->count;
        to->values = lab_alloc(from->count, sizeof(double));
        memcpy(to->values, from->values, from->count * sizeof(double));
        r->samples[i] = median_of(from, cold);
    }
    struct lab_interval interval = lab_stat_interval95(r->samples, r->n);
    r->median = lab_stat_median(r->samples, r->n);
    r->min = lab_stat_min(r->samples, r->n);
    r->max = lab_stat_max(r->samples, r->n);
    r->ci_low = interval.low;
    r->ci_high = interval.high;
}

/* The record says what was left out: the raw samples still hold it. */
static void note_warmup(struct lab_run *run, const struct lab_result *r, struct lab_warmup w) {
    if (w.samples == 0)
        return;
    char *text =
        lab_format("%s%s%s: the first %zu of %zu samples of each process are warm-up, left out%s",
                   r->variant, *r->variant ? " " : "", r->metric, w.samples, r->processes[0].count,
                   w.unsettled ? "; the others may not have settled" : "");
    lab_run_note(run, r->experiment, r->subject, "warmup", text);
    free(text);
}

static void add_result(struct lab_run *run, const struct lab_group *g, const struct lab_item *item,
                       const struct lab_collected *c) {
    const struct lab_experiment *e = item->bare ? lab_experiment_find(LAB_BARE) : g->experiment;
    const struct lab_metric *m = lab_metric_find(e, c->metric);
    const struct lab_collected *bare = find_bare(g);
    struct lab_result *r = lab_run_add(run);
    r->experiment = lab_copy(g->experiment->name);
    r->subject = lab_copy(item->bare ? LAB_BARE : item->subject->name);
    r->metric = lab_copy(c->metric);
    r->unit = lab_copy(c->unit);
    r->variant = lab_copy(g->variant);
    /* A metric that the table does not know: rates are better high, all else low. */
    r->better = m                               ? m->better
                : strcmp(c->unit, "per_s") == 0 ? LAB_BETTER_HIGHER
                                                : LAB_BETTER_LOWER;
    r->primary = m && m->primary;
    r->per_thing = m && m->per_thing;
    copy_params(r, item);
    struct lab_warmup warmup = warmup_of(c);
    estimate(r, c, warmup.samples);
    note_warmup(run, r, warmup);
    r->bare_ratio = m && m->over_bare && bare ? ratio_to_bare(c, bare) : NAN;
}

static void add_metric(struct lab_run *run, const struct lab_group *g, const char *metric) {
    for (size_t i = 0; i < g->item_count; i++) {
        const struct lab_collected *c = collected(&g->items[i], metric);
        if (c)
            add_result(run, g, &g->items[i], c);
    }
}

/* Metrics in the table's order; then those that it does not know, the reference's among them. */
static void conclude_group(const struct lab_group *g, struct lab_run *run) {
    const struct lab_metric *known = g->experiment->metrics;
    for (const struct lab_metric *m = known; m->name; m++)
        add_metric(run, g, m->name);
    size_t first = run->result_count;
    for (size_t i = 0; i < g->item_count; i++) {
        for (size_t k = 0; k < g->items[i].collected_count; k++) {
            const char *metric = g->items[i].collected[k].metric;
            bool done = lab_metric_find(g->experiment, metric) != NULL;
            for (size_t j = first; j < run->result_count && !done; j++) {
                done = strcmp(run->results[j].metric, metric) == 0;
            }
            if (!done)
                add_metric(run, g, metric);
        }
    }
}

void lab_plan_conclude(const struct lab_plan *plan, struct lab_run *run) {
    for (size_t i = 0; i < plan->group_count; i++)
        conclude_group(&plan->groups[i], run);
}
