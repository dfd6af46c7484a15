/* SPDX-License-Identifier: MIT */
/* Settings from the environment; see env.h. */
#include "os/env.h"

#include <errno.h>
#include <stdlib.h>

const char *hd__os_env_text(const char *name) {
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

int hd__os_parse_u64(const char *text, uint64_t *out) {
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return -EINVAL; /* strtoull() would take "-1" and " 7" */
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno != 0) {
        return -EINVAL;
    }
    unsigned shift = 0;
    switch (*end) {
    case 'k': case 'K': shift = 10; break;
    case 'm': case 'M': shift = 20; break;
    case 'g': case 'G': shift = 30; break;
    default: break;
    }
    if (end[shift != 0] != '\0' || value > UINT64_MAX >> shift) {
        return -EINVAL;
    }
    *out = (uint64_t)value << shift;
    return 0;
}
