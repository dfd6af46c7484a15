/* SPDX-License-Identifier: MIT */
/* The deque: the public functions. The algorithm and its argument: deque.h. */
#include "lockfree/deque.h"

#include <errno.h>

#include "base/check.h"

#ifdef HD_HOSTILE
enum { DEFAULT_PLACES = 2 };
#else
enum { DEFAULT_PLACES = 64 };
#endif
#define PLACES_MAX ((size_t)1 << 28)

int hd_deque_create(hd_deque **out, size_t capacity) {
    HD__CHECK(out != NULL, "hd_deque_create: out is NULL; pass the address of a pointer");
    if (capacity > PLACES_MAX) return -EINVAL;
    hd_deque *d = hd__lf_alloc(sizeof *d);
    if (d && hd__deque_init(d, INT64_C(1) << hd__log2_ceil(capacity ? capacity : DEFAULT_PLACES))) {
        *out = d;
        return 0;
    }
    if (d) hd__lf_free(d, sizeof *d);
    return -ENOMEM;
}

void hd_deque_destroy(hd_deque *d) {
    if (!d) return;
    hd__deque_finish(d);
    hd__lf_free(d, sizeof *d);
}

int hd_deque_push(hd_deque *d, void *item) {
    return hd__deque_push(d, item) ? 0 : -ENOMEM;
}

bool hd_deque_pop(hd_deque *d, void **item) {
    return hd__deque_pop(d, item);
}

bool hd_deque_steal(hd_deque *d, void **item) {
    return hd__deque_steal(d, item);
}

size_t hd_deque_count(const hd_deque *d) {
    return hd__deque_count(d);
}
