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

/* The executable segment that the address lies in, or the program's own (not a library's): from
 * *low to below *end. False if there is none, or if the program is linked statically, with the C
 * library in it. As above: not from a signal handler. */
bool hd__os_code_segment(const void *address, uintptr_t *low, uintptr_t *end);
bool hd__os_program_code(uintptr_t *low, uintptr_t *end);

/* The C library's description of an error, never freed and not translated. */
const char *hd__os_error_text(int err);

#endif
