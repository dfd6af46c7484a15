/* SPDX-License-Identifier: MIT */
/* What verdicts are worth on a machine. */
#include "trust.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure/machine.h"
#include "text.h"

#define DO_ONE "'heddle lab --self-check' makes one"

char *lab_trust_machine(const struct lab_run *run) {
    const char *cpu = lab_machine_fact(run, "cpu"), *cpus = lab_machine_fact(run, "cpus");
    const char *arch = lab_machine_fact(run, "arch"), *vm = lab_machine_fact(run, "hypervisor");
    if (!cpus || (!cpu && !arch))
        return NULL;
    return lab_format("%s, %s CPU%s, %s%s", cpu ? cpu : "unknown CPU", cpus,
                      strcmp(cpus, "1") == 0 ? "" : "s", arch ? arch : "unknown architecture",
                      vm && strcmp(vm, "yes") == 0 ? ", virtual" : "");
}

/* Days between two times as the store has them; 0 if either is none. */
static double days_between(const char *a, const char *b) {
    struct tm x = {0}, y = {0};
    if (!a || !b || !strptime(a, "%Y-%m-%dT%H:%M:%S", &x) || !strptime(b, "%Y-%m-%dT%H:%M:%S", &y))
        return 0;
    double seconds = difftime(timegm(&x), timegm(&y));
    return (seconds < 0 ? -seconds : seconds) / 86400;
}

/* Why a self-check says little of a run; NULL if it says much. */
static char *why_old(const struct lab_store_check *c, const struct lab_run *run) {
    const char *kernel = lab_machine_fact(run, "kernel");
    const char *heddle = lab_machine_fact(run, "heddle");
    const char *time = run->time ? run->time : lab_machine_fact(run, "date");
    double days = days_between(c->time, time);
    if (days > LAB_TRUST_DAYS)
        return lab_format("%.0f days from this run", days);
    if (kernel && c->kernel && strcmp(kernel, c->kernel) != 0)
        return lab_format("under %s, this run under %s", c->kernel, kernel);
    if (heddle && c->heddle && strcmp(heddle, c->heddle) != 0)
        return lab_format("by heddle %s, this run by %s", c->heddle, heddle);
    return NULL;
}

static char *counts(const struct lab_store_check *c) {
    return lab_format("%zu of %zu comparisons of equals were false alarms, %zu of %zu planted "
                      "differences were found",
                      c->alarms, c->comparisons, c->found, c->planted);
}

int lab_trust_find(struct lab_store *store, const struct lab_run *run, struct lab_trust *out) {
    struct lab_store_check c;
    *out = (struct lab_trust){.state = LAB_TRUST_UNKNOWN};
    char *machine = lab_trust_machine(run);
    if (!machine) {
        out->words = lab_copy("The run does not say on which machine it was measured: no "
                              "self-check can be found for it.");
        return 0;
    }
    int error = lab_store_check_last(store, machine, &c);
    free(machine);
    if (error)
        return error;
    char *old = why_old(&c, run), *how = counts(&c);
    out->time = c.time ? lab_copy(c.time) : NULL;
    if (!c.time) {
        out->state = LAB_TRUST_MISSING;
        out->words = lab_copy("How often verdicts are wrong on this machine is not known: there is "
                              "no self-check (" DO_ONE ").");
    } else if (!c.passed) {
        out->state = LAB_TRUST_FAILED;
        out->words = lab_format("Verdicts on this machine are wrong more often than they may be: "
                                "its self-check of %.10s failed (%s).", c.time, how);
    } else if (c.comparisons < LAB_TRUST_LEAST) {
        out->state = LAB_TRUST_SMALL;
        out->words = lab_format("The self-check of this machine, of %.10s, had too few comparisons "
                                "to say anything (%zu; it takes %d: " DO_ONE ").",
                                c.time, c.comparisons, LAB_TRUST_LEAST);
    } else if (old) {
        out->state = LAB_TRUST_OLD;
        out->words = lab_format("The last self-check of this machine passed, but is of another "
                                "time (%.10s, %s; " DO_ONE ").", c.time, old);
    } else {
        out->state = LAB_TRUST_PASSED;
        out->words = lab_format("The self-check of this machine passed on %.10s (%s).", c.time,
                                how);
    }
    free(old);
    free(how);
    lab_store_check_free(&c);
    return 0;
}

void lab_trust_free(struct lab_trust *t) {
    free(t->time);
    free(t->words);
    *t = (struct lab_trust){0};
}

const char *lab_trust_word(enum lab_trust_state state) {
    static const char *const words[] = {"unknown", "passed", "failed", "small", "old", "missing"};
    return words[state];
}
