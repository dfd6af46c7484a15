/* SPDX-License-Identifier: MIT */
/* A probe's threads as CSV: a row each, times in whole nanoseconds. */
#include "probe/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "report/csv.h"

static void number(FILE *f, uint64_t value) {
    fprintf(f, ",%" PRIu64, value);
}

/* Nothing for what is not known. */
static void moment(FILE *f, const struct probe_timeline *t, uint64_t ns) {
    fputc(',', f);
    if (ns)
        fprintf(f, "%" PRId64, (int64_t)(ns - t->begin_ns));
}

static void spread(FILE *f, const struct probe_histogram *h) {
    number(f, h->count);
    number(f, out_quantile(h, 0.5));
    number(f, out_quantile(h, 0.9));
    number(f, out_quantile(h, 0.99));
    number(f, h->max_ns);
}

static void place(FILE *f, const struct probe_report *r, const struct probe_tally *y, size_t n) {
    struct lab_text at = {0};
    char call[64] = "";
    if (n && y->stack && r->stacks)
        out_frame(&at, probe_stacks_frame(r->stacks, y->stack));
    if (n)
        out_tally_call(r, y, call);
    if (*call)
        lab_text_printf(&at, "%s%s", at.length ? ": " : "", call);
    fputc(',', f);
    lab_csv_field(f, at.data ? at.data : "");
    lab_text_free(&at);
}

static void row(FILE *f, const struct probe_report *r, size_t index) {
    const struct probe_timeline *t = r->timeline;
    const struct probe_thread *x = &t->thread[index];
    const struct probe_books *b = r->books && r->books[index].known ? &r->books[index] : NULL;
    lab_csv_field(f, x->name ? x->name : "");
    fprintf(f, ",%d,%d,%d", (int)x->tid, (int)x->pid, (int)x->parent);
    moment(f, t, x->born_ns);
    moment(f, t, x->first_ns);
    moment(f, t, x->end_ns);
    number(f, out_lifetime_ns(t, x));
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++)
        number(f, x->state_ns[s]);
    number(f, x->voluntary);
    number(f, x->preempted);
    number(f, x->migrations);
    number(f, x->takes);
    number(f, x->forced_from);
    number(f, x->forced_by);
    spread(f, &x->hold);
    spread(f, &x->wait);
    spread(f, &x->runnable);
    spread(f, &x->blocked);
    if (b)
        fprintf(f, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, b->user_ns, b->system_ns, b->delay_ns);
    else
        fputs(",,,", f);
    place(f, r, x->held, x->held_count);
    place(f, r, x->waited, x->waited_count);
    place(f, r, x->blocked_on, x->blocked_on_count);
    fputs("\r\n", f);
}

int probe_write_csv(FILE *f, const struct probe_report *r) {
    static const char *const spans[] = {"hold", "wait", "runnable", "blocked"};
    fputs("name,tid,pid,parent,born_ns,first_run_ns,end_ns,lifetime_ns", f);
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++)
        fprintf(f, ",%s_ns", out_state_id((enum probe_state)s));
    fputs(",voluntary_switches,preemptions,migrations,takes,forced_from,forced_by", f);
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        fprintf(f, ",%s_spans,%s_p50_ns,%s_p90_ns,%s_p99_ns,%s_max_ns", spans[i], spans[i],
                spans[i], spans[i], spans[i]);
    }
    fputs(",user_ns,system_ns,delay_ns,held_most_at,waited_most_at,blocked_most_at\r\n", f);
    for (size_t i = 0; i < r->timeline->thread_count; i++)
        row(f, r, i);
    return ferror(f) ? -EIO : 0;
}
