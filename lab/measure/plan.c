/* SPDX-License-Identifier: MIT */
/* Making the plan. */
#include "plan.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../parameter.h"
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
    unsigned long long ignored;
    bool number = lab_parse_number(value, false, 0, ~0ULL, &ignored);
    for (size_t i = 0; i < item->param_count; i++) {
        if (strcmp(item->params[i].key, name) == 0) {
            free(item->params[i].value);
            item->params[i].value = lab_copy(value);
            item->params[i].number = number;
            return;
        }
    }
    lab_pairs_add(&item->params, &item->param_count, name, value, number);
}

/* A value that stands for the number of CPUs, alone or in a list, becomes it. The caller frees. */
static char *expand(const char *value) {
    struct lab_text t = {0};
    char *one;
    for (size_t i = 0; (one = lab_list_at(value, i)); i++) {
        char *shown = strcmp(one, LAB_ALL_CPUS) == 0 ? lab_format("%u", lab_cpu_count())
                                                     : lab_copy(one);
        if (!t.data || !lab_list_has(t.data, shown))
            lab_text_printf(&t, "%s%s", t.data ? "," : "", shown);
        free(shown);
        free(one);
    }
    return t.data;
}

/* What the user, the variant or the table says of a parameter: the first who does. The caller
 * frees. */
static char *value_of(const struct lab_parameter *p, const struct lab_request *request,
                      enum lab_pace pace) {
    const char *value = overridden(request, p->name);
    return expand(value ? value : lab_parameter_value(p, request->mode, pace));
}

/* A point of a sweep: the value of each parameter that has several. */
struct point {
    struct lab_pair *pairs;
    size_t count;
};

static const char *at_point(const struct point *point, const char *name) {
    for (size_t i = 0; i < point->count; i++) {
        if (strcmp(point->pairs[i].key, name) == 0)
            return point->pairs[i].value;
    }
    return NULL;
}

