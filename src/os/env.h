/* SPDX-License-Identifier: MIT */
/* Settings from the environment. */
#ifndef HD_SRC_OS_ENV_H
#define HD_SRC_OS_ENV_H

#include "base/base.h"

/* Reads a whole number, decimal or 0x..., optionally with one of the suffixes k, m, g (times 1024).
 * 0, or -EINVAL: the text is not one number that 64 bits hold. */
int hd__os_parse_u64(const char *text, uint64_t *out);

/* The variable's text, or NULL if it is not set or is empty. */
const char *hd__os_env_text(const char *name);

#endif
