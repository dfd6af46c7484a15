/* SPDX-License-Identifier: MIT */
/* The fields of CSV (RFC 4180). */
#ifndef HEDDLE_LAB_CSV_H
#define HEDDLE_LAB_CSV_H

#include <stdio.h>

#include "../result.h"

/* In quotes where that is needed. */
void lab_csv_field(FILE *f, const char *s);

/* As short as it can be without loss; nothing for what is not finite. */
void lab_csv_number(FILE *f, double value);

/* The parameters as one field: "threads=1000;sleep-us=1000". */
void lab_csv_params(FILE *f, const struct lab_result *r);

#endif
