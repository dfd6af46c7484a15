/* SPDX-License-Identifier: MIT */
/* What is said of a failure: each event with its place in the sources, thread by thread in one
 * order that the execution may have had; and a line from which it can be run again. */
#include "core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Names ---- */

const char *model__order_name(unsigned order) {
    static const char *const names[] = {"relaxed", "consume", "acquire", "release",
                                        "acq_rel", "seq_cst", "none"};
    return order < HD__COUNTOF(names) ? names[order] : "?";
}

const char *model__op_name(unsigned kind, unsigned role) {
    static const char *const names[] = {"load", "store", "rmw", "cas", "fence", "choice", "stuck"};
    return kind == OP_CAS && role ? "failed-cas" : kind < HD__COUNTOF(names) ? names[kind] : "?";
}

static void base_name(struct model__source *s, const char *line) {
    const char *at = strstr(line, "/src/"), *other = strstr(line, "/tests/");
    if (!at) at = strstr(line, "/include/");
    if (!at) at = other;
    snprintf(s->file, sizeof s->file, "%.159s", at ? at + 1 : line);
    s->file[strcspn(s->file, " \n")] = 0;
    char *colon = strrchr(s->file, ':');
    s->line = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    if (colon) *colon = 0;
}

/* Asks addr2line, which comes with every compiler. Without it places are addresses. */
void model__symbolize(const void *const *pcs, int n, struct model__source *out) {
    char exe[200], line[400];
    size_t length = 0;
    ssize_t got = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *command = malloc(300 + (size_t)n * 20);
    extern char __executable_start[];
    if (got <= 0 || !command) return;
    exe[got] = 0;
    length = (size_t)snprintf(command, 300, "addr2line -f -e '%s'", exe);
    for (int i = 0; i < n; i++) {
        uintptr_t at = pcs[i] ? (uintptr_t)pcs[i] - (uintptr_t)__executable_start - 1 : 0;
        out[i] = (struct model__source){.line = 0};
        snprintf(out[i].file, sizeof out[i].file, "+0x%zx", (size_t)at);
        length += (size_t)snprintf(command + length, 20, " %zx", (size_t)at);
    }
    FILE *pipe = popen(command, "r");
    for (int i = 0; pipe && i < n; i++) {
        if (!fgets(line, sizeof line, pipe)) break;
        line[strcspn(line, "\n")] = 0;
        snprintf(out[i].function, sizeof out[i].function, "%.79s", line);
        if (!fgets(line, sizeof line, pipe)) break;
        if (line[0] != '?') base_name(&out[i], line);
    }
    if (pipe) pclose(pipe);
    free(command);
}

static const char *place_name(uintptr_t addr, char *text, size_t size) {
    struct checker *c = model__c;
    for (int i = c->names - 1; i >= 0; i--) {
        size_t at = addr - c->name[i].addr;
        if (at >= c->name[i].bytes) continue;
        snprintf(text, size, at ? "%s+%zu" : "%s", c->name[i].name, at);
        return text;
    }
    for (unsigned i = 0; i <= MODEL_THREADS; i++) {
        size_t at = addr - (uintptr_t)c->thread[i].stack;
        if (at >= STACK_BYTES + ARENA_BYTES) continue;
        snprintf(text, size, "%s%u+0x%zx", at < STACK_BYTES ? "stack" : "memory", i,
                 at % STACK_BYTES);
        return text;
    }
    uintptr_t of = addr & (((uintptr_t)1 << 60) - 1);
    if (addr >> 60 == 1)
        snprintf(text, size, "sleepers on %p", (void *)of);
    else
        snprintf(text, size, addr >> 60 ? "barrier %p" : "%p", (void *)of);
    return text;
}

/* ---- The order of an execution ---- */

/* Events, each after its causes. */
static int linearize(int16_t *out) {
    struct checker *c = model__c;
    unsigned at[MODEL_THREADS] = {0};
    bool placed[EVENTS] = {0};
    int n = 0;
    for (bool some = true; some;) {
        some = false;
        for (unsigned t = 0; t < c->threads; t++) {
            while (at[t] < c->thread[t].pos) {
                int id = c->thread[t].ids[at[t]];
                const struct event *e = &c->event[id];
                if (e->kind == READ && e->rf >= 0 && !placed[e->rf]) break;
                out[n++] = (int16_t)id;
                placed[id] = some = true;
                at[t]++;
            }
        }
    }
    return n;
}

/* ---- Replay: "t", the thread; r and the write's number, or w and its place, or c and the choice;
 * the numbers are those of this order ---- */

