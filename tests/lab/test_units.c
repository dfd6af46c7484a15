/* SPDX-License-Identifier: MIT */
/* The parts of the command that are pure: statistics, numbers for people, JSON, the protocol, the
 * command line. Reference values come from R (qbinom) and from Python's json module. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "measure/protocol.h"
#include "parameter.h"
#include "record.h"
#include "report/format.h"
#include "report/json.h"
#include "stat/stat.h"
#include "text.h"

static bool close_to(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance;
}

TEST(median_of_odd_and_even_counts) {
    CHECK_EQ(lab_stat_median((double[]){3}, 1), 3.0);
    CHECK_EQ(lab_stat_median((double[]){3, 1}, 2), 2.0);
    CHECK_EQ(lab_stat_median((double[]){3, 1, 200}, 3), 3.0);
    CHECK_EQ(lab_stat_median((double[]){4, 1, 3, 2}, 4), 2.5);
    CHECK_EQ(lab_stat_median((double[]){1.7e308, 1.7e308}, 2), 1.7e308);
}

TEST(median_leaves_its_input) {
    double values[] = {3, 1, 2};
    lab_stat_median(values, 3);
    CHECK_EQ(values[0], 3.0);
    CHECK_EQ(values[1], 1.0);
}

TEST(extremes) {
    double values[] = {3, -1, 2, 8, 0};
    CHECK_EQ(lab_stat_min(values, 5), -1.0);
    CHECK_EQ(lab_stat_max(values, 5), 8.0);
}

/* The exact coverage of [k-th smallest, k-th largest], summed in plain arithmetic. */
static double coverage(size_t n, size_t k) {
    double below = 0, term = ldexp(1, -(int)n);
    for (size_t i = 0; i < k; i++) {
        below += term;
        term = term * (double)(n - i) / (double)(i + 1);
    }
    return 1 - 2 * below;
}

TEST(order_ranks_cover_and_are_the_tightest) {
    static const size_t known[][2] = {{1, 0},  {5, 0},  {6, 1},  {8, 1},   {9, 2},
                                      {12, 3}, {15, 4}, {20, 6}, {100, 40}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        CHECK_EQ(lab_stat_order_rank95(known[i][0]), known[i][1]);
    }
    for (size_t n = 6; n <= 500; n++) {
        size_t k = lab_stat_order_rank95(n);
        CHECK_GE(coverage(n, k), 0.95);
        CHECK_LT(coverage(n, k + 1), 0.95);
    }
}

TEST(interval_of_one_or_two_values_is_none) {
    for (size_t n = 1; n <= 2; n++) {
        struct lab_interval i = lab_stat_interval95((double[]){3, 4}, n);
        CHECK(isnan(i.low) && isnan(i.high));
    }
}

TEST(interval_of_few_is_students_on_logarithms) {
    /* exp(mean +- qt(.975, 2) * sd / sqrt(3)) of log(c(10, 11, 12)) */
    struct lab_interval i = lab_stat_interval95((double[]){12, 10, 11}, 3);
    CHECK_MSG(close_to(i.low, 8.74599, 1e-4), "%.6f", i.low);
    CHECK_MSG(close_to(i.high, 13.75859, 1e-4), "%.6f", i.high);
    /* Scaled values: a scaled interval. */
    struct lab_interval s = lab_stat_interval95((double[]){12e6, 10e6, 11e6}, 3);
    CHECK(close_to(s.low / i.low, 1e6, 1e-3) && close_to(s.high / i.high, 1e6, 1e-3));
}

TEST(interval_of_many_is_between_order_statistics) {
    double values[] = {9, 1, 8, 2, 7, 3, 6, 4, 5};
    struct lab_interval i = lab_stat_interval95(values, 9);
    CHECK_EQ(i.low, 2.0);
    CHECK_EQ(i.high, 8.0);
    values[0] = 1e9; /* an outlier moves nothing */
    i = lab_stat_interval95(values, 9);
    CHECK_EQ(i.high, 8.0);
}

TEST(interval_of_equal_values_is_that_value) {
    for (size_t n = 3; n < 12; n++) {
        double values[12];
        for (size_t k = 0; k < n; k++)
            values[k] = 3.16;
        struct lab_interval i = lab_stat_interval95(values, n);
        CHECK_LE(i.low, 3.16);
        CHECK_GE(i.high, 3.16);
        CHECK(close_to(i.low, 3.16, 1e-12) && close_to(i.high, 3.16, 1e-12));
    }
}

