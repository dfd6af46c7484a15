/* SPDX-License-Identifier: MIT */
/* For the report of a deadlock: what a thread waits for, and who has it. Nothing moves then. */
#include "base/atomic.h"
#include "base/check.h"
#include "sched/look.h"
#include "sync/mutex.h"
#include "sync/watch.h"

#include <string.h>

void hd__sync_describe(char *text, size_t size, const char *what, const void *object) {
    const char *name = hd__watch_name_of(object);
    char owner[HD__LOOK_TEXT] = "";
    if (strcmp(what, "mutex") == 0) {
        uint64_t token = hd__load_relaxed(&((const struct hd__mutex *)object)->state) >> 8;
        if (token) hd__look_text(owner, token);
    }
    hd__format(text, size, "%s%s%s%s%s%s", *name ? " '" : "", name, *name ? "'" : "",
               *owner ? ", which " : "", owner, *owner ? " has" : "");
}
