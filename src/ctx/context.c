/* SPDX-License-Identifier: MIT */
/* The part of contexts that exists for the tools only; see annotate.h. */
#include "ctx/context.h"

#ifdef HD__ANNOTATED

void hd__ctx_annotated_entry(void *pass, void *context) {
    struct hd__context *c = context;
    hd__annotate_arrive(&c->note);
    c->note.entry(pass, c->note.arg);
    __builtin_trap();
}

#else

/* A translation unit must not be empty. */
typedef int hd__ctx_is_inline;

#endif
