/* SPDX-License-Identifier: MIT */
/* heddle lab --self-check: how often verdicts are wrong where the truth is known. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_self_check.h"
#include "measure/machine.h"
#include "measure/selfcheck.h"
#include "message.h"
#include "record.h"
#include "report/json.h"
#include "report/output.h"
#include "stat/distribution.h"
#include "subject/interrupt.h"
#include "subject/subject.h"
#include "text.h"
#include "trust.h"

/* Measured comparisons of equals: a false alarm less or more in 20 tells nothing. */
static const size_t by_mode[LAB_MODES] = {40, 100, 400}, planted_max = 20;

/* Those whom nobody else's library could disturb. */
static char *find_program(const struct lab_places *places) {
    static const char *const names[] = {"pthread", "heddle"};
    struct lab_subjects found = {0};
    char *path = NULL;
    lab_native_find(&found, places);
    for (size_t k = 0; k < 2 && !path; k++) {
        for (size_t i = 0; i < found.count && !path; i++) {
            if (strcmp(found.items[i].name, names[k]) == 0)
                path = lab_copy(found.items[i].path);
        }
    }
    lab_subjects_free(&found);
    return path;
}

static void print_check(const struct lab_truth_check *c) {
    const struct lab_tally *t = &c->tally;
    printf("  %-46s", c->what);
    if (c->missing) {
        printf(" not measured:\n      ");
        lab_wrap(stdout, c->missing, 6, 6);
        return;
    }
    if (c->kind == LAB_CHECK_SLOWER) {
        printf("  slower: %zu of %zu", t->words[LAB_VERDICT_SLOWER], t->comparisons);
    } else {
        printf(" %3zu of %zu", t->alarms, t->comparisons);
        if (t->comparisons) {
            struct lab_interval i = lab_stat_proportion95(t->alarms, t->comparisons);
            printf(" = %.1f %% (%.1f to %.1f)", 100 * (double)t->alarms / (double)t->comparisons,
                   100 * i.low, 100 * i.high);
        }
    }
    printf("%s\n", c->shown || lab_check_passed(c) ? "" : "  WRONG");
    if (c->measured && c->kind == LAB_CHECK_SAME) {
        printf(
            "      verdicts: same %zu, undecided %zu, faster %zu, slower %zu; ranks alone: %zu\n",
            t->words[LAB_VERDICT_SAME], t->words[LAB_VERDICT_UNDECIDED],
            t->words[LAB_VERDICT_FASTER], t->words[LAB_VERDICT_SLOWER], t->rank_alarms);
    }
}

static void print_text(const struct lab_self_check *s) {
    puts("Self-check: how often is a comparison wrong where the truth is known?\n"
         "Of comparisons of equals 5 % may be called different by the test alone (in\n"
         "brackets: what the count leaves open); of 2 % slower ones, 95 % must be found.");
    for (int measured = 0; measured < 2; measured++) {
        printf("\n%s\n", measured ? "Measured here, with a small program:" : "Simulated:");
        for (size_t i = 0; i < s->count; i++) {
            if (s->checks[i].measured == (measured == 1))
                print_check(&s->checks[i]);
        }
    }
}

static void write_json(const struct lab_self_check *s, FILE *f) {
    struct lab_json j = {.f = f};
    lab_json_object(&j, NULL, false);
    lab_json_integer(&j, "schema", 1);
    lab_json_integer(&j, "seed", (long long)s->seed);
    lab_json_array(&j, "self_check", false);
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_truth_check *c = &s->checks[i];
        lab_json_object(&j, NULL, true);
        lab_json_string(&j, "what", c->what);
        lab_json_string(&j, "truth", c->kind == LAB_CHECK_SAME ? "same" : "slower");
        lab_json_bool(&j, "measured", c->measured);
        lab_json_bool(&j, "as_the_lab_does", !c->shown);
        lab_json_string(&j, "missing", c->missing);
        lab_json_integer(&j, "comparisons", (long long)c->tally.comparisons);
        lab_json_integer(&j, "alarms", (long long)c->tally.alarms);
        lab_json_integer(&j, "rank_alarms", (long long)c->tally.rank_alarms);
        lab_json_integer(&j, "both_alarms", (long long)c->tally.both_alarms);
        for (int v = 0; v <= LAB_VERDICT_UNDECIDED; v++) {
            lab_json_integer(&j, lab_verdict_word((enum lab_verdict)v),
                             (long long)c->tally.words[v]);
        }
        lab_json_bool(&j, "passed", !c->missing && lab_check_passed(c));
        lab_json_end_object(&j);
    }
    lab_json_end_array(&j);
    lab_json_end_object(&j);
    fputc('\n', f);
}

