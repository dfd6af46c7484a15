/* SPDX-License-Identifier: MIT */
#include "os/symbol.h"

#include <dlfcn.h>

bool hd__os_symbol_find(const void *address, struct hd__os_symbol *out) {
    Dl_info info;
    if (!dladdr(address, &info) || !info.dli_fname) return false;
    const char *at = address;
    out->file = info.dli_fname;
    out->file_offset = (size_t)(at - (const char *)info.dli_fbase);
    out->name = info.dli_sname;
    out->offset = info.dli_sname ? (size_t)(at - (const char *)info.dli_saddr) : 0;
    return true;
}
