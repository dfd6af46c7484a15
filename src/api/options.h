/* SPDX-License-Identifier: MIT */
/* Option structs that grow: programs built against an older or a newer library keep working as
 * long as they do not use what the library does not know. */
#ifndef HD__API_OPTIONS_H
#define HD__API_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Copies what the caller gave into the library's own struct, which the caller of this zeroed. A
 * longer struct is accepted if what we do not know in it is zero. -EINVAL otherwise, and for a size
 * that cannot be one (0: HD_CONFIG() or HD_ATTR() was not used). given NULL: nothing to copy. */
static inline int hd__options_copy(void *own, size_t own_size, const void *given,
                                   size_t given_size) {
    if (!given) return 0;
    if (given_size < 2 * sizeof(size_t) || given_size > 4096) return -EINVAL;
    for (size_t i = own_size; i < given_size; i++)
        if (((const char *)given)[i]) return -EINVAL;
    memcpy(own, given, given_size < own_size ? given_size : own_size);
    memcpy(own, &own_size, sizeof own_size);
    return 0;
}

#endif
