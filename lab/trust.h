/* SPDX-License-Identifier: MIT */
/* What verdicts are worth on a machine: whether its last self-check, which the store keeps, found
 * as few wrong ones as there may be. */
#ifndef HEDDLE_LAB_TRUST_H
#define HEDDLE_LAB_TRUST_H

#include "result.h"
#include "store/store.h"

enum lab_trust_state {
    LAB_TRUST_UNKNOWN, /* the run does not say where it was measured */
    LAB_TRUST_PASSED,
    LAB_TRUST_FAILED,
    LAB_TRUST_SMALL, /* passed, with too few comparisons to say anything */
    LAB_TRUST_OLD,   /* passed, but long before or after the run, or by another heddle or kernel */
    LAB_TRUST_MISSING,
};

struct lab_trust {
    enum lab_trust_state state;
    char *time;  /* of the self-check; NULL: there is none */
    char *words; /* a sentence */
};

enum {
    LAB_TRUST_LEAST = 40, /* comparisons of equals, which is what --quick makes */
    LAB_TRUST_DAYS = 30,
};

/* The machine of a run in words, by which its self-checks are found: the same in every run there,
 * and for every machine of its kind. NULL if the run does not say. The caller frees it. */
char *lab_trust_machine(const struct lab_run *run);

/* What is to be thought of verdicts about the run. 0, or -errno after a complaint. */
int lab_trust_find(struct lab_store *store, const struct lab_run *run, struct lab_trust *out);
void lab_trust_free(struct lab_trust *t);

/* "passed", "failed", "small", "old", "missing", "unknown". */
const char *lab_trust_word(enum lab_trust_state state);

#endif