/* Table, then variant, then user: the last one wins. False if the subject leaves the point out. */
static bool make_params(struct lab_item *item, const struct lab_experiment *e,
                        const struct lab_variant *v, const struct lab_request *request,
                        const struct point *point) {
    const struct lab_parameter *const sources[] = {e->parameters, v->set};
    for (size_t s = 0; s < 2; s++) {
        for (const struct lab_parameter *p = sources[s]; p->name; p++) {
            char *value = value_of(p, request, item->subject->pace);
            set_param(item, p->name, value);
            free(value);
        }
    }
    for (size_t i = 0; i < item->param_count; i++) {
        const char *value = at_point(point, item->params[i].key);
        if (value && !lab_list_has(item->params[i].value, value))
            return false;
        if (value)
            set_param(item, item->params[i].key, value);
    }
    return true;
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

static void free_item(struct lab_item *item) {
    for (size_t i = 0; i < item->param_count; i++) {
        free(item->params[i].key);
        free(item->params[i].value);
    }
    free(item->params);
    for (char **a = item->argv; a && *a; a++)
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

static void add_item(struct lab_group *g, struct lab_subject *s, bool bare,
                     const struct lab_variant *v, const struct lab_request *request,
                     const struct point *point) {
    static const struct point nowhere = {NULL, 0};
    const struct lab_experiment *e = bare ? lab_experiment_find(LAB_BARE) : g->experiment;
    struct lab_item item = {.subject = s, .bare = bare};
    v = bare ? &e->variants[0] : v;
    if (!make_params(&item, e, v, request, bare ? &nowhere : point)) {
        free_item(&item);
        return;
    }
    make_argv(&item, v->workload ? v->workload : e->name);
    g->items = lab_grow_one(g->items, g->item_count, sizeof(*g->items));
    g->items[g->item_count++] = item;
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
                       const struct lab_variant *v, const struct lab_request *request) {
    _Static_assert(1u << LAB_KIND_NATIVE == LAB_WHO_NATIVE &&
                       1u << LAB_KIND_PYTHON == LAB_WHO_PYTHON && 1u << LAB_KIND_GO == LAB_WHO_GO,
                   "a bit a kind");
    if (s->broken || !lab_subject_can(s, v->workload ? v->workload : e->name))
        return false;
    if (v->who != LAB_WHO_ALL && !(v->who & 1u << s->kind))
        return false;
    return s->pace != LAB_PACE_SCRIPT || request->experiments_named || request->subjects_named ||
           e->scripts[request->mode];
}

static bool has_parameter(const struct lab_parameter *list, const char *name) {
    for (const struct lab_parameter *p = list; p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return true;
    }
    return false;
}

/* Whether what the user has set lets the variant take part, where some are extras. */
static bool is_meant(const struct lab_experiment *e, const struct lab_variant *v,
                     const struct lab_request *request) {
    bool extras = false, set = false, own = false, others = false;
    for (const struct lab_variant *x = e->variants; x->name; x++)
        extras = extras || x->extra;
    for (size_t i = 0; extras && i < request->override_count; i++) {
        const char *name = request->overrides[i].key;
        if (!lab_experiment_takes(e, name) || lab_experiment_repeats(e, name))
            continue;
        set = true;
        if (!has_parameter(e->parameters, name)) {
            own = own || has_parameter(v->set, name);
            others = others || !has_parameter(v->set, name);
        }
    }
    return v->extra ? !set || own : !others;
}

/* A variant that a user's option or this machine makes equal to another falls out. */
static bool variant_applies(const struct lab_experiment *e, const struct lab_variant *v,
                            const struct lab_request *request) {
    if (!is_meant(e, v, request))
        return false;
    if (v->left_out[request->mode] && !request->experiments_named)
        return false;
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

/* The variant's name, and the point where there is a sweep. */
static char *name_group(const struct lab_variant *v, const struct lab_request *request,
                        const struct point *point) {
    bool plain = v->depends && overridden(request, v->depends);
    struct lab_text t = {0};
    lab_text_printf(&t, "%s", plain ? v->plain_name : v->name);
    for (size_t i = 0; i < point->count; i++) {
        const char *comma = i > 0 ? "," : t.length ? " " : "";
        lab_text_printf(&t, "%s%s=%s", comma, point->pairs[i].key, point->pairs[i].value);
    }
    return t.data;
}

static void add_group(struct lab_plan *plan, const struct lab_experiment *e,
                      const struct lab_variant *v, const struct lab_request *request,
                      struct lab_subject *bare, const struct point *point) {
    struct lab_group g = {.experiment = e};
    for (size_t i = 0; i < request->chosen_count; i++) {
        struct lab_subject *s = &request->subjects->items[request->chosen[i]];
        if (takes_part(s, e, v, request))
            add_item(&g, s, false, v, request, point);
    }
    if (g.item_count == 0)
        return;
    if (e->needs_bare && bare)
        add_item(&g, bare, true, v, request, point);
    g.variant = name_group(v, request, point);
    g.order = lab_alloc(g.item_count, sizeof(*g.order));
    plan->groups = lab_grow_one(plan->groups, plan->group_count, sizeof(*plan->groups));
    plan->groups[plan->group_count++] = g;
}

/* The parameters with several values; those of the fastest pace, which does all. */
static void find_lists(struct point *lists, const struct lab_experiment *e,
                       const struct lab_variant *v, const struct lab_request *request) {
    const struct lab_parameter *const sources[] = {e->parameters, v->set};
    for (size_t s = 0; s < 2; s++) {
        for (const struct lab_parameter *p = sources[s]; p->name; p++) {
            char *value = value_of(p, request, LAB_PACE_USER);
            size_t at = 0;
            while (at < lists->count && strcmp(lists->pairs[at].key, p->name) != 0)
                at++;
            if (at < lists->count) { /* the variant's instead of the experiment's */
                free(lists->pairs[at].value);
                lists->pairs[at].value = lab_copy(value);
            } else if (strchr(value, ',')) {
                lab_pairs_add(&lists->pairs, &lists->count, p->name, value, false);
            }
            free(value);
        }
    }
    size_t kept = 0; /* without those of which the variant has one value */
    for (size_t i = 0; i < lists->count; i++) {
        struct lab_pair *p = &lists->pairs[i];
        if (strchr(p->value, ',')) {
            lists->pairs[kept++] = *p;
        } else {
            free(p->key);
            free(p->value);
        }
    }
    lists->count = kept;
}

/* Goes to the next point, the last parameter first. False after the last point. */
static bool next_point(struct point *point, const struct point *lists, size_t *at) {
    for (size_t i = lists->count; i-- > 0;) {
        char *value = lab_list_at(lists->pairs[i].value, ++at[i]);
        bool more = value != NULL;
        if (!more) {
            at[i] = 0;
            value = lab_list_at(lists->pairs[i].value, 0);
        }
        free(point->pairs[i].value);
        point->pairs[i].value = value;
        if (more)
            return true;
    }
    return false;
}

static void free_point(struct point *p) {
    for (size_t i = 0; i < p->count; i++) {
        free(p->pairs[i].key);
        free(p->pairs[i].value);
    }
    free(p->pairs);
}

/* A group for each point: every combination of the values of all lists. */
static void add_groups(struct lab_plan *plan, const struct lab_experiment *e,
                       const struct lab_variant *v, const struct lab_request *request,
                       struct lab_subject *bare) {
    struct point lists = {NULL, 0}, point = {NULL, 0};
    find_lists(&lists, e, v, request);
    size_t *at = lab_alloc(lists.count + 1, sizeof(*at));
    for (size_t i = 0; i < lists.count; i++) {
        char *first = lab_list_at(lists.pairs[i].value, 0);
        lab_pairs_add(&point.pairs, &point.count, lists.pairs[i].key, first, false);
        free(first);
    }
    do {
        add_group(plan, e, v, request, bare, &point);
    } while (next_point(&point, &lists, at));
    free(at);
    free_point(&point);
    free_point(&lists);
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
            if (variant_applies(e, v, request))
                add_groups(plan, e, v, request, bare);
        }
        if (plan->group_count == before && request->experiments_named) {
            lab_complain("%s: none of the chosen subjects can do it", e->name);
            lab_run_fail(run, e->name, "", "", "none of the chosen subjects can do it");
        }
    }
}

void lab_plan_free(struct lab_plan *plan) {
    for (size_t i = 0; i < plan->group_count; i++) {
        struct lab_group *g = &plan->groups[i];
        for (size_t k = 0; k < g->item_count; k++)
            free_item(&g->items[k]);
        free(g->items);
        free(g->order);
        free(g->variant);
    }
    free(plan->groups);
    *plan = (struct lab_plan){0};
}
