/* SPDX-License-Identifier: MIT */
/* The table of experiments, in the order in which they are run and shown. The rows themselves are
 * in lab/experiments/. */
#include "experiment.h"

#include <string.h>

extern const struct lab_experiment lab_experiment_switch;
extern const struct lab_experiment lab_experiment_spawn;
extern const struct lab_experiment lab_experiment_lifecycle;
extern const struct lab_experiment lab_experiment_limits;
extern const struct lab_experiment lab_experiment_wake;
extern const struct lab_experiment lab_experiment_capacity;
extern const struct lab_experiment lab_experiment_forkjoin;
extern const struct lab_experiment lab_experiment_idle;
extern const struct lab_experiment lab_experiment_gil;
extern const struct lab_experiment lab_experiment_specialize;
extern const struct lab_experiment lab_experiment_names;
extern const struct lab_experiment lab_experiment_refcount;
extern const struct lab_experiment lab_experiment_memory;
extern const struct lab_experiment lab_experiment_falsesharing;
extern const struct lab_experiment lab_experiment_affinity;
extern const struct lab_experiment lab_experiment_preempt;
extern const struct lab_experiment lab_experiment_sync;
extern const struct lab_experiment lab_experiment_pool;
extern const struct lab_experiment lab_experiment_rcu;
extern const struct lab_experiment lab_experiment_bare;
extern const struct lab_experiment lab_experiment_run;

const struct lab_experiment *const lab_experiments[] = {
    &lab_experiment_switch,
    &lab_experiment_spawn,
    &lab_experiment_lifecycle,
    &lab_experiment_limits,
    &lab_experiment_wake,
    &lab_experiment_capacity,
    &lab_experiment_forkjoin,
    &lab_experiment_idle,
    &lab_experiment_gil,
    &lab_experiment_specialize,
    &lab_experiment_names,
    &lab_experiment_refcount,
    &lab_experiment_memory,
    &lab_experiment_falsesharing,
    &lab_experiment_affinity,
    &lab_experiment_preempt,
    &lab_experiment_sync,
    &lab_experiment_pool,
    &lab_experiment_rcu,
    &lab_experiment_bare,
};

const size_t lab_experiment_count = sizeof(lab_experiments) / sizeof(lab_experiments[0]);

const struct lab_experiment *lab_experiment_find(const char *name) {
    for (size_t i = 0; i < lab_experiment_count; i++) {
        if (strcmp(lab_experiments[i]->name, name) == 0) return lab_experiments[i];
    }
    /* Known to reports, but not among those that heddle lab runs. */
    return strcmp(lab_experiment_run.name, name) == 0 ? &lab_experiment_run : NULL;
}

const struct lab_metric *lab_metric_find(const struct lab_experiment *e, const char *metric) {
    for (const struct lab_metric *m = e->metrics; m->name; m++) {
        if (strcmp(m->name, metric) == 0) return m;
    }
    return NULL;
}

size_t lab_variant_length(const char *variant) {
    const char *equals = strchr(variant, '=');
    if (!equals)
        return strlen(variant);
    size_t n = (size_t)(equals - variant);
    while (n > 0 && variant[n - 1] != ' ')
        n--;
    return n > 0 ? n - 1 : 0;
}

static bool is_called(const char *name, const char *variant) {
    size_t n = lab_variant_length(variant);
    return name && strlen(name) == n && strncmp(name, variant, n) == 0;
}

const struct lab_variant *lab_variant_find(const struct lab_experiment *e, const char *variant,
                                           bool *plain) {
    for (const struct lab_variant *v = e->variants; v->name; v++) {
        *plain = is_called(v->plain_name, variant);
        if (*plain || is_called(v->name, variant))
            return v;
    }
    return NULL;
}

bool lab_same_sweep(const struct lab_result *a, const struct lab_result *b) {
    size_t n = lab_variant_length(a->variant);
    return strcmp(a->experiment, b->experiment) == 0 && lab_variant_length(b->variant) == n &&
           strncmp(a->variant, b->variant, n) == 0 && a->variant[n] && b->variant[n];
}

/* The first description of a parameter; NULL if there is none. */
static const struct lab_parameter *find_parameter(const struct lab_experiment *e,
                                                  const char *name) {
    for (const struct lab_parameter *p = e->parameters; p->name; p++) {
        if (strcmp(p->name, name) == 0) return p;
    }
    for (const struct lab_variant *v = e->variants; v->name; v++) {
        for (const struct lab_parameter *p = v->set; p->name; p++) {
            if (strcmp(p->name, name) == 0) return p;
        }
    }
    return NULL;
}

bool lab_experiment_takes(const struct lab_experiment *e, const char *parameter) {
    return find_parameter(e, parameter) != NULL;
}

unsigned long long lab_experiment_least(const struct lab_experiment *e, const char *parameter) {
    const struct lab_parameter *p = find_parameter(e, parameter);
    return p ? p->min : 0;
}

bool lab_experiment_repeats(const struct lab_experiment *e, const char *name) {
    const struct lab_parameter *p = find_parameter(e, name);
    return p && p->repetition;
}

bool lab_same_work(const struct lab_result *a, const struct lab_result *b) {
    const struct lab_experiment *e = lab_experiment_find(a->experiment);
    if (!e || strcmp(a->experiment, b->experiment) != 0) return false;
    if (e->elsewhere) return true; /* commands: what is compared with what, their user says */
    for (size_t i = 0; i < a->param_count; i++) {
        const struct lab_pair *p = &a->params[i];
        if (lab_experiment_repeats(e, p->key)) continue;
        for (size_t k = 0; k < b->param_count; k++) {
            const struct lab_pair *q = &b->params[k];
            if (strcmp(p->key, q->key) == 0 && strcmp(p->value, q->value) != 0) return false;
        }
    }
    return true;
}

bool lab_parameter_counts(const struct lab_result *r, const char *name) {
    const struct lab_experiment *e = lab_experiment_find(r->experiment);
    return !e || !lab_experiment_repeats(e, name);
}

const char *lab_parameter_value(const struct lab_parameter *p, enum lab_mode mode,
                                enum lab_pace pace) {
    return p->value[mode][pace];
}

const char *lab_mode_name(enum lab_mode mode) {
    static const char *const names[LAB_MODES] = {"quick", "default", "full"};
    return names[mode];
}