/* What the checks say: done, unmeasured if one of them could not be made, or failed. */
static int outcome(const struct lab_self_check *s) {
    int status = LAB_EXIT_DONE;
    for (size_t i = 0; i < s->count && !lab_interrupt_signal(); i++) {
        const struct lab_truth_check *c = &s->checks[i];
        if (c->missing) {
            status = status == LAB_EXIT_DONE ? LAB_EXIT_UNMEASURED : status;
        } else if (!c->shown && !lab_check_passed(c)) {
            status = LAB_EXIT_GATE;
        }
    }
    return status;
}

static int report(const struct lab_self_check *s, struct lab_output *json, const char *machine) {
    int status = LAB_EXIT_DONE;
    bool table = true;
    if (json->name) {
        table = json->file != stdout;
        write_json(s, json->file);
        if (lab_output_commit(json) != 0)
            status = LAB_EXIT_UNMEASURED;
    }
    if (table) {
        print_text(s);
        if (machine)
            printf("\nKept for %s: 'heddle gate' and 'heddle compare' know of it.\n", machine);
        status = cmd_finish(status);
    }
    int found = outcome(s);
    return found == LAB_EXIT_GATE || status == LAB_EXIT_DONE ? found : status;
}

/* ---- keeping it ---- */

static void count(struct lab_store_check *k, const struct lab_self_check *s) {
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_tally *t = &s->checks[i].tally;
        if (s->checks[i].measured && s->checks[i].kind == LAB_CHECK_SAME) {
            k->comparisons += t->comparisons;
            k->alarms += t->alarms;
        } else if (s->checks[i].measured) {
            k->planted += t->comparisons;
            k->found += t->words[LAB_VERDICT_SLOWER];
        }
    }
}

static char *as_text(const struct lab_self_check *s) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    write_json(s, f);
    fclose(f);
    return text;
}

static char *copy_fact(const struct lab_run *run, const char *key) {
    const char *value = lab_machine_fact(run, key);
    return value ? lab_copy(value) : NULL;
}

/* One that measured nothing says nothing of the machine, and is not kept. The exit status; *machine
 * becomes what it was kept for, and is the caller's to free. */
static int keep(const struct lab_self_check *s, const struct lab_keep *where, char **machine) {
    int found = outcome(s);
    if (where->off || lab_interrupt_signal() || found == LAB_EXIT_UNMEASURED)
        return 0;
    struct lab_run run = {0};
    struct lab_store *store;
    lab_machine_describe(&run);
    struct lab_store_check k = {.time = copy_fact(&run, "date"),
                                .machine = lab_trust_machine(&run),
                                .kernel = copy_fact(&run, "kernel"),
                                .heddle = copy_fact(&run, "heddle"),
                                .passed = found == LAB_EXIT_DONE,
                                .report = as_text(s)};
    count(&k, s);
    int error = k.machine ? lab_store_open(where->file, true, &store) : 0;
    if (!error && k.machine) {
        error = lab_store_check_save(store, &k);
        lab_store_close(store);
    }
    if (k.machine && !error)
        *machine = lab_copy(k.machine);
    lab_store_check_free(&k);
    lab_run_free(&run);
    return error ? LAB_EXIT_UNMEASURED : 0;
}

int cmd_lab_self_check(enum lab_mode mode, size_t comparisons, uint64_t seed,
                       const struct lab_options *given) {
    const char *json_name = given->files.names[LAB_REPORT_JSON];
    struct lab_keep where = given->keep;
    if (comparisons == 0)
        comparisons = by_mode[mode];
    struct lab_output json = {0};
    struct lab_places places;
    lab_interrupt_install();
    lab_progress_start(given->quiet);
    if (json_name && lab_output_open(&json, json_name) != 0)
        return LAB_EXIT_USAGE;
    int status = lab_keep_check(&where);
    if (status) {
        lab_output_abandon(&json);
        return status;
    }
    lab_places_find(&places);
    char *program[] = {find_program(&places), NULL};
    struct lab_self_check s = {.comparisons = comparisons,
                               .planted = comparisons < planted_max ? comparisons : planted_max,
                               .seed = seed,
                               .program = program[0] ? program : NULL};
    lab_self_check_run(&s);
    char *machine = NULL;
    int kept = keep(&s, &where, &machine);
    status = report(&s, &json, machine);
    free(machine);
    if (kept && status == LAB_EXIT_DONE)
        status = kept;
    if (lab_interrupt_signal())
        status = LAB_EXIT_SIGNAL + lab_interrupt_signal();
    lab_output_abandon(&json);
    lab_self_check_free(&s);
    free(program[0]);
    lab_places_free(&places);
    return status;
}
