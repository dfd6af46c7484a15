/* SPDX-License-Identifier: MIT */
/* What the parts of probe/ops.h share. */
#ifndef HEDDLE_LAB_PROBE_OPS_INSIDE_H
#define HEDDLE_LAB_PROBE_OPS_INSIDE_H

#include "probe/ops.h"
#include "probe/python_inside.h"

/* What was seen at one offset of a code object. */
struct ops_unit {
    uint32_t offset;
    uint64_t samples;
    struct probe_op_form form[PROBE_OP_FORMS]; /* in the order in which they came */
    int forms;
    uint16_t counter; /* the word after it, where an instruction with special forms counts */
    bool has_counter;
};

/* A code object, copied: the process may end before the report. */
struct ops_code {
    uint32_t number; /* of struct python_code */
    char *function, *file;
    int first_line;
    struct python_line *lines;
    size_t line_count;
    unsigned char *bytes; /* its code at the first sight of it */
    uint32_t size;
    uint64_t samples;
    struct ops_unit *units;
    size_t unit_count;
    uint32_t *unit_at; /* by offset: index + 1 */
    char **names, **locals;
    size_t name_count, local_count;
    bool named;
};

struct ops_source {
    char *file, *text; /* NULL text: it cannot be had */
    size_t size;
};

struct probe_ops {
    pid_t pid;
    int root, cwd; /* of the process, for its sources */
    struct ops_code **codes;
    size_t code_count;
    uint32_t *by_number; /* index + 1 */
    size_t numbers;
    uint64_t samples, torn, dropped;
    struct ops_source *sources;
    size_t source_count;
    struct probe_ops_result result;
};

/* The instructions of a code object with what was seen of each, into out. */
void ops_decode(const struct ops_code *c, const struct probe_python_facts *facts,
                const struct probe_op_names *names, struct probe_op_code *out);

/* An argument in words, to be freed; NULL: the number says it all. */
char *ops_argument(const struct ops_code *c, const struct probe_python_facts *facts,
                   const char *name, uint32_t argument);

#endif
