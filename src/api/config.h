/* SPDX-License-Identifier: MIT */
/* The configuration: defaults, the environment, what is in range. */
#ifndef HD__API_CONFIG_H
#define HD__API_CONFIG_H

#include <heddle/runtime.h>

/* Fills *c from what the program gave (NULL: nothing), the environment and the defaults. 0, or
 * -EINVAL, with one line in why[] that says what is wrong. */
int hd__config_complete(const struct hd_config *given, struct hd_config *c, char *why, size_t size);

#endif
