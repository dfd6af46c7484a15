/* SPDX-License-Identifier: MIT */
/* The page: whatever names and numbers a run has, it is well-formed, self-contained, and says what
 * was measured. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "html_check.h"
#include "record.h"
#include "report/html.h"
#include "report/html_diff.h"
#include "report/report.h"
#include "synthetic.h"
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
    CHECK_EQ(html_count(text, "<script>alert"), 0u);
    CHECK(html_count(text, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;") > 5);
    CHECK_EQ(html_count(text, "\x01"), 0u);
    CHECK_EQ(html_count(text, "\xff"), 0u);
    html_check_nesting(text);
    html_check_self_contained(text);
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

/* The part of a text from one thing on, at most n bytes of it. */
static char *part_from(const char *text, const char *what, size_t n) {
    const char *begin = strstr(text, what);
    CHECK_MSG(begin != NULL, "%s is missing", what);
    return lab_copy_n(begin, strnlen(begin, n));
}

TEST(claims_are_marked) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    char *joins = part_from(text, "\"row\">joining it</th><td>python3.13t / python3.12</td>", 300);
    CHECK_STR_HAS(joins, "6.30\xc3\x97");
    CHECK_STR_HAS(joins, "disagrees: it is more here");
    free(joins);
    char *starts = part_from(text, "<th scope=\"row\">starting it</th><td>python3.13t / ", 250);
    CHECK_STR_HAS(starts, "agrees");
    CHECK(!strstr(starts, "disagrees"));
    free(starts);
    char *missing = part_from(text, "<td>python3.13 / python3.12</td>", 250);
    CHECK_STR_HAS(missing, "of python3.13 was not measured here");
    free(missing);
    free(text);
    lab_run_free(&run);
}

TEST(verdicts_are_words) {
    struct lab_run run = {.mode = "full"};
    synthetic_add(&run, "switch", "", "heddle", "yield_ns", "ns", 10, 20);
    synthetic_add(&run, "switch", "", "pthread", "yield_ns", "ns", 1500, 20);
    synthetic_add(&run, "switch", "", "boost", "yield_ns", "ns", 1508, 3);
    synthetic_add(&run, "idle", "", "pthread", "idle_cpu_percent", "percent", 1, 20);
    synthetic_add(&run, "idle", "", "heddle", "idle_cpu_percent", "percent", 3, 20);
    char *text = page(&run);
    char *row = part_from(text, "</span>heddle</th>", 400);
    CHECK_STR_HAS(row, "<span class=\"verdict good\">faster</span>");
    free(row);
    row = part_from(text, "</span>boost</th>", 400);
    CHECK_STR_HAS(row, "<span class=\"verdict undecided\">undecided</span>");
    CHECK_STR_HAS(row, "processes would tell");
    free(row);
    row = part_from(strstr(text, "<section id=\"idle\">"), "</span>heddle</th>", 400);
    CHECK_STR_HAS(row, "<span class=\"verdict bad\">more</span>");
    free(row);
    free(text);
    lab_run_free(&run);
}

/* The page of two runs of two subjects, named with what could break out of it. */
static char *diff_page(const struct lab_run *a, const struct lab_run *b) {
    struct lab_comparison all[2];
    struct lab_difference items[2];
    for (size_t i = 0; i < 2; i++) {
        const struct lab_result *x = &a->results[i], *y = &b->results[i];
        const struct lab_side from = {x->samples, x->n, NULL}, to = {y->samples, y->n, NULL};
        lab_compare_sides(&from, &to, false, LAB_MARGIN_DEFAULT, &all[i]);
    }
    lab_compare_adjust(all, 2, LAB_MARGIN_DEFAULT);
    for (size_t i = 0; i < 2; i++) {
        items[i] = (struct lab_difference){&a->results[i], &b->results[i], all[i]};
    }
    const struct lab_result *only = &b->results[2];
    const struct lab_differences d = {.name_a = evil,
                                      .name_b = "it's last",
                                      .items = items,
                                      .count = 2,
                                      .only_b = &only,
                                      .only_b_count = 1,
                                      .margin = LAB_MARGIN_DEFAULT};
    FILE *f = tmpfile();
    CHECK(f != NULL);
    CHECK_EQ(lab_write_html_diff(f, a, b, &d), 0);
    size_t bytes = (size_t)ftell(f);
    char *text = lab_alloc(bytes + 1, 1);
    rewind(f);
    CHECK_EQ(fread(text, 1, bytes, f), bytes);
    fclose(f);
    return text;
}

