/* SPDX-License-Identifier: MIT */
/* What the rows of the table of experiments are written with. */
#ifndef HEDDLE_LAB_ROWS_H
#define HEDDLE_LAB_ROWS_H

#include "../experiment.h"

/* One row of a parameter: three modes of three paces. */
#define ROW(a, b, c) {a, b, c}
#define SAME(v) ROW(v, v, v)
#define REPEATED(name_, quick, normal, full) \
    {.name = name_, .repetition = true, .value = {quick, normal, full}}
#define FIXED(name_, v) {.name = name_, .value = {SAME(v), SAME(v), SAME(v)}}
#define BY_MODE(name_, quick, normal, full) \
    {.name = name_, .value = {SAME(quick), SAME(normal), SAME(full)}}
#define REPEATED_ALWAYS(name_, v) \
    {.name = name_, .repetition = true, .value = {SAME(v), SAME(v), SAME(v)}}
#define ALWAYS {true, true, true}
#define NOT_QUICK {false, true, true}
#define NEVER {false, false, false}
/* Of a variant: left out of the quick tour. */
#define BUT_QUICK {true, false, false}

#endif
