/* SPDX-License-Identifier: MIT */
/* The parts of a run as JSON, for the report and for files of other tools that carry them along. */
#ifndef HEDDLE_LAB_JSON_RUN_H
#define HEDDLE_LAB_JSON_RUN_H

#include "../result.h"
#include "json.h"

void lab_json_pairs(struct lab_json *j, const char *key, const struct lab_pair *pairs, size_t count,
                    bool flat);

/* The members of the open object, all but the results. */
void lab_json_head(struct lab_json *j, const struct lab_run *run);

/* An object. */
void lab_json_result(struct lab_json *j, const char *key, const struct lab_result *r);

#endif
