/* SPDX-License-Identifier: MIT */
/* Explorations as tests call them, and mutants. */
#include "core.h"
#include "test.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_FOR_SHORTER = 500 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Outcomes ---- */

void model_outcome(const char *fmt, ...) {
    struct checker *c = model__c;
    char text[100];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int at = 0;
    while (at < c->outcomes && strcmp(c->outcome[at], text) < 0) at++;
    if (at < c->outcomes && strcmp(c->outcome[at], text) == 0) return;
    if (c->outcomes == (int)HD__COUNTOF(c->outcome)) model_fail("too many outcomes");
    memmove(&c->outcome[at + 1], &c->outcome[at], (size_t)(c->outcomes - at) * sizeof(char *));
    c->outcome[at] = strdup(text);
    c->outcomes++;
}

const char *model_outcomes(void) {
    struct checker *c = model__c;
    static char all[64 * 101];
    char *p = all;
    *p = 0;
    for (int i = 0; i < c->outcomes; i++)
        p += snprintf(p, 101, "%s%s", i ? " " : "", c->outcome[i]);
    return all;
}

/* ---- Exploring ---- */

static struct model_result explore(const struct model *m, uint64_t after_failure,
                                   struct work *from) {
    struct checker *c = model__c;
    double start = now();
    for (int i = 0; i < c->outcomes; i++) free(c->outcome[i]);
    c->outcomes = 0;
    c->model = m;
    c->threads = 0;
    while (c->threads < MODEL_THREADS && m->threads[c->threads]) c->threads++;
    c->after_failure = after_failure;
    c->result = (struct model_result){0};
    c->work = from ? from : calloc(1, sizeof *c->work);
    model__explore();
    c->result.seconds = now() - start;
    return c->result;
}

static void print_failure(const struct model_result *r) {
    struct checker *c = model__c;
    fprintf(stderr, "%s: %s\n%s", c->model->name, r->message, c->best_trace ? c->best_trace : "");
    if (r->replay) fprintf(stderr, "  HEDDLE_MODEL_REPLAY=%s\n", r->replay);
}

static void print_result(const struct model_result *r) {
    fprintf(stderr, "# %s: %llu executions, %llu blocked, %llu inconsistent, %llu cut at %u steps, "
            "%s, %.2f s\n", model__c->model->name, (unsigned long long)r->executions,
            (unsigned long long)r->blocked, (unsigned long long)r->inconsistent,
            (unsigned long long)r->cut,
            model__c->model->steps_max ? model__c->model->steps_max : STEPS_MAX,
            r->failed ? "FAILED" : r->complete ? "complete" : "not complete", r->seconds);
}

struct model_result model_explore(const struct model *m, bool print) {
    const char *replay = getenv("HEDDLE_MODEL_REPLAY");
    model__machine_init();
    for (int i = 0; i < model__c->sites; i++)
        model__c->site[i].instead = model__c->site[i].order;
    struct work *from = replay ? model__replay_parse(replay) : NULL;
    struct model_result r = explore(m, LOOK_FOR_SHORTER, from);
    if (print && r.failed) print_failure(&r);
    print_result(&r);
    return r;
}

/* ---- Mutants ---- */

static const unsigned weaker[7][4] = {
    [memory_order_acquire] = {memory_order_relaxed},
    [memory_order_release] = {memory_order_relaxed},
    [memory_order_acq_rel] = {memory_order_acquire, memory_order_release},
    [memory_order_seq_cst] = {memory_order_acq_rel, memory_order_acquire, memory_order_release},
};
static const int counts[7] = {
    [memory_order_acquire] = 1,
    [memory_order_release] = 1,
    [memory_order_acq_rel] = 2,
    [memory_order_seq_cst] = 3,
};

static int weaker_count(const struct site *s, unsigned out[4]) {
    int n = 0;
    bool load = s->kind == OP_LOAD || s->role == 1, store = s->kind == OP_STORE;
    if (s->order == memory_order_relaxed || s->order == memory_order_consume) return 0;
    if (s->order == memory_order_seq_cst && (load || store)) {
        out[n++] = load ? memory_order_acquire : memory_order_release;
        out[n++] = memory_order_relaxed;
        return n;
    }
    for (int i = 0; i < counts[s->order]; i++) out[n++] = weaker[s->order][i];
    if (s->kind == OP_FENCE) {
        if (out[n - 1] == memory_order_relaxed) n--;
        out[n++] = ORDER_NONE;
    }
    return n;
}

static const struct model_spared *spared_as(const struct model_spared *s, const char *name) {
    for (; s && s->mutant; s++) {
        if (fnmatch(s->mutant, name, 0) == 0) return s;
    }
    return NULL;
}

/* One operation may be in several places of the code: functions are inlined. */
static bool same_operation(const struct model__source *at, int a, int b) {
    const struct site *s = &model__c->site[a], *o = &model__c->site[b];
    return s->kind == o->kind && s->role == o->role && s->order == o->order &&
           at[a].line == at[b].line && strcmp(at[a].file, at[b].file) == 0;
}

