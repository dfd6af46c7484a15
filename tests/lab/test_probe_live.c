/* SPDX-License-Identifier: MIT */
/* The lines of the live view: what they say, and that they fit whatever the names. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/live_view.h"
#include "probe_sample.h"
#include "text.h"

/* All lines as one text. The caller frees. */
static char *screen(struct live_view *v, struct sample *s, size_t columns, size_t rows) {
    struct lab_text t = {0};
    live_view_make(v, sample_report(s), sample_timeline(s)->end_ns, columns, rows);
    for (size_t i = 0; i < v->lines; i++) {
        CHECK_EQ(v->line[i].text.length, v->line[i].look.length);
        lab_text_printf(&t, "%s\n", v->line[i].text.data ? v->line[i].text.data : "");
    }
    return t.data;
}

TEST(the_view_says_who_holds_and_who_waits) {
    struct sample *s = sample_make(SAMPLE_GIL);
    struct live_view v = {.total = true};
    char *text = screen(&v, s, 100, 30);
    CHECK_STR_HAS(text, "heddle gil: python3 app.py '--shop name'  Python 3.11.2, process 4242");
    CHECK_STR_HAS(text, "GIL: taken 100.0 %, 284 /s hand-overs");
    CHECK_STR_HAS(text, "H holds   w waits   . blocked");
    CHECK_STR_HAS(text, "worker-1              4243 HHHHHHHHHHwwwwwwwwww   49.6%   50.4%");
    CHECK_STR_HAS(text, "python3               4242 ....................       .       .");
    CHECK_STR_HAS(text, "most time at: price (app.py:");
    CHECK_STR_HAS(text, "waited most at: echo (app.py:40), by io");
    free(text);
    live_view_free(&v);
    sample_free(s);
}

/* What has happened since the mark before the last one, not what was before. */
TEST(the_view_is_of_the_last_moment) {
    struct sample *s = sample_make(SAMPLE_GIL);
    struct probe_timeline *t = sample_timeline(s);
    struct live_view v = {0};
    live_view_mark(&v, t, t->end_ns);
    for (size_t i = 0; i < t->thread_count; i++)
        t->thread[i].state_ns[PROBE_STATE_BLOCKED] += 50000000;
    t->end_ns += 50000000;
    live_view_mark(&v, t, t->end_ns);
    char *text = screen(&v, s, 100, 30);
    CHECK_STR_HAS(text, "GIL: taken 0.0 %, 0 /s hand-overs");
    CHECK_STR_HAS(text, "worker-1              4243 ....................       .       .");
    free(text);
    CHECK(live_view_key(&v, 't'));
    text = screen(&v, s, 100, 30);
    CHECK_STR_HAS(text, "worker-1              4243 HHHHHHHHHHwwwwwwwwww");
    free(text);
    live_view_free(&v);
    sample_free(s);
}

TEST(a_figure_that_was_a_guess_may_be_less_afterwards) {
    struct sample *s = sample_make(SAMPLE_GIL);
    struct probe_timeline *t = sample_timeline(s);
    struct live_view v = {0};
    live_view_mark(&v, t, t->end_ns);
    t->thread[1].state_ns[PROBE_STATE_HOLDS] -= 1000;
    t->end_ns += 1000000;
    live_view_mark(&v, t, t->end_ns);
    char *text = screen(&v, s, 100, 30);
    CHECK_STR_HAS(text, "GIL: taken 0.0 %");
    free(text);
    live_view_free(&v);
    sample_free(s);
}

static const char *line_of(const char *text, const char *what) {
    const char *at = strstr(text, what);
    CHECK_MSG(at != NULL, "%s is missing", what);
    return at;
}

TEST(keys_change_the_order_and_end_the_view) {
    struct sample *s = sample_make(SAMPLE_GIL);
    struct live_view v = {.total = true};
    char *text = screen(&v, s, 100, 30);
    CHECK(line_of(text, "\nworker-2") < line_of(text, "\nio"));
    free(text);
    CHECK(live_view_key(&v, 's')); /* by waiting */
    text = screen(&v, s, 100, 30);
    CHECK(line_of(text, "\nio") < line_of(text, "\nworker-2"));
    CHECK_STR_HAS(text, "s order: waiting");
    free(text);
    CHECK(live_view_key(&v, 's')); /* by name */
    text = screen(&v, s, 100, 30);
    CHECK(line_of(text, "\nio") < line_of(text, "\npython3"));
    free(text);
    CHECK(live_view_key(&v, ' ') && v.paused);
    CHECK(!live_view_key(&v, 'q'));
    live_view_free(&v);
    sample_free(s);
}

TEST(threads_that_do_not_fit_can_be_reached) {
    struct sample *s = sample_make(SAMPLE_MANY);
    struct live_view v = {.total = true, .order = LIVE_BY_AGE};
    char *text = screen(&v, s, 80, 21);
    CHECK_STR_HAS(text, "\npool-0 ");
    CHECK_STR_HAS(text, "1 to 10 of 40 threads");
    CHECK(!strstr(text, "\npool-10 "));
    CHECK_LE(v.lines, 21u);
    free(text);
    for (int i = 0; i < 100; i++)
        CHECK(live_view_key(&v, LIVE_KEY_DOWN));
    text = screen(&v, s, 80, 21);
    CHECK_STR_HAS(text, "\npool-39 ");
    free(text);
    for (int i = 0; i < 100; i++)
        CHECK(live_view_key(&v, LIVE_KEY_UP));
    text = screen(&v, s, 80, 21);
    CHECK_STR_HAS(text, "\npool-0 ");
    free(text);
    live_view_free(&v);
    sample_free(s);
}

TEST(every_report_can_be_viewed_in_any_size) {
    for (int kind = 0; kind < SAMPLE_KINDS; kind++) {
        struct sample *s = sample_make((enum sample_kind)kind);
        struct live_view v = {0};
        for (size_t size = 1; size < 200; size *= 3) {
            char *text = screen(&v, s, size, size);
            for (size_t i = 0; i < v.lines; i++)
                CHECK(!v.line[i].text.data || lab_is_printable(v.line[i].text.data));
            free(text);
        }
        live_view_free(&v);
        sample_free(s);
    }
}
