/* SPDX-License-Identifier: MIT */
/* The list of means. */
#include "probe/means.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *const names[PROBE_MEANS_COUNT] = {
    [PROBE_MEANS_WATCHPOINT] = "watchpoint", [PROBE_MEANS_SWITCHES] = "context switches",
    [PROBE_MEANS_TASKS] = "thread records",  [PROBE_MEANS_LOOKS] = "samples",
    [PROBE_MEANS_STACKS] = "Python stacks",  [PROBE_MEANS_NATIVE] = "native stacks",
    [PROBE_MEANS_PRELOAD] = "preload",       [PROBE_MEANS_TRACEFS] = "tracefs",
};

void probe_means_fill(struct probe_means *means) {
    for (int i = 0; i < PROBE_MEANS_COUNT; i++)
        means[i] = (struct probe_means){.name = names[i], .why = lab_copy("not asked for")};
}

void probe_means_say(struct probe_means *means, enum probe_means_id id, bool used, const char *fmt,
                     ...) {
    struct lab_text text = {0};
    char line[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    lab_text_printf(&text, "%s", line);
    free(means[id].why);
    means[id].used = used;
    means[id].why = text.data;
}

void probe_means_free(struct probe_means *means) {
    for (int i = 0; i < PROBE_MEANS_COUNT; i++)
        free(means[i].why);
}
