/* SPDX-License-Identifier: MIT */
/* Names of hosts and services; see resolve.h. */
#include "os/resolve.h"

#include "os/fault.h"

#include <errno.h>

int hd__os_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list, int *err) {
    int saved = errno;
    *err = 0;
    if (HD__FAULT("getaddrinfo")) {
        return EAI_MEMORY;
    }
    int code = getaddrinfo(node, service, hints, list);
    if (code == EAI_SYSTEM) {
        *err = -errno;
    }
    errno = saved;
    return code;
}

void hd__os_freeaddrinfo(struct addrinfo *list) {
    if (list != NULL) {
        freeaddrinfo(list);
    }
}
