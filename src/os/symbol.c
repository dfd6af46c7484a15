/* SPDX-License-Identifier: MIT */
#include "os/symbol.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

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

struct segment {
    uintptr_t wanted; /* 0: the program's, which the dynamic linker names first */
    uintptr_t low, end;
};

/* A program without one is linked statically: the C library is part of its code. */
static bool has_interpreter(const struct dl_phdr_info *info) {
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP) return true;
    return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *arg) {
    struct segment *s = arg;
    (void)size;
    if (!s->wanted && !has_interpreter(info)) return 1;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + p->p_vaddr, end = low + p->p_memsz;
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        if (s->wanted && (s->wanted < low || s->wanted >= end)) continue;
        s->low = low;
        s->end = end;
        return 1;
    }
    return s->wanted == 0;
}

static bool find(struct segment *s, uintptr_t *low, uintptr_t *end) {
    dl_iterate_phdr(look, s);
    *low = s->low;
    *end = s->end;
    return s->end != 0;
}

bool hd__os_code_segment(const void *address, uintptr_t *low, uintptr_t *end) {
    struct segment s = {(uintptr_t)address, 0, 0};
    return s.wanted != 0 && find(&s, low, end);
}

bool hd__os_program_code(uintptr_t *low, uintptr_t *end) {
    struct segment s = {0, 0, 0};
    return find(&s, low, end);
}

const char *hd__os_error_text(int err) {
    const char *text = strerrordesc_np(err);
    return text ? text : "unknown error";
}