TEST(interval_of_zeros_needs_no_logarithm) {
    struct lab_interval i = lab_stat_interval95((double[]){0, 0, 0.3}, 3);
    CHECK_EQ(i.low, 0.0);
    CHECK(isfinite(i.high) && i.high > 0.3);
}

TEST(interval_holds_the_median_and_covers) {
    /* Log-normal values of median 1: the interval must hold 1 in about 95 of 100 draws. */
    struct test_rng rng = test_rng(1);
    static const size_t sizes[] = {3, 4, 5, 6, 9, 15};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t n = sizes[s];
        unsigned held = 0;
        enum { DRAWS = 4000 };
        for (unsigned d = 0; d < DRAWS; d++) {
            double values[16];
            for (size_t k = 0; k < n; k++) {
                double sum = -6; /* twelve uniforms: near enough to normal */
                for (int u = 0; u < 12; u++)
                    sum += (double)(test_rng_next(&rng) >> 11) * 0x1p-53;
                values[k] = exp(0.3 * sum);
            }
            struct lab_interval i = lab_stat_interval95(values, n);
            double median = lab_stat_median(values, n);
            CHECK(i.low <= median && median <= i.high);
            held += i.low <= 1 && 1 <= i.high;
        }
        CHECK_MSG(held >= DRAWS * 0.935, "n %zu: only %u of %d", n, held, DRAWS);
        CHECK_MSG(held <= DRAWS * 0.985, "n %zu: too wide, %u of %d", n, held, DRAWS);
    }
}

TEST(permutations_are_permutations_and_repeat) {
    uint64_t a = 42, b = 42;
    size_t x[50], y[50], seen[50] = {0}, moved = 0;
    lab_stat_permutation(x, 50, &a);
    lab_stat_permutation(y, 50, &b);
    CHECK_MEM_EQ(x, y, sizeof(x));
    for (size_t i = 0; i < 50; i++) {
        CHECK_LT(x[i], 50u);
        seen[x[i]]++;
        moved += x[i] != i;
    }
    for (size_t i = 0; i < 50; i++)
        CHECK_EQ(seen[i], 1u);
    CHECK_GT(moved, 30u);
    uint64_t state = 1234567; /* the generator's published first values */
    CHECK_EQ(lab_stat_random(&state), UINT64_C(6457827717110365317));
    CHECK_EQ(lab_stat_random(&state), UINT64_C(3203168211198807973));
}

static const char *human(double value, const char *unit) {
    static char cell[LAB_CELL];
    lab_human(cell, value, unit);
    return cell;
}

TEST(numbers_for_people) {
    CHECK_STR_EQ(human(26.6, "ns"), "26.6 ns");
    CHECK_STR_EQ(human(3.158, "ns"), "3.16 ns");
    CHECK_STR_EQ(human(0.5, "ns"), "0.500 ns");
    CHECK_STR_EQ(human(1255, "ns"), "1.25 us");
    CHECK_STR_EQ(human(999.7, "ns"), "1.00 us");
    CHECK_STR_EQ(human(999.4, "ns"), "999 ns");
    CHECK_STR_EQ(human(99.96, "ms"), "100 ms");
    CHECK_STR_EQ(human(9.996, "ms"), "10.0 ms");
    CHECK_STR_EQ(human(13800, "ms"), "13.8 s");
    CHECK_STR_EQ(human(0.0123, "ms"), "12.3 us");
    CHECK_STR_EQ(human(4400, "bytes"), "4.40 kB");
    CHECK_STR_EQ(human(1.2e6, "per_s"), "1.20 M/s");
    CHECK_STR_EQ(human(100000, "count"), "100000");
    CHECK_STR_EQ(human(0.41, "percent"), "0.410 %");
    CHECK_STR_EQ(human(0.00812, "percent"), "0.0081 %");
    CHECK_STR_EQ(human(0, "percent"), "0 %");
    CHECK_STR_EQ(human(0, "ms"), "0 ms");
    CHECK_STR_EQ(human(2.5, "ratio"), "2.50x");
}

TEST(numbers_for_people_fit) {
    static const char *const units[] = {"ns", "ms", "s", "bytes", "per_s", "count", "ratio"};
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        for (double v = 1e-320; v < 1e307; v *= 7.3) {
            char range[2 * LAB_CELL];
            CHECK_MSG(strlen(human(v, units[u])) <= 8, "%s", human(v, units[u]));
            lab_human_range(range, v, v * 1.3, units[u]);
            CHECK_MSG(strlen(range) <= 15, "%s", range);
        }
    }
}

