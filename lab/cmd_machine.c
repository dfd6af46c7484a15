/* SPDX-License-Identifier: MIT */
/* heddle machine: what this machine is, and what would disturb a measurement here. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "disturb.h"
#include "measure/machine.h"
#include "message.h"
#include "opt.h"
#include "record.h"
#include "report/json.h"
#include "store/store.h"
#include "subject/interrupt.h"
#include "text.h"
#include "trust.h"

enum { OPT_JSON, OPT_SECONDS, OPT_STRICT, OPT_QUIET, OPT_HELP };

static const struct lab_option options[] = {
    {OPT_SECONDS, 's', "seconds", "S", "how long to listen on each CPU (default 0.2)"},
    {OPT_STRICT, 0, "strict", NULL, "end with status 1 if anything disturbs"},
    {OPT_JSON, 0, "json", NULL, "print JSON"},
    {OPT_QUIET, 0, "quiet", NULL, "no progress on standard error"},
    {OPT_HELP, 'h', "help", NULL, "print this and end"},
    {0},
};

enum { CPUS_MAX = 1024 };

void cmd_machine_help(FILE *f) {
    fputs("Usage: heddle machine [OPTION...]\n\n"
          "Says what would disturb a measurement on this machine, and what to do about\n"
          "it: the clock, shared cores, limits, and neighbours, for whom it listens.\n\n",
          f);
    lab_opt_print(options, f);
}

static bool is_noise(const char *key) {
    return lab_starts_with(key, "noise_");
}

static void print_facts(const struct lab_run *run) {
    for (size_t i = 0; i < run->machine_count; i++) {
        const struct lab_pair *p = &run->machine[i];
        if (is_noise(p->key))
            continue;
        printf("%-20s ", p->key);
        lab_wrap(stdout, p->value, 21, 21);
    }
}

static void print_disturbances(const struct lab_disturbance *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct lab_disturbance *d = &list[i];
        char *head = lab_format("%s: %s", d->fact, d->value);
        printf("%-9s ", lab_disturb_word(d->level));
        lab_wrap(stdout, head, 10, 10);
        printf("%10s", "");
        lab_wrap(stdout, d->effect, 10, 10);
        if (d->remedy) {
            printf("%10s-> ", "");
            lab_wrap(stdout, d->remedy, 13, 13);
        }
        free(head);
    }
}

static void print_json(const struct lab_run *run, const struct lab_disturbance *list,
                       size_t count) {
    struct lab_json j = {.f = stdout};
    lab_json_object(&j, NULL, false);
    lab_json_integer(&j, "schema", 1);
    lab_json_object(&j, "machine", false);
    for (size_t i = 0; i < run->machine_count; i++) {
        const struct lab_pair *p = &run->machine[i];
        if (p->number) {
            lab_json_literal(&j, p->key, p->value);
        } else {
            lab_json_string(&j, p->key, p->value);
        }
    }
    lab_json_end_object(&j);
    lab_json_array(&j, "disturbances", false);
    for (size_t i = 0; i < count; i++) {
        lab_json_object(&j, NULL, false);
        lab_json_string(&j, "level", lab_disturb_word(list[i].level));
        lab_json_string(&j, "fact", list[i].fact);
        lab_json_string(&j, "value", list[i].value);
        lab_json_string(&j, "effect", list[i].effect);
        lab_json_string(&j, "remedy", list[i].remedy);
        lab_json_end_object(&j);
    }
    lab_json_end_array(&j);
    lab_json_end_object(&j);
    putchar('\n');
}

/* What the usual store knows of verdicts here; nothing if there is none. */
static void find_trust(const struct lab_run *run, struct lab_trust *trust) {
    struct lab_store *store;
    char *path = lab_store_path(NULL);
    *trust = (struct lab_trust){0};
    if (path && access(path, F_OK) == 0 && lab_store_open(path, false, &store) == 0) {
        lab_trust_find(store, run, trust);
        lab_store_close(store);
    }
    free(path);
}

static int show(double seconds, bool json, bool strict, bool quiet) {
    struct lab_run run = {0};
    size_t count;
    int status = LAB_EXIT_DONE;
    lab_interrupt_install();
    lab_progress_start(quiet);
    lab_machine_describe_for(&run, seconds, CPUS_MAX);
    lab_progress_hide();
    struct lab_disturbance *list = lab_disturbances(&run, &count);
    if (lab_interrupt_signal()) {
        status = LAB_EXIT_SIGNAL + lab_interrupt_signal();
    } else if (json) {
        print_json(&run, list, count);
    } else {
        print_facts(&run);
        puts("\nWhat would disturb a measurement:\n");
        print_disturbances(list, count);
        struct lab_trust trust;
        find_trust(&run, &trust);
        if (trust.words) {
            lab_make_printable(trust.words);
            putchar('\n');
            lab_wrap(stdout, trust.words, 0, 0);
        }
        lab_trust_free(&trust);
    }
    if (status == LAB_EXIT_DONE) {
        status = cmd_finish(status);
        if (strict && status == LAB_EXIT_DONE && count && list[0].level == LAB_DISTURB_MUCH)
            status = LAB_EXIT_GATE;
    }
    lab_disturbances_free(list, count);
    lab_run_free(&run);
    return status;
}

int cmd_machine(char **argv) {
    struct lab_opt o = {.argv = argv, .table = options, .command = "heddle machine"};
    bool json = false, strict = false, quiet = false;
    double seconds = 0.2;
    char *end;
    for (int id; (id = lab_opt_next(&o)) != LAB_OPT_END;) {
        switch (id) {
        case OPT_JSON:
            json = true;
            break;
        case OPT_STRICT:
            strict = true;
            break;
        case OPT_QUIET:
            quiet = true;
            break;
        case OPT_SECONDS:
            seconds = strtod(o.value, &end);
            if (end == o.value || *end || !(seconds > 0) || seconds > 600) {
                lab_complain("--seconds: '%s' is not a number of seconds up to 600", o.value);
                return LAB_EXIT_USAGE;
            }
            break;
        case OPT_HELP:
            cmd_machine_help(stdout);
            return cmd_finish(LAB_EXIT_DONE);
        case LAB_OPT_WORD:
            lab_complain("heddle machine: unexpected '%s'", o.value);
            return LAB_EXIT_USAGE;
        default:
            return LAB_EXIT_USAGE;
        }
    }
    return show(seconds, json, strict, quiet);
}
