/* SPDX-License-Identifier: MIT */
/* The page of a probe: well-formed, self-contained and small whatever was watched, and it says in
 * plain HTML what was found. */
#include "test.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "html_check.h"
#include "probe/out.h"
#include "probe_sample.h"

static char *page(const struct probe_report *r) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f != NULL);
    CHECK_EQ(probe_write_html(f, r), 0);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(strlen(text), size);
    return text;
}

/* What the script gets; the text of the page is cut there. */
static json_t *data_of(char *text) {
    static const char begin[] = "<script type=\"application/json\" id=\"data\">";
    char *at = strstr(text, begin);
    CHECK(at != NULL);
    at += strlen(begin);
    char *end = strstr(at, "</script>");
    CHECK(end != NULL);
    *end = '\0';
    json_error_t error;
    json_t *data = json_loads(at, JSON_REJECT_DUPLICATES, &error);
    CHECK_MSG(data != NULL, "%s", error.text);
    return data;
}

/* What is linked to within the page is there. */
static void check_links(const char *text) {
    for (const char *at = text; (at = strstr(at, "href=\"#"));) {
        char id[64];
        at += strlen("href=\"#");
        snprintf(id, sizeof(id), "id=\"%.*s\"", (int)strcspn(at, "\""), at);
        CHECK_MSG(strstr(text, id) != NULL, "%s is missing", id);
    }
}

TEST(every_page_is_well_formed_and_small) {
    for (int kind = 0; kind < SAMPLE_KINDS; kind++) {
        struct sample *s = sample_make((enum sample_kind)kind);
        char *text = page(sample_report(s));
        html_check_nesting(text);
        html_check_self_contained(text);
        check_links(text);
        CHECK_LT(strlen(text), 1000000u);
        CHECK_EQ(html_count(text, "<script>alert"), 0u);
        CHECK_EQ(html_count(text, "\x01"), 0u);
        CHECK_EQ(html_count(text, "\xff"), 0u);
        CHECK_EQ(html_count(text, "<script"), 2u);
        json_decref(data_of(text));
        free(text);
        sample_free(s);
    }
}

TEST(the_page_says_what_was_found) {
    struct sample *s = sample_make(SAMPLE_GIL);
    char *text = page(sample_report(s));
    CHECK_STR_HAS(text, "<p class=\"first\">Two CPU-bound threads take turns every 5.0 ms");
    CHECK_STR_HAS(text, "<h2>What to do</h2>");
    CHECK_STR_HAS(text, "python3 app.py &#39;--shop name&#39;");
    CHECK_STR_HAS(text, "Python 3.11.2");
    CHECK_STR_HAS(text, "</span>worker-1<small>4243 ");
    CHECK_STR_HAS(text, "title=\"waits 50.");
    CHECK_STR_HAS(text, "Convoys: short waiters behind long holders");
    CHECK_STR_HAS(text, "<td>112\xc3\x97</td>");
    CHECK_STR_HAS(text, ">echo (app.py:40)</span>");
    CHECK_STR_HAS(text, "<small>and 3 more</small>"); /* one line, four threads */
    CHECK_STR_HAS(text, "Contended objects");
    CHECK_STR_HAS(text, "<td>1.50 ms</td>");
    CHECK_STR_HAS(text, "hand-overs were seen (100.00&nbsp;%)");
    CHECK_STR_HAS(text, "not asked for (--native)");
    CHECK_EQ(html_count(text, "<figure class=\"spread st-waits\">"), 4u); /* all, three threads */
    free(text);
    sample_free(s);
}

TEST(the_page_without_a_lock_says_nothing_of_one) {
    struct sample *s = sample_make(SAMPLE_THREADS);
    char *text = page(sample_report(s));
    char *end = strstr(text, "<script");
    CHECK(end != NULL);
    *end = '\0';
    CHECK(!strstr(strstr(text, "<main>"), "GIL"));
    CHECK_STR_HAS(text, "Waiting for a CPU");
    CHECK_STR_HAS(text, "first run");
    CHECK_STR_HAS(text, "<td>60.0 \xc2\xb5s</td>");
    free(text);
    sample_free(s);
}

/* More spans than there is room for: the newest, and shares for all. */
TEST(a_long_log_is_cut_and_it_is_said) {
    struct sample *s = sample_make(SAMPLE_MANY);
    size_t spans = sample_timeline(s)->span_count;
    char *text = page(sample_report(s));
    CHECK_STR_HAS(text, "123456 older ones are not in the picture");
    CHECK_STR_HAS(text, "Single spans are there from ");
    json_t *data = data_of(text);
    size_t count = (size_t)json_integer_value(json_object_get(data, "count"));
    CHECK_GT(count, 10000u);
    CHECK_LT(count, spans);
    CHECK_GT(json_number_value(json_object_get(data, "exact")), 0.0);
    CHECK(json_is_string(json_object_get(json_object_get(data, "slices"), "shares")));
    json_decref(data);
    free(text);
    sample_free(s);
}

TEST(a_page_of_nothing_says_so) {
    const struct probe_timeline t = {0};
    const struct probe_report r = {.command = "threads", .timeline = &t, .pid = 77};
    char *text = page(&r);
    html_check_nesting(text);
    CHECK_STR_HAS(text, "No thread was seen.");
    CHECK_STR_HAS(text, "process 77");
    free(text);
}

/* Of a thread that has no track of its own the GIL's track still tells what it held. */
TEST(who_has_no_track_still_holds_the_lock) {
    enum { MANY = 150 };
    static char name[] = "worker";
    struct probe_thread threads[MANY] = {0};
    struct probe_lock lock = {.takes = 1};
    struct probe_span spans[] = {{1000, 9000, MANY - 1, PROBE_STATE_HOLDS, 0, 0, 0},
                                 {9000, 20000, MANY - 1, PROBE_STATE_WAITS, -1, 0, 0},
                                 {9000, 20000, 0, PROBE_STATE_HOLDS, 1, 0, 0}};
    for (int i = 0; i < MANY; i++) {
        threads[i] = (struct probe_thread){.tid = 100 + i, .pid = 100, .name = name};
        threads[i].state_ns[PROBE_STATE_HOLDS] = (uint64_t)(MANY - i) * 1000;
    }
    const struct probe_timeline t = {.begin_ns = 1000, .end_ns = 20000, .thread = threads,
                                     .thread_count = MANY, .lock = &lock, .lock_count = 1,
                                     .span = spans, .span_count = 3};
    const struct probe_report r = {.command = "gil", .timeline = &t, .pid = 100};
    char *text = page(&r);
    html_check_nesting(text);
    CHECK_STR_HAS(text, "Of 150 threads the 100 that did most have tracks; when another one had");
    json_t *data = data_of(text);
    CHECK_EQ(json_array_size(json_object_get(data, "threads")), 100u);
    CHECK_EQ(json_integer_value(json_object_get(data, "count")), 2);
    json_decref(data);
    free(text);
}
