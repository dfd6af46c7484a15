/* SPDX-License-Identifier: MIT */
/* What earlier sources say, beside a run: when they agree, when not, when nothing can be told. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "record.h"
#include "text.h"

static const char affinity[] = "affinity";

static void measure(struct lab_run *run, const char *subject, const char *metric, double low,
                    double median, double high) {
    struct lab_result *r = lab_run_add(run);
    *r = (struct lab_result){.experiment = lab_copy("lifecycle"),
                             .subject = lab_copy(subject),
                             .metric = lab_copy(metric),
                             .unit = lab_copy("ms"),
                             .variant = lab_copy(""),
                             .median = median,
                             .ci_low = low,
                             .ci_high = high,
                             .bare_ratio = NAN};
}

/* The check of a metric of a subject against another's; NULL if there is none. */
static const struct lab_check *find(const struct lab_check *checks, size_t count,
                                    const char *metric, const char *subject) {
    for (size_t i = 0; i < count; i++) {
        const struct lab_reference *r = checks[i].reference;
        if (strcmp(r->metric, metric) == 0 && strcmp(r->subject, subject) == 0)
            return &checks[i];
    }
    return NULL;
}

/* Python 3.13 takes `times` as long as 3.12 to join, give or take a tenth: the source says 1.3. */
static enum lab_agreement join_of(double times, double spread) {
    struct lab_run run = {0};
    struct lab_check *checks;
    measure(&run, "python3.12", "join_ms", 10, 10, 10);
    measure(&run, "python3.13", "join_ms", 10 * (times - spread), 10 * times,
            10 * (times + spread));
    size_t count = lab_references_check(&run, &checks);
    const struct lab_check *c = find(checks, count, "join_ms", "python3.13");
    CHECK(c && c->result && c->than);
    CHECK(fabs(c->measured - times) < 1e-9);
    enum lab_agreement agreement = c->agreement;
    free(checks);
    lab_run_free(&run);
    return agreement;
}

TEST(a_figure_within_the_range_agrees) {
    CHECK_EQ(join_of(1.3, 0), LAB_AGREES);
    CHECK_EQ(join_of(1.25, 0.1), LAB_AGREES);
    CHECK_EQ(join_of(1.35, 0.1), LAB_AGREES);
}

TEST(a_figure_outside_of_the_range_disagrees) {
    CHECK_EQ(join_of(1.0, 0.1), LAB_DISAGREES);
    CHECK_EQ(join_of(1.6, 0.1), LAB_DISAGREES);
}

TEST(without_an_interval_a_tenth_is_allowed_for) {
    CHECK_EQ(join_of(1.25, NAN), LAB_AGREES);
    CHECK_EQ(join_of(2.0, NAN), LAB_DISAGREES);
}

TEST(what_was_not_measured_is_said) {
    struct lab_run run = {0};
    struct lab_check *checks;
    measure(&run, "python3.13", "join_ms", 1, 1, 1);
    size_t count = lab_references_check(&run, &checks);
    CHECK(count > 0);
    const struct lab_check *c = find(checks, count, "join_ms", "python3.13");
    CHECK(c && c->result && !c->than);
    CHECK_EQ(c->agreement, LAB_UNMEASURED);
    c = find(checks, count, "join_ms", "python3.13t");
    CHECK(c && !c->result);
    CHECK_EQ(c->agreement, LAB_UNMEASURED);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(strcmp(checks[i].reference->experiment, "lifecycle"), 0);
    free(checks);
    lab_run_free(&run);
}

/* An echo beside a busy thread takes `times` as long as one without; the source says at least 2. */
static enum lab_agreement echo_of(double low, double times, double high) {
    struct lab_run run = {0};
    struct lab_check *checks;
    measure(&run, "python3.12", "echo_1_us", low, times, high);
    measure(&run, "python3.12", "echo_0_us", 1, 1, 1);
    for (size_t i = 0; i < 2; i++) {
        free(run.results[i].experiment);
        run.results[i].experiment = lab_copy("gil");
    }
    CHECK_EQ(lab_references_check(&run, &checks), (size_t)1);
    enum lab_agreement agreement = checks[0].agreement;
    free(checks);
    lab_run_free(&run);
    return agreement;
}

TEST(bounds_are_met_by_the_whole_interval) {
    CHECK_EQ(echo_of(3, 4, 5), LAB_AGREES);
    CHECK_EQ(echo_of(2, 2, 2), LAB_AGREES);
    CHECK_EQ(echo_of(1.5, 4, 5), LAB_UNDECIDED);
    CHECK_EQ(echo_of(0.5, 1, 2.5), LAB_UNDECIDED);
    CHECK_EQ(echo_of(0.5, 1, 1.9), LAB_DISAGREES);
}

TEST(variants_are_kept_apart) {
    struct lab_run run = {0};
    struct lab_check *checks;
    static const struct {
        const char *metric, *variant;
        double value;
    } rows[] = {{"object_ns", "serial owner=90", 10},
                {"object_ns", "serial owner=10", 20},
                {"object_ns", "concurrent owner=10", 50}};
    for (size_t i = 0; i < 3; i++) {
        measure(&run, "python3.12", rows[i].metric, rows[i].value, rows[i].value, rows[i].value);
        struct lab_result *r = &run.results[i];
        free(r->experiment);
        free(r->variant);
        r->experiment = lab_copy(affinity);
        r->variant = lab_copy(rows[i].variant);
    }
    size_t count = lab_references_check(&run, &checks);
    CHECK_EQ(count, (size_t)1);
    CHECK(fabs(checks[0].measured - 2) < 1e-9);
    CHECK_EQ(checks[0].agreement, LAB_AGREES);
    free(checks);
    lab_run_free(&run);
}

TEST(a_run_of_nothing_is_checked_against_nothing) {
    struct lab_run run = {0};
    struct lab_check *checks;
    CHECK_EQ(lab_references_check(&run, &checks), (size_t)0);
    CHECK(checks == NULL);
}

/* Whether the subject fits what an interpreter can be called, so that a typing error is found. */
TEST(the_table_of_references_is_sound) {
    for (size_t i = 0; i < lab_reference_count; i++) {
        const struct lab_reference *r = &lab_references[i];
        const struct lab_experiment *e = lab_experiment_find(r->experiment);
        CHECK_MSG(e != NULL, "%s", r->experiment);
        CHECK(r->what && r->says && r->source && r->subject);
        CHECK_MSG(lab_metric_find(e, r->metric) != NULL, "%s %s", r->experiment, r->metric);
        if (r->than_metric)
            CHECK_MSG(lab_metric_find(e, r->than_metric) != NULL, "%s", r->than_metric);
        CHECK(!r->than_variant || r->than_metric);
        CHECK(r->low <= r->high && r->low >= 0);
    }
}
