/* SPDX-License-Identifier: MIT */
/* Names of code addresses, for messages. */
#ifndef HD_SRC_OS_SYMBOL_H
#define HD_SRC_OS_SYMBOL_H

#include "base/base.h"

struct hd__os_symbol {
    const char *file;   /* the program or library that the address lies in */
    size_t file_offset; /* of the address from where the file is loaded: what addr2line takes */
    const char *name;   /* the function, if the file's dynamic symbols say; else NULL */
    size_t offset;      /* of the address in the function */
};

/* Whether the address lies in a file; fills *out if it does. Takes the dynamic linker's lock: not
 * from a signal handler. */
bool hd__os_symbol_find(const void *address, struct hd__os_symbol *out);

#endif
