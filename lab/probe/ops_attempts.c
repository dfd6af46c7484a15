/* SPDX-License-Identifier: MIT */
#include "probe/ops_attempts.h"

#include <stdlib.h>
#include <string.h>

#include "probe/traces.h"
#include "report/format.h"
#include "text.h"

/* Those of 3.11 to 3.14; a version has some of them. */
static const char *const functions[] = {
    "_Py_Specialize_LoadAttr",       "_Py_Specialize_StoreAttr",
    "_Py_Specialize_LoadGlobal",     "_Py_Specialize_LoadMethod",
    "_Py_Specialize_LoadSuperAttr",  "_Py_Specialize_Call",
    "_Py_Specialize_CallKw",         "_Py_Specialize_Precall",
    "_Py_Specialize_BinaryOp",       "_Py_Specialize_BinarySubscr",
    "_Py_Specialize_StoreSubscr",    "_Py_Specialize_CompareOp",
    "_Py_Specialize_UnpackSequence", "_Py_Specialize_ForIter",
    "_Py_Specialize_Send",           "_Py_Specialize_ToBool",
    "_Py_Specialize_ContainsOp",
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]), PREFIX = 15 };

struct probe_attempts {
    struct probe_traces *traces; /* NULL: `why` */
    char *why;
};

struct probe_attempts *probe_attempts_begin(pid_t pid, const struct probe_python_facts *facts) {
    struct probe_attempts *a = lab_alloc(1, sizeof(*a));
    if (facts->major < 3 || facts->minor < 11)
        a->why = lab_copy("before 3.11 nothing is specialized");
    else
        probe_traces_open(pid, facts->file, functions, FUNCTIONS, &a->traces, &a->why);
    return a;
}

void probe_attempts_end(struct probe_attempts *a) {
    if (!a)
        return;
    probe_traces_close(a->traces);
    free(a->why);
    free(a);
}

void probe_attempts_step(struct probe_attempts *a) {
    if (a && a->traces)
        probe_traces_step(a->traces, NULL, NULL);
}

void probe_attempts_text(FILE *f, struct probe_attempts *a) {
    if (!a)
        return;
    if (!a->traces) {
        char *line = lab_format("Attempts to specialize are not counted: %s.", a->why);
        lab_wrap(f, line, 0, 0);
        fputc('\n', f);
        free(line);
        return;
    }
    probe_attempts_step(a);
    fputs("Attempts to specialize, by uprobes\n\n", f);
    unsigned long long sum = 0;
    bool some = false;
    for (int i = 0; i < FUNCTIONS; i++) {
        enum probe_traced how;
        uint64_t count = probe_traces_count(a->traces, i, &how);
        sum += count;
        some = some || how == PROBE_TRACED_SOME;
        if (count)
            fprintf(f, "%9llu%s %s\n", (unsigned long long)count,
                    how == PROBE_TRACED_SOME ? "+" : " ", functions[i] + PREFIX);
    }
    fprintf(f, "%9llu%s in all\n\n", sum, some ? "+" : " ");
    if (some)
        fputs("+: there were too many, and the rest was not counted.\n\n", f);
}

void probe_attempts_json(struct lab_json *j, struct probe_attempts *a) {
    if (!a || !a->traces)
        return;
    probe_attempts_step(a);
    lab_json_array(j, "specialization_attempts", false);
    for (int i = 0; i < FUNCTIONS; i++) {
        enum probe_traced how;
        uint64_t count = probe_traces_count(a->traces, i, &how);
        if (how == PROBE_TRACED_NOT)
            continue;
        lab_json_object(j, NULL, true);
        lab_json_string(j, "kind", functions[i] + PREFIX);
        lab_json_integer(j, "count", (long long)count);
        lab_json_bool(j, "all", how == PROBE_TRACED);
        lab_json_end_object(j);
    }
    lab_json_end_array(j);
}