TEST(two_runs_are_compared_on_a_page) {
    struct lab_run a = {.mode = "full"}, b = {.mode = "full"};
    lab_pairs_add(&a.machine, &a.machine_count, "kernel", "Linux 6.1", false);
    lab_pairs_add(&b.machine, &b.machine_count, "kernel", "Linux 6.9", false);
    lab_pairs_add(&b.machine, &b.machine_count, "governor", evil, false);
    synthetic_add(&a, "switch", "", "heddle", "yield_ns", "ns", 10, 20);
    synthetic_add(&b, "switch", "", "heddle", "yield_ns", "ns", 12, 20);
    synthetic_add(&a, "switch", "", evil, "yield_ns", "ns", 50, 20);
    synthetic_add(&b, "switch", "", evil, "yield_ns", "ns", 50, 20);
    synthetic_add(&b, "spawn", "", "heddle", "single_ns", "ns", 80, 20);
    char *text = diff_page(&a, &b);
    html_check_nesting(text);
    html_check_self_contained(text);
    CHECK_EQ(html_count(text, "<script>alert"), 0u);
    CHECK_STR_HAS(text, "Not the same machine or system: kernel differ.");
    CHECK_STR_HAS(text, "<strong class=\"verdict bad\">1</strong><span class=\"what\">worse");
    CHECK_STR_HAS(text, "<strong class=\"verdict same\">1</strong>");
    CHECK_STR_HAS(text, "1 result is only in B");
    CHECK_STR_HAS(text, "&#39;it&#39;\\&#39;&#39;s last&#39; --html diff.html</code>");
    char *row = part_from(text, "<tr><th scope=\"row\">heddle</th>", 700);
    CHECK_STR_HAS(row, "<span class=\"verdict bad\">slower</span>");
    CHECK_STR_HAS(row, "&lt;0.001");
    free(row);
    CHECK_EQ(html_count(text, "\"chart\": \"ratios\""), 1u);
    CHECK_EQ(html_count(text, "\"chart\": \"dots\""), 1u);
    *strstr(text, "id=\"data\">") = '\0';
    CHECK_EQ(html_count(text, "<figure data-chart="), 2u);
    free(text);
    lab_run_free(&a);
    lab_run_free(&b);
}

TEST(each_chart_has_its_data) {
    struct lab_run run = whole_run();
    char *text = page(&run);
    if (html_library_bytes == 0) SKIP("built without the chart library");
    char *data = strstr(text, "id=\"data\">");
    CHECK(data != NULL);
    *data++ = '\0';
    size_t figures = html_count(text, "<figure data-chart=");
    CHECK_GT(figures, 2u);
    *strstr(data, "</script>") = '\0';
    CHECK_EQ(html_count(data, "\"chart\": "), figures);
    CHECK_EQ(html_count(data, "<"), 0u);
    free(text);
    lab_run_free(&run);
}

/* The page of a made-up run, without its scripts. */
static char *synthetic_page(void) {
    struct lab_run run = synthetic_run(1);
    char *text = page(&run);
    lab_run_free(&run);
    return text;
}

/* The part of a page from the section of an experiment to the next section. */
static char *section(const char *text, const char *experiment) {
    char *head = lab_format("<section id=\"%s\">", experiment);
    const char *begin = strstr(text, head);
    CHECK_MSG(begin != NULL, "no section %s", experiment);
    const char *end = strstr(begin, "</section>");
    free(head);
    return lab_copy_n(begin, (size_t)(end - begin));
}