static void check_cell(const char *title, size_t columns, const char *want) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f != NULL);
    lab_title_cell(f, title, columns);
    fclose(f);
    CHECK_STR_EQ(text, want);
    free(text);
}

TEST(titles_that_are_cut_can_be_told_apart) {
    check_cell("io", 6, "io    ");
    check_cell("pthread_mutex_lock (30012)", 20, "pthread_mute~(30012)");
    check_cell("pthread_mutex_lock (30013)", 20, "pthread_mute~(30013)");
    check_cell("worker-number-one-of-many-1", 16, "worker-nu~many-1");
    check_cell("worker-number-one-of-many-2", 16, "worker-nu~many-2");
    check_cell("pythread_wrapper-N, 500 threads", 23, "pythread_~, 500 threads");
    check_cell("", 3, "   ");
    check_cell("abcdefghij", 8, "abcdefgh"); /* no room for anything else */
}

TEST(ranges_for_people) {
    char cell[2 * LAB_CELL], ratio[LAB_CELL];
    lab_human_range(cell, 26.1, 27, "ns");
    CHECK_STR_EQ(cell, "26.1-27.0 ns");
    lab_human_range(cell, 998, 1020, "ns");
    CHECK_STR_EQ(cell, "998 ns-1.02 us");
    lab_human_range(cell, 1e-6, 1e7, "ratio");
    CHECK_STR_EQ(cell, "1e-06 to 1e+07x");
    lab_human_range(cell, NAN, NAN, "ns");
    CHECK_STR_EQ(cell, "-");
    lab_human_ratio(ratio, 0.291);
    CHECK_STR_EQ(ratio, "0.291x");
    lab_human_ratio(ratio, 0.02);
    CHECK_STR_EQ(ratio, "1/50.0");
    lab_human_ratio(ratio, NAN);
    CHECK_STR_EQ(ratio, "");
}

/* What a piece of JSON looks like. */
static char *json_of(void (*write)(struct lab_json *)) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    struct lab_json j = {.f = f};
    write(&j);
    fclose(f);
    return text;
}

static void write_strings(struct lab_json *j) {
    lab_json_array(j, NULL, true);
    lab_json_string(j, NULL, "a\"b\\c/d");
    lab_json_string(j, NULL, "\n\t\x01\x7f");
    lab_json_string(j, NULL, "\xc3\xa9\xe2\x98\x83\xf0\x9f\xa7\xb5");
    lab_json_string(j, NULL, "\xff|\xc0\xaf|\xed\xa0\x80|\xe2\x98");
    lab_json_string(j, NULL, NULL);
    lab_json_end_array(j);
}

TEST(json_strings_are_escaped) {
    char *text = json_of(write_strings);
    CHECK_STR_EQ(text, "[\"a\\\"b\\\\c/d\", \"\\u000a\\u0009\\u0001\\u007f\", "
                       "\"\xc3\xa9\xe2\x98\x83\xf0\x9f\xa7\xb5\", "
                       "\"\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd\", null]");
    free(text);
}

static void write_nested(struct lab_json *j) {
    lab_json_object(j, NULL, false);
    lab_json_integer(j, "a", -3);
    lab_json_object(j, "empty", false);
    lab_json_end_object(j);
    lab_json_array(j, "b", true);
    lab_json_number(j, NULL, 0.1);
    lab_json_number(j, NULL, NAN);
    lab_json_number(j, NULL, INFINITY);
    lab_json_bool(j, NULL, true);
    lab_json_end_array(j);
    lab_json_end_object(j);
}

TEST(json_nests) {
    char *text = json_of(write_nested);
    CHECK_STR_EQ(text, "{\n  \"a\": -3,\n  \"empty\": {},\n  \"b\": [0.1, null, null, true]\n}");
    free(text);
}

TEST(json_numbers_read_back_exactly) {
    struct test_rng rng = test_rng(2);
    char text[32];
    for (unsigned long i = 0; i < 20000; i++) {
        uint64_t bits = test_rng_next(&rng);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (!isfinite(v))
            continue;
        lab_shortest_number(text, v);
        CHECK_MSG(strtod(text, NULL) == v, "%s is not %a", text, v);
    }
    lab_shortest_number(text, 0.1);
    CHECK_STR_EQ(text, "0.1");
    lab_shortest_number(text, 1e6);
    CHECK_STR_EQ(text, "1e+06");
}

