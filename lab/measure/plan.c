/* SPDX-License-Identifier: MIT */
/* Making the plan. */
#include "plan.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../record.h"
#include "../subject/interrupt.h"
#include "../text.h"

unsigned lab_cpu_count(void) {
    cpu_set_t set;
    /* More CPUs than a cpu_set_t has bits: the call fails, and 1024 is no worse an answer. */
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return CPU_SETSIZE;
    return (unsigned)CPU_COUNT(&set);
}

static const char *overridden(const struct lab_request *request, const char *name) {
    for (size_t i = 0; i < request->override_count; i++) {
        if (strcmp(request->overrides[i].key, name) == 0)
            return request->overrides[i].value;
    }
    return NULL;
}

static void set_param(struct lab_item *item, const char *name, const char *value) {
    for (size_t i = 0; i < item->param_count; i++) {
        if (strcmp(item->params[i].key, name) == 0) {
            free(item->params[i].value);
            item->params[i].value = lab_copy(value);
            return;
        }
    }
    unsigned long long ignored;
    bool number = lab_parse_number(value, false, 0, ~0ULL, &ignored);
    lab_pairs_add(&item->params, &item->param_count, name, value, number);
}

/* Table, then variant, then user: the last one wins. */
static void make_params(struct lab_item *item, const struct lab_experiment *e,
                        const struct lab_variant *v, const struct lab_request *request) {
    const struct lab_parameter *const sources[] = {e->parameters, v->set};
    char *cpus = lab_format("%u", lab_cpu_count());
    for (size_t s = 0; s < 2; s++) {
        for (const struct lab_parameter *p = sources[s]; p->name; p++) {
            const char *value = overridden(request, p->name);
            if (!value)
                value = lab_parameter_value(p, request->mode, item->subject->pace);
            set_param(item, p->name, strcmp(value, LAB_ALL_CPUS) == 0 ? cpus : value);
        }
    }
    free(cpus);
}

