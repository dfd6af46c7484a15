/* SPDX-License-Identifier: MIT */
/* Comes before the sources of the library that a model program includes: a thread that spins tells
 * the checker so, and whoever switches contexts leaves it to the model (party.h). */
#ifndef HEDDLE_MODEL_SOURCE_H
#define HEDDLE_MODEL_SOURCE_H

#include "ctx/context.h"
#include "model.h"

#define hd__cpu_relax() model_spin()

void *model_ctx_switch(struct hd__context *from, struct hd__context *to, void *pass);
#define hd__ctx_switch(from, to, pass) model_ctx_switch(from, to, pass)

#endif