static struct lab_answer parse(const char *said) {
    struct lab_text t = {0};
    struct lab_answer a;
    lab_text_add(&t, said, strlen(said));
    lab_answer_parse(&a, &t);
    lab_text_free(&t);
    return a;
}

TEST(protocol_takes_samples_notes_and_errors) {
    struct lab_answer a = parse("sample a_ns ns 1.5\nnote guard madv guard\n\nsample b ms 1e3\n"
                                "sample a_ns ns 2\nerror too few\n");
    CHECK(!a.garbage);
    CHECK_EQ(a.series_count, 2u);
    CHECK_STR_EQ(a.series[0].metric, "a_ns");
    CHECK_STR_EQ(a.series[0].unit, "ns");
    CHECK_EQ(a.series[0].count, 2u);
    CHECK_EQ(a.series[0].values[1], 2.0);
    CHECK_EQ(a.series[1].values[0], 1000.0);
    CHECK_EQ(a.note_count, 1u);
    CHECK_STR_EQ(a.notes[0].value, "madv guard");
    CHECK_STR_EQ(a.error, "too few");
    lab_answer_free(&a);
}

TEST(protocol_takes_a_last_line_without_an_end) {
    struct lab_answer a = parse("sample a ns 1");
    CHECK(!a.garbage);
    CHECK_EQ(a.series_count, 1u);
    lab_answer_free(&a);
}

TEST(protocol_survives_random_bytes) {
    struct test_rng rng = test_rng(3);
    static const char *const pieces[] = {"sample ", "note ", "error ", "ns ",   "1 ", "\n",
                                         "x",       " ",     "\033",   "1e999", "-",  "a_ms "};
    for (unsigned long i = test_iterations(20000); i > 0; i--) {
        struct lab_text t = {0};
        lab_text_add(&t, "", 0);
        for (int k = 0; k < 8; k++)
            lab_text_printf(&t, "%s", pieces[test_rng_below(&rng, 12)]);
        struct lab_answer a;
        lab_answer_parse(&a, &t);
        lab_answer_free(&a);
        lab_text_free(&t);
    }
}

TEST(numbers_on_the_command_line) {
    unsigned long long v = 0;
    CHECK(lab_parse_number("17", false, 1, 20, &v) && v == 17);
    CHECK(lab_parse_number("64k", true, 0, 1 << 20, &v) && v == 65536);
    CHECK(lab_parse_number("18446744073709551615", false, 0, ~0ULL, &v) && v == ~0ULL);
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1k", "0x10", "21", "1.5"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_MSG(!lab_parse_number(wrong[i], false, 1, 20, &v), "'%s'", wrong[i]);
    }
    CHECK(!lab_parse_number("18446744073709551615G", true, 0, ~0ULL, &v));
    CHECK(!lab_parse_number("1KK", true, 0, ~0ULL, &v));
}

static char *wrapped(const char *text, size_t column, size_t indent) {
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    lab_wrap(f, text, column, indent);
    fclose(f);
    return out;
}

TEST(text_is_wrapped_at_blanks) {
    struct test_rng rng = test_rng(4);
    for (unsigned long i = test_iterations(2000); i > 0; i--) {
        struct lab_text t = {0};
        lab_text_add(&t, "", 0);
        for (int k = 0; k < 20; k++) {
            for (uint64_t n = test_rng_below(&rng, 100); n > 0; n--)
                lab_text_add(&t, "a", 1);
            lab_text_add(&t, " ", 1);
        }
        char *out = wrapped(t.data, 5, 3);
        size_t length = 5, letters_in = 0, letters_out = 0;
        for (const char *c = out; *c; c++) {
            length = *c == '\n' ? 0 : length + 1;
            letters_out += *c == 'a';
            CHECK_LE(length, 79u);
            CHECK(!(*c == ' ' && c[1] == '\n'));
        }
        for (const char *c = t.data; *c; c++)
            letters_in += *c == 'a';
        CHECK_EQ(letters_in, letters_out);
        free(out);
        lab_text_free(&t);
    }
}

