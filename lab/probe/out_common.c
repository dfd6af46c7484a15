/* SPDX-License-Identifier: MIT */
/* What the writers of a probe's report share. */
#include "probe/mutex.h"
#include "probe/out.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/calls.h"
#include "report/html.h"

enum { NAME_MOST = 160 }; /* bytes */

const char *out_state_id(enum probe_state s) {
    static const char *const ids[PROBE_STATES] = {
        [PROBE_STATE_NONE] = "none",           [PROBE_STATE_HOLDS] = "holds",
        [PROBE_STATE_HOLDS_OFF] = "holds_off_cpu", [PROBE_STATE_WAITS] = "waits",
        [PROBE_STATE_ON] = "on_cpu",           [PROBE_STATE_RUNNABLE] = "runnable",
        [PROBE_STATE_BLOCKED] = "blocked",
    };
    return (size_t)s < PROBE_STATES ? ids[s] : "none";
}

uint64_t out_lifetime_ns(const struct probe_timeline *t, const struct probe_thread *x) {
    uint64_t begin = x->born_ns ? x->born_ns : t->begin_ns;
    uint64_t end = x->end_ns ? x->end_ns : t->end_ns;
    return end > begin ? end - begin : 0;
}

char *out_python_version(const struct probe_python_facts *p) {
    const char *build = p->free_threaded ? ", free-threaded" : "";
    if (p->micro < 0)
        return lab_format("%d.%d%s", p->major, p->minor, build);
    return lab_format("%d.%d.%d%s", p->major, p->minor, p->micro, build);
}

char *out_target(const struct probe_report *r) {
    struct lab_text t = {0};
    for (size_t i = 0; r->target && r->target[i]; i++)
        html_shell_word(&t, r->target[i]);
    if (t.length == 0 && r->program)
        lab_text_printf(&t, "%s", r->program);
    if (t.length == 0)
        lab_text_printf(&t, "process %d", (int)r->pid);
    return t.data;
}

void out_begin(const struct probe_report *r, char text[32]) {
    text[0] = '\0';
    if (!r->facts || !r->facts->begin_real_ns)
        return;
    time_t when = (time_t)(r->facts->begin_real_ns / 1000000000);
    struct tm utc;
    if (gmtime_r(&when, &utc))
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

bool out_has_gil(const struct probe_report *r) {
    return r->timeline->lock_count > 0;
}

uint64_t out_total(const struct probe_timeline *t, enum probe_state s) {
    uint64_t sum = 0;
    for (size_t i = 0; i < t->thread_count; i++)
        sum += t->thread[i].state_ns[s];
    return sum;
}

void out_total_lock(const struct probe_timeline *t, struct probe_lock *sum) {
    *sum = (struct probe_lock){.exact = t->lock_count > 0};
    for (size_t i = 0; i < t->lock_count; i++) {
        const struct probe_lock *k = &t->lock[i];
        sum->takes += k->takes;
        sum->forced += k->forced;
        sum->forced_known |= k->forced_known;
        sum->held_ns += k->held_ns;
        sum->free_ns += k->free_ns;
        sum->looks += k->looks;
        sum->looks_locked += k->looks_locked;
        sum->waiters_ns += k->waiters_ns;
        sum->exact = sum->exact && k->exact;
        if (!sum->interval_us)
            sum->interval_us = k->interval_us;
    }
}

uint64_t out_quantile(const struct probe_histogram *h, double q) {
    uint64_t ns = probe_histogram_quantile(h, q);
    return ns < h->max_ns ? ns : h->max_ns;
}

void out_merge(struct probe_histogram *into, const struct probe_histogram *h) {
    into->count += h->count;
    into->sum_ns += h->sum_ns;
    if (h->max_ns > into->max_ns)
        into->max_ns = h->max_ns;
    for (size_t i = 0; i < PROBE_BUCKETS; i++)
        into->bucket[i] += h->bucket[i];
}

/* No line of a report needs more of a name; one of a program's data can be as long as it likes. */
static void add_name(struct lab_text *to, const char *name) {
    size_t n = strnlen(name, NAME_MOST);
    bool cut = n == NAME_MOST;
    while (cut && n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
        n--; /* not within a character */
    lab_text_add(to, name, n);
    if (cut)
        lab_text_printf(to, "...");
}

void out_frame(struct lab_text *to, const struct probe_frame *f) {
    const char *slash = f->file ? strrchr(f->file, '/') : NULL;
    const char *file = slash && slash[1] ? slash + 1 : f->file;
    add_name(to, f->function && *f->function ? f->function : "?");
    if (!file)
        return;
    lab_text_printf(to, " (");
    add_name(to, file);
    if (f->line > 0)
        lab_text_printf(to, ":%d", f->line);
    lab_text_printf(to, ")");
}

size_t out_path(const struct probe_stacks *s, uint32_t node, uint32_t **out) {
    size_t n = 0;
    for (uint32_t at = node; s && at; at = probe_stacks_outer(s, at))
        n++;
    *out = n ? lab_alloc(n, sizeof(**out)) : NULL;
    uint32_t at = node;
    for (size_t i = n; i > 0; i--, at = probe_stacks_outer(s, at))
        (*out)[i - 1] = at;
    return n;
}

const char *out_call_name(const struct probe_report *r, long number) {
    return r->call_name ? r->call_name(number) : probe_call_name(number);
}

void out_tally_call(const struct probe_report *r, const struct probe_tally *y, char text[64]) {
    const char *name = y->call >= 0 ? out_call_name(r, y->call) : NULL;
    text[0] = '\0';
    if (y->mutex)
        snprintf(text, 64, "%s 0x%llx", probe_mutex_word((enum probe_mutex_kind)y->mutex),
                 (unsigned long long)y->futex);
    else if (y->futex)
        snprintf(text, 64, "futex 0x%llx", (unsigned long long)y->futex);
    else if (name)
        snprintf(text, 64, "%s", name);
    else if (y->call >= 0)
        snprintf(text, 64, "call %d", y->call);
}

void out_nodes_add(struct out_nodes *n, const struct probe_stacks *s, uint32_t node) {
    for (; s && node; node = probe_stacks_outer(s, node)) {
        if (node >= n->room) {
            size_t room = n->room ? n->room : 1024;
            while (room <= node)
                room *= 2;
            n->has = lab_grow(n->has, room, 1);
            memset(n->has + n->room, 0, room - n->room);
            n->room = room;
        }
        if (n->has[node])
            return;
        n->has[node] = 1;
    }
}

void out_nodes_add_all(struct out_nodes *n, const struct probe_report *r, size_t first_span) {
    const struct probe_timeline *t = r->timeline;
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *x = &t->thread[i];
        for (size_t k = 0; k < x->held_count; k++)
            out_nodes_add(n, r->stacks, x->held[k].stack);
        for (size_t k = 0; k < x->waited_count; k++)
            out_nodes_add(n, r->stacks, x->waited[k].stack);
        for (size_t k = 0; k < x->blocked_on_count; k++)
            out_nodes_add(n, r->stacks, x->blocked_on[k].stack);
    }
    for (size_t i = first_span; i < t->span_count; i++)
        out_nodes_add(n, r->stacks, t->span[i].stack);
}
