/* SPDX-License-Identifier: MIT */
/* The list of means: which are used, and why. */
#ifndef HEDDLE_LAB_PROBE_MEANS_H
#define HEDDLE_LAB_PROBE_MEANS_H

#include "probe/watch.h"
#include "text.h"

/* All of them, not used, with "not asked for" for a reason. */
void probe_means_fill(struct probe_means *means);

/* Says anew whether one is used, and why. */
void probe_means_say(struct probe_means *means, enum probe_means_id id, bool used, const char *fmt,
                     ...) LAB_PRINTF(4, 5);

void probe_means_free(struct probe_means *means);

#endif
