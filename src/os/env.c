/* SPDX-License-Identifier: MIT */
/* Settings from the environment; see env.h. */
#include "os/env.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

const char *hd__os_env_text(const char *name) {
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* 0, or -EINVAL if the text is not one number that 64 bits hold. */
static int parse(const char *text, uint64_t *out) {
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

int hd__os_env_u64(const char *name, uint64_t min, uint64_t max, uint64_t *out) {
    const char *text = hd__os_env_text(name);
    uint64_t value;
    if (text == NULL) {
        return 0;
    }
    if (parse(text, &value) != 0 || value < min || value > max) {
        hd__print_fd2("heddle: %s=%s is not a number from %llu to %llu\n", name,
                      text, (unsigned long long)min, (unsigned long long)max);
        return -EINVAL;
    }
    *out = value;
    return 1;
}
