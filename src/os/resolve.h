/* SPDX-License-Identifier: MIT */
/* Names of hosts and services, through the C library, which may take long and cannot be told to
 * stop. */
#ifndef HD_SRC_OS_RESOLVE_H
#define HD_SRC_OS_RESOLVE_H

#include "base/base.h"

#include <netdb.h>

/* As getaddrinfo(); *err is -errno after EAI_SYSTEM, else 0. */
int hd__os_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list, int *err);
void hd__os_freeaddrinfo(struct addrinfo *list);

#endif