static void make_argv(struct lab_item *item, const char *experiment) {
    size_t n = 0;
    while (item->subject->command[n])
        n++;
    item->argv = lab_alloc(n + 1 + 2 * item->param_count + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        item->argv[i] = lab_copy(item->subject->command[i]);
    item->argv[n++] = lab_copy(experiment);
    for (size_t i = 0; i < item->param_count; i++) {
        item->argv[n++] = lab_format("--%s", item->params[i].key);
        item->argv[n++] = lab_copy(item->params[i].value);
    }
}

static void add_item(struct lab_group *g, struct lab_subject *s, bool bare,
                     const struct lab_variant *v, const struct lab_request *request) {
    const struct lab_experiment *e = bare ? lab_experiment_find(LAB_BARE) : g->experiment;
    g->items = lab_grow_one(g->items, g->item_count, sizeof(*g->items));
    struct lab_item *item = &g->items[g->item_count++];
    *item = (struct lab_item){.subject = s, .bare = bare};
    make_params(item, e, bare ? &e->variants[0] : v, request);
    make_argv(item, e->name);
}

/* The program that measures the reference: a chosen one if possible, so that a run of few
 * subjects starts nobody else; otherwise any native one that was found. */
static struct lab_subject *find_bare(const struct lab_request *request,
                                     const struct lab_places *places) {
    for (size_t i = 0; i < request->chosen_count; i++) {
        struct lab_subject *s = &request->subjects->items[request->chosen[i]];
        if (s->kind == LAB_KIND_NATIVE && lab_subject_can(s, LAB_BARE))
            return s;
    }
    for (size_t i = 0; i < request->subjects->count; i++) {
        struct lab_subject *s = &request->subjects->items[i];
        if (s->kind != LAB_KIND_NATIVE)
            continue;
        lab_subject_prepare(s, places);
        if (!s->broken && lab_subject_can(s, LAB_BARE))
            return s;
    }
    return NULL;
}

/* Whether a subject that can do the experiment takes part. Interpreters stay out of the long tour
 * where they would only spend time, unless somebody asked for the experiment or for them. */
static bool takes_part(const struct lab_subject *s, const struct lab_experiment *e,
                       const struct lab_request *request) {
    if (s->broken || !lab_subject_can(s, e->name))
        return false;
    return s->pace != LAB_PACE_SCRIPT || request->experiments_named || request->subjects_named ||
           e->scripts[request->mode];
}

/* A variant that a user's option or this machine makes equal to another falls out. */
static bool variant_applies(const struct lab_variant *v, const struct lab_request *request) {
    if (v->depends && overridden(request, v->depends))
        return v->plain_name != NULL;
    if (lab_cpu_count() > 1)
        return true;
    for (const struct lab_parameter *p = v->set; p->name; p++) {
        if (strcmp(lab_parameter_value(p, request->mode, LAB_PACE_USER), LAB_ALL_CPUS) == 0) {
            return false;
        }
    }
    return true;
}

static void add_group(struct lab_plan *plan, const struct lab_experiment *e,
                      const struct lab_variant *v, const struct lab_request *request,
                      struct lab_subject *bare) {
    bool plain = v->depends && overridden(request, v->depends);
    struct lab_group g = {.experiment = e,
                          .variant = plain ? v->plain_name : v->name,
                          .title = plain ? v->plain_title : v->title};
    for (size_t i = 0; i < request->chosen_count; i++) {
        struct lab_subject *s = &request->subjects->items[request->chosen[i]];
        if (takes_part(s, e, request))
            add_item(&g, s, false, v, request);
    }
    if (g.item_count == 0)
        return;
    if (e->needs_bare && bare)
        add_item(&g, bare, true, v, request);
    g.order = lab_alloc(g.item_count, sizeof(*g.order));
    plan->groups = lab_grow_one(plan->groups, plan->group_count, sizeof(*plan->groups));
    plan->groups[plan->group_count++] = g;
}

static void prepare_subjects(struct lab_request *request, const struct lab_places *places,
                             struct lab_run *run) {
    for (size_t i = 0; i < request->chosen_count; i++) {
        struct lab_subject *s = &request->subjects->items[request->chosen[i]];
        if (lab_interrupt_signal())
            return;
        lab_progress("looking at %s", s->name);
        lab_subject_prepare(s, places);
        if (s->broken && !lab_interrupt_signal()) {
            lab_complain("%s (%s): %s", s->name, s->path, s->broken);
            lab_run_fail(run, "", "", s->name, s->broken);
        }
    }
}

void lab_plan_make(struct lab_plan *plan, struct lab_request *request,
                   const struct lab_places *places, struct lab_run *run) {
    *plan = (struct lab_plan){0};
    prepare_subjects(request, places, run);
    struct lab_subject *bare = find_bare(request, places);
    for (size_t i = 0; i < request->experiment_count && !lab_interrupt_signal(); i++) {
        const struct lab_experiment *e = request->experiments[i];
        size_t before = plan->group_count;
        for (const struct lab_variant *v = e->variants; v->name; v++) {
            if (variant_applies(v, request))
                add_group(plan, e, v, request, bare);
        }
        if (plan->group_count == before && request->experiments_named) {
            lab_complain("%s: none of the chosen subjects can do it", e->name);
            lab_run_fail(run, e->name, "", "", "none of the chosen subjects can do it");
        }
    }
}

static void free_item(struct lab_item *item) {
    for (size_t i = 0; i < item->param_count; i++) {
        free(item->params[i].key);
        free(item->params[i].value);
    }
    free(item->params);
    for (char **a = item->argv; *a; a++)
        free(*a);
    free(item->argv);
    for (size_t i = 0; i < item->collected_count; i++) {
        struct lab_collected *c = &item->collected[i];
        for (size_t k = 0; k < c->count; k++)
            free(c->processes[k].values);
        free(c->processes);
        free(c->rounds);
        free(c->metric);
        free(c->unit);
    }
    free(item->collected);
}

void lab_plan_free(struct lab_plan *plan) {
    for (size_t i = 0; i < plan->group_count; i++) {
        struct lab_group *g = &plan->groups[i];
        for (size_t k = 0; k < g->item_count; k++)
            free_item(&g->items[k]);
        free(g->items);
        free(g->order);
    }
    free(plan->groups);
    *plan = (struct lab_plan){0};
}
