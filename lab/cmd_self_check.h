/* SPDX-License-Identifier: MIT */
/* A part of the command lab that has a file of its own. */
#ifndef HEDDLE_LAB_CMD_SELF_CHECK_H
#define HEDDLE_LAB_CMD_SELF_CHECK_H

#include <stdint.h>

#include "experiment.h"
#include "options.h"

/* `comparisons`: how many of equals are measured; 0: the mode's number. Of what the user gave there
 * count the name for JSON, the store, and whether to be quiet. The exit status. */
int cmd_lab_self_check(enum lab_mode mode, size_t comparisons, uint64_t seed,
                       const struct lab_options *given);

#endif
