/* SPDX-License-Identifier: MIT */
/* C++ exceptions that a thread handles while it waits.
 *
 * A C++ runtime keeps, for each kernel thread, the exceptions that are being handled and the number
 * of those in flight (Itanium C++ ABI, "Caught Exceptions"): two words. A thread that waits in a
 * handler, or in a destructor that runs during unwinding, takes them along; the next thread on the
 * carrier begins with none. The words are only looked at through a pointer that the carrier asked
 * for once, so a switch outside of handlers pays two loads.
 *
 * Programs without a C++ runtime have no such words: the reference is weak. */
#ifndef HD_SRC_CTX_CXX_H
#define HD_SRC_CTX_CXX_H

#include "base/base.h"

struct hd__cxx {
    void *caught;      /* the stack of exceptions that are being handled */
    unsigned uncaught; /* how many are thrown and not caught yet */
};

/* The calling kernel thread's words; of one that has none, words that stay zero. */
struct hd__cxx *hd__cxx_globals(void);

static inline bool hd__cxx_any(const struct hd__cxx *c) {
    return HD__UNLIKELY(c->caught != NULL || c->uncaught != 0);
}

#endif