TEST(the_table_of_experiments_is_sound) {
    for (size_t i = 0; i < lab_experiment_count; i++) {
        const struct lab_experiment *e = lab_experiments[i];
        CHECK(lab_experiment_find(e->name) == e);
        CHECK(e->variants[0].name && e->metrics[0].name);
        bool primary = false;
        for (const struct lab_metric *m = e->metrics; m->name; m++) {
            CHECK(m->label && m->unit);
            CHECK_MSG(m->primary || strlen(m->label) <= 9, "%s: too wide", m->label);
            primary = primary || m->primary;
        }
        CHECK_MSG(primary, "%s has no primary metric", e->name);
        const struct lab_parameter *lists[LAB_MAX_VARIANTS + 1] = {e->parameters};
        size_t n = 1;
        for (const struct lab_variant *v = e->variants; v->name; v++)
            lists[n++] = v->set;
        for (size_t k = 0; k < n; k++) {
            for (const struct lab_parameter *p = lists[k]; p->name; p++) {
                for (int cell = 0; cell < LAB_MODES * LAB_PACES; cell++) {
                    const char *value = p->value[cell / LAB_PACES][cell % LAB_PACES];
                    CHECK_MSG(value, "%s --%s", e->name, p->name);
                }
            }
        }
    }
}

TEST(a_list_of_values_is_checked_value_by_value) {
    static const struct {
        const char *name, *text, *read;
    } cases[] = {
        {"threads", "5", "5"},         {"threads", "1,10,100", "1,10,100"},
        {"threads", "007,7,7", "7"},   {"stack-size", "64K,1M", "65536,1048576"},
        {"threads", "1,,2", NULL},     {"threads", "1,x", NULL},
        {"threads", "1,0", NULL},      {"threads", ",", NULL},
        {"threads", "1,", NULL},       {"threads", "", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *read = lab_parameter_read(cases[i].name, cases[i].text);
        CHECK_MSG(!read == !cases[i].read, "%s", cases[i].text);
        if (read)
            CHECK_STR_EQ(read, cases[i].read);
        free(read);
    }
    CHECK(lab_list_has("1,10,100", "10") && lab_list_has("1,10,100", "100"));
    CHECK(!lab_list_has("1,10,100", "0") && !lab_list_has("10", "1"));
    char *last = lab_list_at("1,10,100", 2);
    CHECK_STR_EQ(last, "100");
    CHECK(lab_list_at("1,10,100", 3) == NULL);
    free(last);
}

TEST(too_many_values_are_refused) {
    struct lab_text t = {0};
    for (int i = 1; i <= 200; i++)
        lab_text_printf(&t, "%s%d", i > 1 ? "," : "", i);
    CHECK(lab_parameter_read("threads", t.data) == NULL);
    lab_text_free(&t);
}

TEST(the_point_of_a_sweep_stands_after_the_variants_name) {
    CHECK_EQ(lab_variant_length(""), 0u);
    CHECK_EQ(lab_variant_length("busy"), 4u);
    CHECK_EQ(lab_variant_length("busy threads=5,workers=1"), 4u);
    CHECK_EQ(lab_variant_length("threads=5"), 0u);
    const struct lab_experiment *e = lab_experiment_find("forkjoin");
    bool plain;
    CHECK(lab_variant_find(e, "fib-all n=5", &plain) == &e->variants[1] && !plain);
    CHECK(lab_variant_find(e, "fib workers=5,n=3", &plain) == &e->variants[0] && plain);
    CHECK(lab_variant_find(e, "fi n=5", &plain) == NULL);
    static const char *const variants[] = {"busy n=1", "busy n=2", "busy", "idle n=1"};
    struct lab_run run = {0};
    for (size_t i = 0; i < 4; i++) {
        struct lab_result *r = lab_run_add(&run);
        r->experiment = lab_copy("wake");
        r->variant = lab_copy(variants[i]);
    }
    CHECK(lab_same_sweep(&run.results[0], &run.results[1]));
    CHECK(!lab_same_sweep(&run.results[0], &run.results[2]));
    CHECK(!lab_same_sweep(&run.results[0], &run.results[3]));
    lab_run_free(&run);
}

TEST(results_of_other_work_are_not_compared) {
    struct lab_run run = {0};
    static const char *const values[][2] = {{"10", "1"}, {"10", "9"}, {"20", "1"}};
    for (size_t i = 0; i < 3; i++) {
        struct lab_result *r = lab_run_add(&run);
        r->experiment = lab_copy("capacity");
        lab_pairs_add(&r->params, &r->param_count, "threads", values[i][0], true);
        lab_pairs_add(&r->params, &r->param_count, "samples", values[i][1], true);
    }
    CHECK(lab_same_work(&run.results[0], &run.results[1]));
    CHECK(!lab_same_work(&run.results[0], &run.results[2]));
    lab_run_free(&run);
}
