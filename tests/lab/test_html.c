/* SPDX-License-Identifier: MIT */
/* The page: whatever names and numbers a run has, it is well-formed, self-contained, and says what
 * was measured. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "report/html.h"
#include "report/report.h"
#include "text.h"

static const char evil[] = "<script>alert(1)</script>&\"'</title>\x01\xff";

static void add(struct lab_run *run, const char *experiment, const char *variant,
                const char *subject, const char *metric, const char *unit, double median,
                bool primary) {
    struct lab_result *r = lab_run_add(run);
    r->experiment = lab_copy(experiment);
    r->variant = lab_copy(variant);
    r->subject = lab_copy(subject);
    r->metric = lab_copy(metric);
    r->unit = lab_copy(unit);
    r->primary = primary;
    r->per_thing = true;
    lab_pairs_add(&r->params, &r->param_count, "threads", "2", true);
    r->n = 2;
    r->samples = lab_alloc(2, sizeof(double));
    r->processes = lab_alloc(2, sizeof(*r->processes));
    r->samples[0] = r->samples[1] = median;
    r->median = r->min = r->max = median;
    r->ci_low = median * 0.9;
    r->ci_high = median * 1.1;
    r->bare_ratio = NAN;
}

static void add_subject(struct lab_run *run, const char *name, const char *kind,
                        const char *version, bool free_threaded) {
    run->subjects = lab_grow_one(run->subjects, run->subject_count, sizeof(*run->subjects));
    run->subjects[run->subject_count++] =
        (struct lab_subject_info){lab_copy(name), lab_copy(kind), lab_copy(version),
                                  lab_copy("/opt/it's here"), free_threaded};
}

static char *page(const struct lab_run *run) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    CHECK(f != NULL);
    CHECK_EQ(report_html(run, f), 0);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(strlen(text), bytes);
    return text;
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static bool is_void(const char *name, size_t length) {
    return (length == 4 && strncmp(name, "meta", 4) == 0) ||
           (length == 2 && strncmp(name, "br", 2) == 0);
}

/* Every element is closed by its own end tag, in order; scripts and styles are passed over. */
static void check_nesting(const char *text) {
    char stack[64][16];
    size_t depth = 0;
    for (const char *at = text; (at = strchr(at, '<'));) {
        if (strncmp(at, "<!--", 4) == 0) {
            at = strstr(at, "-->");
            CHECK(at != NULL);
            continue;
        }
        bool closing = at[1] == '/';
        const char *name = at + 1 + closing;
        size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
        at = name;
        if (length == 0) continue; /* the document type */
        CHECK_LT(length, sizeof(stack[0]));
        if (closing) {
            CHECK_GT(depth, 0u);
            depth--;
            CHECK_MSG(strncmp(stack[depth], name, length) == 0 && stack[depth][length] == '\0',
                      "</%.*s> closes <%s>", (int)length, name, stack[depth]);
        } else if (!is_void(name, length)) {
            CHECK_LT(depth, 64u);
            memcpy(stack[depth], name, length);
            stack[depth++][length] = '\0';
        }
        if (!closing && strncmp(name, "script", 6) == 0) at = strstr(name, "</script");
        if (!closing && strncmp(name, "style", 5) == 0) at = strstr(name, "</style");
        CHECK(at != NULL);
    }
    CHECK_EQ(depth, 0u);
}

static void check_self_contained(const char *text) {
    static const char *const outside[] = {" src=", "href=\"http", "href='http", "@import",
                                          "<link", "<img", "url("};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        const char *found = strstr(text, outside[i]);
        CHECK_MSG(!found, "refers to something outside: %.60s", found ? found : "");
    }
}

