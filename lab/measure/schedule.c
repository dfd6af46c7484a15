/* SPDX-License-Identifier: MIT */
/* Running the plan.
 *
 * A round runs one process of every item. Rounds come in pairs: the first of a pair has the
 * subjects of a group in a shuffled order, the second has them in reverse (A B C, then C B A), so
 * that a machine that slows down or speeds up steadily treats all alike. Rounds go over the whole
 * tour, not over one experiment: when the time is up, or somebody loses patience, everything has
 * been measured about equally often. */
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../record.h"
#include "../stat/stat.h"
#include "../subject/interrupt.h"
#include "../subject/process.h"
#include "../text.h"
#include "plan.h"
#include "protocol.h"

enum { TIMEOUTS_MAX = 2 }; /* a subject that hangs twice is not asked again */

struct runner {
    struct lab_plan *plan;
    const struct lab_request *request;
    struct lab_run *run;
    unsigned round;
    uint64_t random;
    unsigned *timeouts; /* by subject */
    size_t processes;   /* that ran */
    bool short_of_time;
};

static const char *name_of(const struct lab_item *item) {
    return item->bare ? LAB_BARE : item->subject->name;
}

static void fail(struct runner *r, struct lab_group *g, struct lab_item *item, const char *reason) {
    const char *variant = g->variant, *blank = variant[0] ? " " : "";
    item->dropped = true;
    lab_complain("%s%s%s: %s: %s", g->experiment->name, blank, variant, name_of(item), reason);
    lab_run_fail(r->run, g->experiment->name, variant, name_of(item), reason);
}

static void collect_series(struct lab_item *item, struct lab_series *s, unsigned round) {
    struct lab_collected *c = NULL;
    for (size_t i = 0; i < item->collected_count; i++) {
        if (strcmp(item->collected[i].metric, s->metric) == 0)
            c = &item->collected[i];
    }
    if (c && strcmp(c->unit, s->unit) != 0)
        return; /* a subject that changes its mind */
    if (!c) {
        item->collected =
            lab_grow_one(item->collected, item->collected_count, sizeof(*item->collected));
        c = &item->collected[item->collected_count++];
        *c = (struct lab_collected){.metric = lab_copy(s->metric), .unit = lab_copy(s->unit)};
    }
    c->processes = lab_grow_one(c->processes, c->count, sizeof(*c->processes));
    c->rounds = lab_grow_one(c->rounds, c->count, sizeof(*c->rounds));
    c->processes[c->count] = (struct lab_process_samples){.values = s->values, .count = s->count};
    c->rounds[c->count++] = round;
    s->values = NULL; /* ours now */
}

/* Takes the samples out of what a process said. Returns the reason if it failed, else NULL. */
static char *digest(struct runner *r, struct lab_group *g, struct lab_item *item,
                    const struct lab_process *p) {
    struct lab_answer a;
    char *reason = NULL;
    lab_answer_parse(&a, &p->out);
    if (a.garbage) {
        reason = lab_copy(a.garbage);
    } else {
        for (size_t i = 0; i < a.series_count; i++)
            collect_series(item, &a.series[i], r->round);
        for (size_t i = 0; i < a.note_count && r->round == 0; i++) {
            lab_run_note(r->run, g->experiment->name, name_of(item), a.notes[i].key,
                         a.notes[i].value);
        }
        if (a.error) {
            reason = lab_copy(a.error);
        } else if (p->code == 0 && a.series_count == 0) {
            reason = lab_copy("printed no sample");
        }
    }
    lab_answer_free(&a);
    return reason;
}

/* Why the process counts as failed, or NULL. */
static char *judge(struct runner *r, struct lab_group *g, struct lab_item *item,
                   const struct lab_process *p, double timeout_s) {
    char *reason = NULL;
    if (p->end == LAB_PROCESS_TIMED_OUT && timeout_s < r->request->timeout_s) {
        /* Not its fault. One process less is no failure, unless there is no other. */
        r->short_of_time = true;
        if (item->done)
            return NULL;
        return lab_format("the time budget of %.3g s ended while it ran", r->request->budget_s);
    }
    bool spoke = p->end == LAB_PROCESS_EXITED && (p->code == 0 || p->code == 3);
    if (spoke)
        reason = digest(r, g, item, p);
    return reason ? reason : lab_process_reason(p, timeout_s);
}

