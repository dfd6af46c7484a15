/* SPDX-License-Identifier: MIT */
/* Settings from the environment. */
#ifndef HD_SRC_OS_ENV_H
#define HD_SRC_OS_ENV_H

#include "base/base.h"

/* Reads a whole number from the environment, decimal or 0x..., optionally with one of the suffixes
 * k, m, g (times 1024). 1: *out has it; 0: the variable is not set or is empty; -EINVAL: it is not
 * a number or not within min to max; a line on standard error says so, and *out stays as it was. */
int hd__os_env_u64(const char *name, uint64_t min, uint64_t max, uint64_t *out);

/* The variable's text, or NULL if it is not set or is empty. */
const char *hd__os_env_text(const char *name);

#endif