static struct lab_run whole_run(void) {
    struct lab_run run = {.mode = "quick"};
    lab_pairs_add(&run.machine, &run.machine_count, "cpu", evil, false);
    lab_pairs_add(&run.options, &run.option_count, "repeat", "5", true);
    add_subject(&run, "heddle", "native", "0.1.0", false);
    add_subject(&run, "pthread", "native", "2.36", false);
    add_subject(&run, evil, "python", "3.11.2", false);
    add_subject(&run, "python3.12", "python", "3.12.1", false);
    add_subject(&run, "python3.13t", "python", "3.13.5", true);
    add(&run, "switch", "", "heddle", "yield_ns", "ns", 10, true);
    add(&run, "switch", "", "pthread", "yield_ns", "ns", 1500, true);
    add(&run, "switch", "", "bare", "bare_switch_ns", "ns", 2.5, true);
    add(&run, "lifecycle", "", "heddle", "total_ms", "ms", 1.5, true);
    add(&run, "lifecycle", "", "pthread", "total_ms", "ms", 45, true);
    add(&run, "lifecycle", "", evil, "total_ms", "ms", 100, true);
    add(&run, "lifecycle", "", "python3.12", "join_ms", "ms", 2, false);
    add(&run, "lifecycle", "", "python3.13t", "join_ms", "ms", 12.6, false);
    add(&run, "lifecycle", "", "python3.12", "start_ms", "ms", 100, false);
    add(&run, "lifecycle", "", "python3.13t", "start_ms", "ms", 110, false);
    add(&run, evil, evil, evil, evil, evil, 7, true);
    lab_run_fail(&run, "capacity", "", evil, evil);
    lab_run_fail(&run, "switch", "", evil, evil);
    lab_run_note(&run, "switch", evil, "key", evil);
    return run;
}

TEST(page_survives_any_name) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    CHECK_EQ(count(text, "<script>alert"), 0u);
    CHECK(count(text, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;") > 5);
    CHECK_EQ(count(text, "\x01"), 0u);
    CHECK_EQ(count(text, "\xff"), 0u);
    check_nesting(text);
    check_self_contained(text);
    CHECK_LT(strlen(text), 1000000u);
    free(text);
    lab_run_free(&run);
}

TEST(page_says_what_was_measured) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    CHECK_STR_HAS(text, "What does a switch from one thread to another cost?");
    CHECK_STR_HAS(text, "A switch from one thread to another takes <strong>10.0 ns</strong> with "
                        "heddle, 1/150 of the 1.50 \xc2\xb5s with pthread");
    CHECK_STR_HAS(text, "heddle lab switch --quick --subject heddle,pthread --repeat 5<");
    CHECK_STR_HAS(text, "What could not be measured");
    free(text);
    lab_run_free(&run);
}

TEST(claims_are_marked) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    char *joins = strstr(text, "<td>3.13t / 3.12</td><td>1.3");
    CHECK(joins != NULL);
    joins[300] = '\0';
    CHECK_STR_HAS(joins, "6.30\xc3\x97");
    CHECK_STR_HAS(joins, "disagrees: it is more here");
    free(text);
    text = page(&run);
    char *starts = strstr(text, "<td>3.13t / 3.12</td><td>1.1");
    CHECK(starts != NULL);
    starts[300] = '\0';
    CHECK_STR_HAS(starts, "agrees");
    CHECK(!strstr(starts, "disagrees"));
    free(text);
    lab_run_free(&run);
}

TEST(each_chart_has_its_data) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    if (html_library_bytes == 0) SKIP("built without the chart library");
    char *data = strstr(text, "id=\"data\">");
    CHECK(data != NULL);
    *data++ = '\0';
    size_t figures = count(text, "<figure data-chart=");
    CHECK_GT(figures, 2u);
    *strstr(data, "</script>") = '\0';
    CHECK_EQ(count(data, "\"chart\": "), figures);
    CHECK_EQ(count(data, "<"), 0u);
    free(text);
    lab_run_free(&run);
}

TEST(page_of_an_empty_run) {
    struct lab_run run = {.mode = "default", .interrupted = true};
    char *text = page(&run);
    CHECK_STR_HAS(text, "Nothing was measured.");
    CHECK_STR_HAS(text, "interrupted");
    check_nesting(text);
    free(text);
}

TEST(page_of_numbers_that_are_none) {
    struct lab_run run = {.mode = "full"};
    add(&run, "switch", "", "heddle", "yield_ns", "ns", 0, true);
    add(&run, "switch", "", "pthread", "yield_ns", "ns", 0, true);
    add(&run, "spawn", "", "go", "single_ns", "ns", 1e300, true);
    run.results[2].n = 1;
    run.results[2].ci_low = run.results[2].ci_high = NAN;
    char *text = page(&run);
    check_nesting(text);
    *strstr(text, "</main>") = '\0';
    CHECK(!strstr(text, "nan"));
    CHECK(!strstr(text, "inf"));
    free(text);
    lab_run_free(&run);
}

TEST(shell_words_are_quoted) {
    struct lab_text t = {0};
    html_shell_word(&t, "heddle");
    html_shell_word(&t, "it's");
    html_shell_word(&t, "");
    html_shell_word(&t, "$(x)");
    CHECK_STR_EQ(t.data, "heddle 'it'\\''s' '' '$(x)'");
    lab_text_free(&t);
}