TEST(a_parameter_with_several_values_becomes_a_line) {
    char *text = synthetic_page();
    html_check_nesting(text);
    html_check_self_contained(text);
    CHECK_LT(strlen(text), 1000000u);
    CHECK_EQ(html_count(text, "\"chart\": \"lines\""), 2u); /* fib over workers, padding */
    CHECK_EQ(html_count(text, "\"x\": \"workers\""), 1u);
    CHECK_EQ(html_count(text, "\"x\": \"padding\""), 1u);
    const char *padding = strstr(text, "\"x\": \"padding\"");
    CHECK_STR_HAS(padding, "\"name\": \"sharing false\""); /* a line a kind of sharing */
    CHECK_STR_HAS(padding, "\"level\": "); /* what has no padding is drawn all across */
    char *part = section(text, "forkjoin");
    CHECK_STR_HAS(part, "over workers");
    CHECK_STR_HAS(part, "Each of the 4 variants by itself");
    CHECK_STR_HAS(part, "heddle lab forkjoin --full --subject heddle,pthread,boost,go1.19");
    free(part);
    part = section(text, "switch"); /* one variant: nothing to sweep */
    CHECK(!strstr(part, "over "));
    free(part);
    free(text);
}

TEST(many_cases_are_one_table) {
    char *text = synthetic_page(), *part = section(text, "specialized");
    CHECK_EQ(html_count(text, "\"chart\": \"cases\""), 1u);
    CHECK_EQ(html_count(part, "<table class=\"cases\">"), 1u);
    CHECK_STR_HAS(part, "<th scope=\"row\">four types at a site</th>");
    char *row = strstr(part, "<th scope=\"row\">int + int</th>");
    CHECK(row != NULL);
    *strstr(row, "</tr>") = '\0';
    CHECK_EQ(html_count(row, "<td"), 8u); /* one each Python */
    CHECK_GT(html_count(row, "heat-2"), 2u); /* the old ones take almost twice as long */
    CHECK_GT(html_count(row, "heat-0"), 2u);
    free(part);
    free(text);
}

TEST(listings_are_folded_and_said_once) {
    char *text = synthetic_page(), *part = section(text, "specialized");
    CHECK_STR_HAS(part, "<summary>Instructions, as dis shows them</summary>");
    CHECK_STR_HAS(part, "scope=\"rowgroup\">int_add</th>");
    CHECK_EQ(html_count(part, "BINARY_OP_ADD_INT"), 1u);
    CHECK_EQ(html_count(part, "BINARY_ADD"), 1u);
    CHECK_STR_HAS(part, "<td>python2.7, python3.6, python3.8, python3.10</td>");
    CHECK_STR_HAS(part, "<td>python3.11, python3.12, python3.13, python3.13t</td>");
    CHECK_STR_HAS(part, "\"row\">adaptive</th><td>the specializer is off<small>python3.13t");
    free(part);
    free(text);
}

TEST(values_of_a_list_given_to_heddle_run_are_a_line) {
    struct lab_run run = {.mode = "run"};
    run.command = lab_copy("heddle run -L n=1,20,400 -- work {n}");
    static const char *const values[] = {"1", "20", "400"};
    for (size_t i = 0; i < 3; i++) {
        char *name = lab_format("work %s", values[i]);
        double seconds = 1 + 0.1 * (double)i;
        struct lab_result *r = synthetic_add(&run, "run", "", name, "wall_s", "s", seconds, 10);
        lab_pairs_add(&r->params, &r->param_count, "n", values[i], true);
        free(name);
    }
    char *text = page(&run);
    html_check_nesting(text);
    CHECK_STR_HAS(text, "<h1>Commands, measured</h1>");
    CHECK_STR_HAS(text, "<code>heddle run -L n=1,20,400 -- work {n}</code>");
    CHECK_EQ(html_count(text, "\"chart\": \"lines\""), 1u);
    CHECK_STR_HAS(text, "\"name\": \"work {n}\"");
    CHECK_STR_HAS(text, "vs work 1</th>");
    CHECK_EQ(html_count(text, "did other work"), 0u);
    free(text);
    lab_run_free(&run);
}

