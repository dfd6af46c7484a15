/* SPDX-License-Identifier: MIT */
/* What the writers of a probe's report share. */
#ifndef HEDDLE_LAB_PROBE_OUT_H
#define HEDDLE_LAB_PROBE_OUT_H

#include "probe/output.h"
#include "report/json.h"
#include "text.h"

/* A state's name where a program reads it: "holds_off_cpu". */
const char *out_state_id(enum probe_state s);

/* From its birth, or when we came, to its end, or when we left. */
uint64_t out_lifetime_ns(const struct probe_timeline *t, const struct probe_thread *x);

/* "3.11.2", "3.13, free-threaded". The caller frees. */
char *out_python_version(const struct probe_python_facts *p);

/* The command line, or what else the target is known by. The caller frees. */
char *out_target(const struct probe_report *r);

/* The moment at which the watching began, UTC, or "" if unknown. */
void out_begin(const struct probe_report *r, char text[32]);

/* Whether the threads of this report take turns with a lock. */
bool out_has_gil(const struct probe_report *r);

/* What all threads have been, and all locks. */
uint64_t out_total(const struct probe_timeline *t, enum probe_state s);
void out_total_lock(const struct probe_timeline *t, struct probe_lock *sum);
/* No more than the longest, where interpolation would say so. */
uint64_t out_quantile(const struct probe_histogram *h, double q);
void out_merge(struct probe_histogram *into, const struct probe_histogram *h);

/* ---- stacks ---- */

/* "function (file.py:12)": the file without its directories. */
void out_frame(struct lab_text *to, const struct probe_frame *f);

/* The nodes of a stack, outermost first. The count; the caller frees *out. */
size_t out_path(const struct probe_stacks *s, uint32_t node, uint32_t **out);

/* The name of a system call, or NULL. */
const char *out_call_name(const struct probe_report *r, long number);

/* What a tally is about besides its stack: "read", "futex 0x7f12"; "" if nothing. */
void out_tally_call(const struct probe_report *r, const struct probe_tally *y, char text[64]);

/* A set of nodes, with those outside them. All zero is empty. */
struct out_nodes {
    unsigned char *has;
    size_t room;
};
void out_nodes_add(struct out_nodes *n, const struct probe_stacks *s, uint32_t node);
/* Those of all tallies, and of all spans from one on. */
void out_nodes_add_all(struct out_nodes *n, const struct probe_report *r, size_t first_span);

#endif