/* How long the rest will take, as far as one can tell. */
static double seconds_left(const struct runner *r) {
    double known_s = 0, rest_s = 0;
    size_t known = 0, unknown = 0;
    for (size_t i = 0; i < r->plan->group_count; i++) {
        const struct lab_group *g = &r->plan->groups[i];
        for (size_t k = 0; k < g->item_count; k++) {
            const struct lab_item *item = &g->items[k];
            if (item->dropped)
                continue;
            unsigned rest = r->request->rounds - item->done;
            if (item->done == 0) {
                unknown += rest;
            } else {
                known_s += item->last_s;
                known++;
                rest_s += rest * item->last_s;
            }
        }
    }
    rest_s += known ? (double)unknown * known_s / (double)known : (double)unknown * 0.3;
    if (r->request->budget_s > 0) {
        double budget_s = r->request->begin_s + r->request->budget_s - lab_now_s();
        if (rest_s > budget_s)
            rest_s = budget_s;
    }
    return rest_s > 0 ? rest_s : 0;
}

static void show_progress(const struct runner *r, const struct lab_group *g,
                          const struct lab_item *item) {
    double left_s = seconds_left(r);
    const char *blank = g->variant[0] ? " " : "";
    lab_progress("round %u of %u, %s%s%s: %s; about %.0f %s left", r->round + 1, r->request->rounds,
                 g->experiment->name, blank, g->variant, name_of(item),
                 left_s < 120 ? left_s : left_s / 60, left_s < 120 ? "s" : "min");
}

/* The time limit of the next process of the item; 0 if there is no time for it. */
static double time_for(struct runner *r, const struct lab_item *item) {
    if (r->request->budget_s <= 0)
        return r->request->timeout_s;
    double left_s = r->request->begin_s + r->request->budget_s - lab_now_s();
    if (left_s <= 0 || (item->done && item->last_s > left_s)) {
        r->short_of_time = true;
        return 0;
    }
    return left_s < r->request->timeout_s ? left_s : r->request->timeout_s;
}

static void run_item(struct runner *r, struct lab_group *g, struct lab_item *item) {
    size_t index = (size_t)(item->subject - r->request->subjects->items);
    if (item->dropped)
        return;
    if (r->timeouts[index] >= TIMEOUTS_MAX && !item->bare) {
        fail(r, g, item, "not tried: the subject did not end in time before");
        return;
    }
    double timeout_s = time_for(r, item);
    if (timeout_s <= 0)
        return;
    show_progress(r, g, item);
    struct lab_process p;
    lab_process_run(&p, item->argv, timeout_s);
    if (p.end != LAB_PROCESS_INTERRUPTED) {
        char *reason = judge(r, g, item, &p, timeout_s);
        if (p.end == LAB_PROCESS_TIMED_OUT && reason)
            r->timeouts[index]++;
        if (reason)
            fail(r, g, item, reason);
        free(reason);
        item->done++;
        item->last_s = p.seconds;
        r->processes++;
    }
    lab_process_free(&p);
}

static void run_group(struct runner *r, struct lab_group *g) {
    size_t n = g->item_count;
    if (r->round % 2 == 0)
        lab_stat_permutation(g->order, n, &r->random);
    for (size_t i = 0; i < n && !lab_interrupt_signal(); i++) {
        size_t at = r->round % 2 == 0 ? i : n - 1 - i;
        run_item(r, g, &g->items[g->order[at]]);
    }
}

/* Those whose turn never came. */
static void report_unmeasured(struct runner *r) {
    char *reason = lab_format("not measured: the time budget of %.3g s was spent before its turn",
                              r->request->budget_s);
    for (size_t i = 0; i < r->plan->group_count; i++) {
        struct lab_group *g = &r->plan->groups[i];
        for (size_t k = 0; k < g->item_count; k++) {
            struct lab_item *item = &g->items[k];
            if (item->done == 0 && !item->dropped)
                fail(r, g, item, reason);
        }
    }
    free(reason);
}

void lab_plan_run(struct lab_plan *plan, const struct lab_request *request, struct lab_run *run) {
    struct runner r = {.plan = plan, .request = request, .run = run, .random = request->seed};
    r.timeouts = lab_alloc(request->subjects->count, sizeof(*r.timeouts));
    for (r.round = 0; r.round < request->rounds && !lab_interrupt_signal(); r.round++) {
        for (size_t i = 0; i < plan->group_count && !lab_interrupt_signal(); i++) {
            run_group(&r, &plan->groups[i]);
        }
    }
    lab_progress_hide();
    run->interrupted = lab_interrupt_signal() != 0;
    if (!run->interrupted && r.short_of_time)
        report_unmeasured(&r);
    run->out_of_time = r.short_of_time;
    free(r.timeouts);
}
