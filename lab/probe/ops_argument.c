/* SPDX-License-Identifier: MIT */
/* The arguments of instructions in words: names of variables and attributes, operators. What a
 * number means, and in which of its bits, has changed from version to version. */
#include <stdlib.h>
#include <string.h>

#include "probe/ops_inside.h"
#include "text.h"

static char *copy_of(char **names, size_t count, size_t which) {
    return which < count && names[which] ? lab_copy(names[which]) : NULL;
}

static char *pair_of(const struct ops_code *c, uint32_t argument) {
    size_t a = argument >> 4, b = argument & 15;
    if (a >= c->local_count || b >= c->local_count || !c->locals[a] || !c->locals[b])
        return NULL;
    return lab_format("%s, %s", c->locals[a], c->locals[b]);
}

static char *local_name(const struct ops_code *c, const char *name, uint32_t argument) {
    const char *first = strstr(name, "_FAST");
    if (strstr(first + 1, "_FAST")) /* LOAD_FAST_LOAD_FAST */
        return strncmp(name, "LOAD_FAST__", 11) == 0 ? NULL : pair_of(c, argument);
    return copy_of(c->locals, c->local_count, argument);
}

static char *attribute(const struct ops_code *c, const struct probe_python_facts *f,
                       const char *name, uint32_t argument) {
    bool since_11 = f->major == 3 && f->minor >= 11, since_12 = f->major == 3 && f->minor >= 12;
    if (strcmp(name, "LOAD_GLOBAL") == 0 && since_11)
        argument >>= 1;
    else if (strcmp(name, "LOAD_ATTR") == 0 && since_12)
        argument >>= 1;
    else if (strcmp(name, "LOAD_SUPER_ATTR") == 0)
        argument >>= 2;
    else if (strcmp(name, "IMPORT_NAME") == 0 && f->major == 3 && f->minor >= 15)
        argument >>= 2;
    return copy_of(c->names, c->name_count, argument);
}

static char *comparison(const struct probe_python_facts *f, uint32_t argument) {
    static const char *const operators[] = {"<", "<=", "==", "!=", ">", ">="};
    if (f->major == 3 && f->minor >= 12)
        argument >>= f->minor >= 13 ? 5 : 4;
    return argument < 6 ? lab_copy(operators[argument]) : NULL;
}

static char *operation(uint32_t argument) {
    static const char *const operators[] = {
        "+",  "&",  "//",  "<<",  "@",  "*",  "%",  "|",  "**",  ">>",  "-",  "/",  "^",  "+=",
        "&=", "//=", "<<=", "@=", "*=", "%=", "|=", "**=", ">>=", "-=", "/=", "^=", "[]"};
    size_t count = sizeof(operators) / sizeof(operators[0]);
    return argument < count ? lab_copy(operators[argument]) : NULL;
}

char *ops_argument(const struct ops_code *c, const struct probe_python_facts *facts,
                   const char *name, uint32_t argument) {
    static const char *const named[] = {"LOAD_NAME", "STORE_NAME", "DELETE_NAME", "LOAD_GLOBAL",
                                        "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_ATTR", "STORE_ATTR",
                                        "DELETE_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR",
                                        "IMPORT_NAME", "IMPORT_FROM"};
    if (strcmp(name, "BINARY_OP") == 0)
        return operation(argument);
    if (strcmp(name, "COMPARE_OP") == 0)
        return comparison(facts, argument);
    if (strstr(name, "_FAST"))
        return local_name(c, name, argument);
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (strcmp(name, named[i]) == 0)
            return attribute(c, facts, name, argument);
    }
    return NULL;
}
