/* SPDX-License-Identifier: MIT */
/* What the sources of locks call besides, where none of them is watched: for one source file of a
 * program, behind party.h. */
#ifndef HEDDLE_MODEL_LOCKS_H
#define HEDDLE_MODEL_LOCKS_H

#include "absent.h"

#include "sync/watch.h"

MODEL_ABSENT(void, hd__watch_check, struct hd__watch *w HD__UNUSED, const char *call HD__UNUSED)
MODEL_ABSENT(void, hd__watch_check_again, struct hd__watch *w HD__UNUSED,
             const char *call HD__UNUSED)
MODEL_ABSENT(void, hd__watch_giving, struct hd__watch *w HD__UNUSED)
MODEL_ABSENT(void, hd__watch_retaken, struct hd__watch *w HD__UNUSED)
MODEL_ABSENT(void, hd__watch_taken, struct hd__watch *w HD__UNUSED,
             const struct hd__watch_wait *wait HD__UNUSED)
MODEL_ABSENT(void, hd__watch_failed, struct hd__watch *w HD__UNUSED,
             const struct hd__watch_wait *wait HD__UNUSED)

const char *hd__watch_text(char text[HD__WATCH_TEXT], const char *kind, const void *lock,
                           const struct hd__watch *watch) {
    (void)text, (void)lock, (void)watch;
    return kind;
}

const char *hd__look_text(char text[HD__LOOK_TEXT], uint64_t token) {
    (void)text, (void)token;
    return "somebody";
}

#endif
