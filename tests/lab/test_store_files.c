/* SPDX-License-Identifier: MIT */
/* Files of all formats that are not quite as they should be: they are refused or read, and what was
 * read can be written in every format. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "report/report.h"
#include "store/format.h"
#include "store/store.h"
#include "store_support.h"
#include "text.h"

static const char *const names[] = {"hyperfine.json", "hyperfine-parameters.json", "gbench.json",
                                    "pyperf.json"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static void write_to_nowhere(const struct lab_run *run) {
    FILE *f = fopen("/dev/null", "we");
    CHECK(f != NULL);
    for (size_t i = 0; i < lab_format_count; i++)
        lab_formats[i].write(run, f);
    fclose(f);
}

static char *text_of(const struct lab_run *run, const struct lab_format *format) {
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f != NULL);
    lab_format_write(format, run, f);
    fclose(f);
    return text;
}

static void put(const char *path, const char *text, size_t size) {
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(text, 1, size, f), size);
    CHECK_EQ(fclose(f), 0);
}

/* Something else in the place of a value or of any byte. */
static char *changed(const char *text, struct test_rng *rng) {
    static const char *const others[] = {"null", "-1",  "1e308", "\"x\"", "[]",   "{}",
                                         "0",    "[1]", "true",  "\"\"",  "[[]]", "1e-320"};
    size_t size = strlen(text), at = test_rng_below(rng, size);
    const char *colon = strpbrk(text + at, ":[");
    struct lab_text t = {0};
    if (colon && test_rng_below(rng, 4)) {
        const char *other = others[test_rng_below(rng, sizeof(others) / sizeof(others[0]))];
        const char *end = colon + 1 + strcspn(colon + 1, ",}]");
        lab_text_add(&t, text, (size_t)(colon + 1 - text));
        lab_text_printf(&t, "%s%s", other, end);
    } else {
        lab_text_add(&t, text, size);
        t.data[at] = (char)(test_rng_next(rng) % 255 + 1);
    }
    return t.data;
}

static void try_changes(const char *text, const char *path, struct test_rng *rng,
                        unsigned long tries, unsigned long *taken) {
    for (unsigned long i = 0; i < tries; i++) {
        char *other = changed(text, rng), *again = changed(other, rng);
        const char *used = i % 2 ? again : other;
        struct lab_run run;
        put(path, used, strlen(used));
        if (lab_load_file(path, &run) == 0) {
            (*taken)++;
            write_to_nowhere(&run);
            lab_run_free(&run);
        } else {
            CHECK_EQ(run.result_count, 0);
        }
        free(other);
        free(again);
    }
}

TEST_WITHIN(changed_files_do_no_harm, 60) {
    struct test_rng rng = test_rng(0);
    char *path = place_for("changed.json");
    unsigned long taken = 0, tries = test_iterations(40);
    for (size_t i = 0; i < NAMES; i++) {
        char *name = lab_format("%s/%s", STORE_DATA, names[i]);
        struct lab_run run;
        CHECK_OK(lab_load_file(name, &run));
        for (size_t k = 0; k < lab_format_count; k++) {
            char *text = text_of(&run, &lab_formats[k]);
            if (lab_formats[k].read)
                try_changes(text, path, &rng, tries, &taken);
            free(text);
        }
        lab_run_free(&run);
        free(name);
    }
    CHECK_GT(taken, tries); /* otherwise only the parser would be tried */
    free(path);
}

/* Runs of heddle's own with whatever may stand in one come back as they were. */
TEST(runs_come_back_from_every_format) {
    static const char *const formats[] = {"json", "gbench"};
    char *path = place_for("run.json");
    for (unsigned seed = 0; seed < 10; seed++) {
        struct lab_run run, back;
        make_run(&run, seed);
        run.uid = lab_store_uid();
        for (size_t i = 0; i < 2; i++) {
            struct lab_run own = run; /* not the file that it is said to come from */
            own.source = own.source_format = NULL;
            char *text = text_of(&own, lab_format_find(formats[i]));
            put(path, text, strlen(text));
            CHECK_OK(lab_load_file(path, &back));
            CHECK_STR_EQ(back.uid, run.uid);
            check_same_run(&own, &back);
            lab_run_free(&back);
            free(text);
        }
        char *text = text_of(&run, lab_format_find("json"));
        put(path, text, strlen(text));
        CHECK_OK(lab_load_file(path, &back));
        check_same_run(&run, &back);
        lab_run_free(&back);
        lab_run_free(&run);
        free(text);
    }
    free(path);
}
