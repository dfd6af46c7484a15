/* SPDX-License-Identifier: MIT */
/* Numbers for people: three digits that matter and a unit that fits. */
#ifndef HEDDLE_LAB_FORMAT_H
#define HEDDLE_LAB_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

enum { LAB_CELL = 24 }; /* enough for any formatted value */

/* 26.6 ns, 1.26 us, 4.40 kB, 0.41 %, 1.20 M/s. */
void lab_human(char cell[LAB_CELL], double value, const char *unit);

/* 26.1-27.0 ns, or 998 ns-1.02 us; "-" if there is no interval. */
void lab_human_range(char cell[LAB_CELL * 2], double low, double high, const char *unit);

/* 12.3x, 0.291x, and 1/34.4 for what is below a tenth; "" for NAN. */
void lab_human_ratio(char cell[LAB_CELL], double ratio);

#endif