char *model__replay_string(void) {
    struct checker *c = model__c;
    int16_t order[EVENTS], number[EVENTS];
    int n = linearize(order);
    char *text = malloc((size_t)n * 16 + 8), *p = text;
    *p = 0;
    for (int i = 0; i < n; i++) number[order[i]] = (int16_t)i;
    for (int i = 0; i < n; i++) {
        const struct event *e = &c->event[order[i]];
        static const char letters[] = "rwfc";
        int arg = e->kind == READ    ? (e->rf < 0 ? -1 : number[e->rf])
                  : e->kind == WRITE ? e->index
                                     : (int)e->choice;
        p += snprintf(p, 16, "%s%u%c%d", i ? "," : "", e->thread, letters[e->kind], arg);
    }
    return text;
}

struct work *model__replay_parse(const char *text) {
    struct work *w = calloc(1, sizeof *w + EVENTS * sizeof w->steps[0]);
    int used;
    unsigned thread;
    char letter;
    int arg;
    while (w && w->n < EVENTS && sscanf(text, "%u%c%d%n", &thread, &letter, &arg, &used) == 3) {
        struct step *s = &w->steps[w->n++];
        s->thread = (uint8_t)thread;
        s->kind = letter == 'r' ? READ : letter == 'w' ? WRITE : letter == 'f' ? FENCE : CHOICE;
        s->rf = (int16_t)(s->kind == READ ? arg : -1);
        s->index = (int16_t)arg;
        s->choice = (uint32_t)arg;
        text += used;
        if (*text == ',') text++;
    }
    return w;
}

/* ---- The report ---- */

static char *print_event(char *p, char *end, int number, const struct event *e,
                         const int16_t *numbers, const struct model__source *at) {
    struct checker *c = model__c;
    static const char *const what[] = {"reads", "writes", "fence", "chooses"};
    char place[120] = "", from[40] = "";
    if (e->loc >= 0) place_name(c->location[e->loc].addr, place, sizeof place);
    if (e->kind == READ && e->rf < 0) snprintf(from, sizeof from, "from the start");
    if (e->kind == READ && e->rf >= 0) snprintf(from, sizeof from, "from #%d", numbers[e->rf]);
    p += snprintf(p, (size_t)(end - p), "  #%-3d T%u  %*s%-7s ", number, e->thread, 2 * e->thread,
                  "", what[e->kind]);
    if (e->kind == CHOICE)
        p += snprintf(p, (size_t)(end - p), "%u", e->choice);
    else if (e->kind == FENCE)
        p += snprintf(p, (size_t)(end - p), "%s", model__order_name(e->order));
    else
        p += snprintf(p, (size_t)(end - p), "%s 0x%llx %s %s%s", place,
                      (unsigned long long)e->value, model__order_name(e->order), from,
                      e->half ? " (read-modify-write)" : "");
    p += snprintf(p, (size_t)(end - p), "  %s:%u %s\n", at->file, at->line, at->function);
    return p;
}

static char *trace(void) {
    struct checker *c = model__c;
    int16_t order[EVENTS], number[EVENTS];
    const void *pcs[EVENTS + 1];
    struct model__source *at = calloc(EVENTS + 1, sizeof *at);
    int n = linearize(order);
    size_t size = (size_t)n * 500 + 1000;
    char *text = malloc(size), *p = text, *end = text + size;
    for (int i = 0; i < n; i++) {
        number[order[i]] = (int16_t)i;
        pcs[i] = c->event[order[i]].pc;
    }
    pcs[n] = c->failed_pc;
    model__symbolize(pcs, n + 1, at);
    for (int i = 0; i < n; i++)
        p = print_event(p, end, i, &c->event[order[i]], number, &at[i]);
    for (unsigned t = 0; t < c->threads; t++) {
        if (c->thread[t].state == STUCK) p += snprintf(p, (size_t)(end - p), "  T%u waits\n", t);
    }
    snprintf(p, (size_t)(end - p), "  %s  %s:%u %s\n", c->message, at[n].file, at[n].line,
             at[n].function);
    free(at);
    return text;
}

/* The execution that has just ended has failed: keeps it if it is the shortest. */
void model__note_failure(void) {
    struct checker *c = model__c;
    unsigned steps = 0;
    for (unsigned i = 0; i < c->threads; i++) steps += c->thread[i].pos;
    if (c->result.failed && steps >= c->result.failure_steps) return;
    c->result.failed = true;
    c->result.failure_steps = steps;
    memcpy(c->result.message, c->message, sizeof c->message);
    if (c->after_failure == 0) return; /* nobody will read it */
    free(c->best_trace);
    free(c->result.replay);
    c->best_trace = trace();
    c->result.replay = model__replay_string();
}