static bool is_long_run(void) {
    return getenv("HEDDLE_MODEL_LONG") != NULL;
}

static bool is_found(const struct model *const *programs, struct model__source *at, int sites,
                     int site, unsigned to) {
    struct checker *c = model__c;
    for (int i = 0; i < sites; i++) {
        c->site[i].instead =
            same_operation(at, site, i) ? (uint8_t)to : c->site[i].order;
    }
    for (; *programs; programs++) {
        if ((*programs)->is_long && !is_long_run()) continue;
        struct model_result r = explore(*programs, 0, NULL);
        if (!r.failed) continue;
        test_note("found by %s in %.2f s: %s", (*programs)->name, r.seconds, r.message);
        return true;
    }
    return false;
}

/* The how many-th of its kind it is in its function, by line. */
static int ordinal(const struct model__source *at, int sites, int site) {
    const struct site *all = model__c->site;
    unsigned lines[64];
    int n = 0;
    for (int i = 0; i < sites && n < 64; i++) {
        bool before = all[i].kind == all[site].kind && all[i].role == all[site].role &&
                      at[i].line < at[site].line && strcmp(at[i].function, at[site].function) == 0;
        for (int k = 0; before && k < n; k++) before = lines[k] != at[i].line;
        if (before) lines[n++] = at[i].line;
    }
    return n + 1;
}

struct tally {
    unsigned all, found, spared, left, wrong;
};

/* All weakenings of one operation. */
static void weaken(const struct model *const *programs, const struct model_spared *list,
                   struct model__source *at, int sites, int site, struct tally *tally) {
    const struct site *s = &model__c->site[site];
    unsigned to[4];
    int n = weaker_count(s, to);
    for (int k = 0; k < n; k++) {
        char name[260], number[16] = "";
        if (ordinal(at, sites, site) > 1)
            snprintf(number, sizeof number, "#%d", ordinal(at, sites, site));
        snprintf(name, sizeof name, "%s %s%s %s->%s", at[site].function,
                 model__op_name(s->kind, s->role), number, model__order_name(s->order),
                 model__order_name(to[k]));
        test_note("%s (%s:%u)", name, at[site].file, at[site].line);
        const struct model_spared *entry = spared_as(list, name);
        bool spared = entry && entry->reason;
        tally->all++;
        if (entry && !spared && !is_long_run()) {
            tally->left++;
            continue;
        }
        bool dies = is_found(programs, at, sites, site, to[k]);
        tally->found += dies;
        tally->spared += !dies && spared;
        if (dies != spared) continue;
        tally->wrong++;
        fprintf(stderr, "%s: %s (%s:%u)\n", dies ? "found, but spared" : "not found", name,
                at[site].file, at[site].line);
    }
}

void model_mutants_must_fail(const struct model *const *programs, const char *sources,
                             const struct model_spared *spared) {
#ifdef __clang__
    SKIP("clang makes one operation of several: the mutants of gcc's code will do");
#endif
    struct model__source *at = calloc(SITES, sizeof *at);
    const void **pcs = calloc(SITES, sizeof *pcs);
    struct tally tally = {0};
    double start = now();
    for (int i = 0; programs[i]; i++) {
        if (!programs[i]->is_long || is_long_run()) model_must_hold(programs[i]);
    }
    int sites = model__c->sites;
    for (int i = 0; i < sites; i++) pcs[i] = model__c->site[i].pc;
    model__symbolize(pcs, sites, at);
    if (sites && at[0].line == 0) SKIP("addr2line cannot tell where the operations are");
    for (int i = 0; i < sites; i++) {
        bool first = fnmatch(sources, at[i].file, 0) == 0;
        for (int k = 0; first && k < i; k++) first = !same_operation(at, i, k);
        if (first) weaken(programs, spared, at, sites, i, &tally);
    }
    fprintf(stderr, "# %u mutants, %u found, %u spared, %u left to a long run, %.2f s\n", tally.all,
            tally.found, tally.spared, tally.left, now() - start);
    free(at);
    free(pcs);
    CHECK_EQ(tally.wrong, 0);
    CHECK_NE(tally.all, 0);
}

/* ---- As tests ---- */

void model_must_hold(const struct model *m) {
    if (m->is_long && !is_long_run()) SKIP("it is long: HEDDLE_MODEL_LONG=1, or make model");
    struct model_result r = model_explore(m, true);
    CHECK_MSG(!r.failed, "%s", r.message);
    CHECK_NE(r.executions, 0);
    CHECK(r.complete);
    CHECK_EQ(r.cut, 0);
}

void model_must_fail(const struct model *m, const char *what) {
    struct model_result r = model_explore(m, getenv("HEDDLE_MODEL_SHOW") != NULL);
    CHECK(r.failed);
    CHECK_MSG(strstr(r.message, what) != NULL, "%s", r.message);
}
