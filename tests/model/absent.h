/* SPDX-License-Identifier: MIT */
/* What sources of the library call that models do not have: to be linked, and never called. For one
 * source file of a program. */
#ifndef HEDDLE_MODEL_ABSENT_H
#define HEDDLE_MODEL_ABSENT_H

#include "source.h"

#include "base/check.h"
#include "os/mem.h"
#include "sched/ranked.h"

#include <stdarg.h>
#include <stdio.h>

#define MODEL_ABSENT(type, name, ...)                      \
    type name(__VA_ARGS__) {                               \
        model_fail("the model does not have " #name "()"); \
    }

MODEL_ABSENT(size_t, hd__os_page_size, void)
MODEL_ABSENT(void *, hd__os_map, size_t bytes HD__UNUSED)
MODEL_ABSENT(void, hd__os_unmap, void *addr HD__UNUSED, size_t bytes HD__UNUSED)
MODEL_ABSENT(int, hd__os_nohuge, void *addr HD__UNUSED, size_t bytes HD__UNUSED)
MODEL_ABSENT(hd_thread *, hd__ranked_take, struct hd__worker *w HD__UNUSED)
MODEL_ABSENT(bool, hd__ranked_any, const struct hd__worker *w HD__UNUSED)
MODEL_ABSENT(void, hd__ranked_ready, hd_thread *t HD__UNUSED, int why HD__UNUSED)
MODEL_ABSENT(void, hd__sched_place, hd_thread *t HD__UNUSED)

/* A bug of the caller's, which the sources have noticed. */
void hd__fatal(const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    model_fail("%s", text);
}

#endif
