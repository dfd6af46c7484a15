/* SPDX-License-Identifier: MIT */
/* Source lines by libdw; lines.h. The library is loaded when the first line is asked for: with it
 * come five others, and what the command has loaded counts as memory of the processes that
 * `heddle run` starts. */
#include "probe/lines.h"

#ifdef HEDDLE_HAVE_LIBDW
#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>

#include "text.h"

#define CALLS(x)                                                                                   \
    x(dwfl_begin) x(dwfl_end) x(dwfl_report_begin) x(dwfl_report_offline) x(dwfl_report_end)       \
    x(dwfl_module_getelf) x(dwfl_module_getsrc) x(dwfl_lineinfo) x(dwfl_build_id_find_elf)         \
    x(dwfl_build_id_find_debuginfo) x(dwfl_offline_section_address)

static struct {
    int state; /* 0: not tried, 1: loaded, -1: it is not there */
#define MEMBER(name) __typeof__(&name) name;
    CALLS(MEMBER)
#undef MEMBER
} dw;

static bool load(void) {
    if (dw.state)
        return dw.state > 0;
    void *library = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
    dw.state = library ? 1 : -1;
#define FIND(name)                                                                                 \
    *(void **)(void *)&dw.name = library ? dlsym(library, #name) : NULL;                           \
    if (!dw.name)                                                                                  \
        dw.state = -1;
    CALLS(FIND)
#undef FIND
    return dw.state > 0;
}

struct probe_lines {
    char *path;
    bool begun;
    Dwfl *dwfl;
    Dwfl_Module *module;
    Dwarf_Addr bias;
    Dwfl_Callbacks callbacks;
    char *places;
};

struct probe_lines *probe_lines_open(const char *path) {
    struct probe_lines *l = lab_alloc(1, sizeof *l);
    l->path = lab_copy(path);
    return l;
}

void probe_lines_close(struct probe_lines *l) {
    if (!l)
        return;
    if (l->dwfl)
        dw.dwfl_end(l->dwfl);
    free(l->path);
    free(l);
}

/* The file alone: the library's own search may ask servers. */
static void begin(struct probe_lines *l) {
    l->begun = true;
    if (!load())
        return;
    l->callbacks = (Dwfl_Callbacks){
        .find_elf = dw.dwfl_build_id_find_elf,
        .find_debuginfo = dw.dwfl_build_id_find_debuginfo, /* looks at local files only */
        .section_address = dw.dwfl_offline_section_address,
        .debuginfo_path = &l->places,
    };
    l->dwfl = dw.dwfl_begin(&l->callbacks);
    if (!l->dwfl)
        return;
    dw.dwfl_report_begin(l->dwfl);
    l->module = dw.dwfl_report_offline(l->dwfl, "", l->path, -1);
    dw.dwfl_report_end(l->dwfl, NULL, NULL);
    if (l->module && !dw.dwfl_module_getelf(l->module, &l->bias))
        l->module = NULL;
}

int probe_lines_find(struct probe_lines *l, uint64_t address, char **source) {
    int line = 0;
    *source = NULL;
    if (!l->begun)
        begin(l);
    Dwfl_Line *found = l->module ? dw.dwfl_module_getsrc(l->module, address + l->bias) : NULL;
    const char *name = found ? dw.dwfl_lineinfo(found, NULL, &line, NULL, NULL, NULL) : NULL;
    if (!name)
        return 0;
    *source = lab_copy(name);
    return line;
}
#else
#include <stddef.h>

struct probe_lines *probe_lines_open(const char *path) {
    (void)path;
    return NULL;
}

void probe_lines_close(struct probe_lines *l) {
    (void)l;
}

int probe_lines_find(struct probe_lines *l, uint64_t address, char **source) {
    (void)l, (void)address;
    *source = NULL;
    return 0;
}
#endif