/* From one measurement by default, over one parameter and over another. */
TEST(each_parameter_has_its_own_lines) {
    static const struct {
        const char *variant, *threads, *stack;
    } points[] = {{"", "100", "0"},
                  {"count threads=1", "1", "0"},
                  {"count threads=10", "10", "0"},
                  {"stack stack-size=65536", "100", "65536"},
                  {"stack stack-size=1048576", "100", "1048576"}};
    struct lab_run run = {.mode = "full"};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        for (size_t k = 0; k < 2 + (i == 0); k++) { /* a third one takes no part in the sweeps */
            const char *subject = k == 0 ? "heddle" : k == 1 ? "pthread" : "lonely";
            struct lab_result *r = synthetic_add(&run, "forked", points[i].variant, subject,
                                                 "total_ms", "ms", 1 + (double)i, 5);
            lab_pairs_add(&r->params, &r->param_count, "threads", points[i].threads, true);
            lab_pairs_add(&r->params, &r->param_count, "stack-size", points[i].stack, true);
        }
    }
    char *text = page(&run);
    CHECK_EQ(html_count(text, "\"chart\": \"lines\""), 2u);
    char *data = part_from(text, "\"x\": \"threads\"", 2000);
    *strstr(data, "\"x\": \"stack-size\"") = '\0';
    CHECK_STR_HAS(data, "[[1, ");
    CHECK_STR_HAS(data, "[100, "); /* the default is a point of both */
    CHECK_EQ(html_count(data, "\"title\""), 1u); /* one panel: the stack is the same in all */
    CHECK_EQ(html_count(data, "\"who\""), 2u);
    free(data);
    char *part = section(text, "forked");
    CHECK(strstr(part, "over stack-size") < strstr(part, "Each of the 4 variants by itself"));
    free(part);
    free(text);
    lab_run_free(&run);
}

TEST(a_disturbed_machine_is_told) {
    struct lab_run run = {.mode = "full"};
    lab_pairs_add(&run.machine, &run.machine_count, "cpus", "2", true);
    lab_pairs_add(&run.machine, &run.machine_count, "load_1min", "29", true);
    synthetic_add(&run, "switch", "", "heddle", "yield_ns", "ns", 10, 20);
    char *text = page(&run);
    html_check_nesting(text);
    CHECK_STR_HAS(text, "The machine was disturbed: load_1min (29");
    CHECK_STR_HAS(text, "What disturbs measurements here");
    CHECK_STR_HAS(text, "<code>heddle machine</code>");
    free(text);
    lab_run_free(&run);
}

/* As many results as all experiments with all subjects have, with many processes each. */
TEST(a_page_stays_below_a_megabyte) {
    struct lab_run run = synthetic_run(1);
    for (size_t v = 0; v < 30; v++) {
        char *variant = lab_format("count threads=%zu", v);
        for (size_t m = 0; m < 10; m++) {
            char *metric = lab_format("metric_%zu_ms", m);
            for (size_t i = 0; i < run.subject_count; i++) {
                struct lab_result *r = synthetic_add(&run, "forked", variant, run.subjects[i].name,
                                                     metric, "ms", 1 + (double)(v + m + i), 10);
                r->primary = m < 2;
            }
            free(metric);
        }
        free(variant);
    }
    CHECK_GT(run.result_count, 3600u);
    char *text = page(&run);
    CHECK_LT(strlen(text), 1000000u);
    html_check_nesting(text);
    CHECK_STR_HAS(text, "This run is large");
    CHECK_STR_HAS(text, "count: threads 29");
    free(text);
    lab_run_free(&run);
}

TEST(a_sweep_has_one_card) {
    char *text = synthetic_page(), *part = section(text, "glance");
    CHECK_EQ(html_count(part, "<li>"), 4u); /* switch, lifecycle, forkjoin, padded */
    CHECK_STR_HAS(part, "in 9 variants");
    free(part);
    free(text);
}

TEST(page_of_an_empty_run) {
    struct lab_run run = {.mode = "default", .interrupted = true};
    char *text = page(&run);
    CHECK_STR_HAS(text, "Nothing was measured.");
    CHECK_STR_HAS(text, "interrupted");
    html_check_nesting(text);
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
    html_check_nesting(text);
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
