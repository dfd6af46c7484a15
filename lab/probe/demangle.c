/* SPDX-License-Identifier: MIT */
/* Names of C++ functions; demangle.h. */
#include "probe/demangle.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef char *demangler(const char *name, char *buffer, size_t *size, int *status);

static demangler *find(void) {
    static demangler *function;
    static bool tried;
    if (!tried) {
        void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        *(void **)(void *)&function = library ? dlsym(library, "__cxa_demangle") : NULL;
        tried = true;
    }
    return function;
}

/* "f(int)::{lambda()#1}::operator()() const" keeps all but its last list of arguments. */
static void drop_arguments(char *name) {
    char *end = strrchr(name, ')');
    int depth = 0;
    for (char *c = end; c && c > name; c--) {
        depth += *c == ')' ? 1 : *c == '(' ? -1 : 0;
        if (depth == 0) {
            *c = '\0';
            return;
        }
    }
}

char *probe_demangle(const char *name) {
    demangler *d = strncmp(name, "_Z", 2) == 0 ? find() : NULL;
    int status = -1;
    char *plain = d ? d(name, NULL, NULL, &status) : NULL;
    if (!plain || status != 0) {
        free(plain);
        return lab_copy(name);
    }
    drop_arguments(plain);
    return plain;
}
