/* SPDX-License-Identifier: MIT */
/* heddle-bench-mimalloc and heddle-bench-jemalloc: the workload pool with another malloc(). */
#include "workloads.h"

#include <string.h>

/* For pool.c; see ../subject_pool.h. */
int subject_pool_check(void);

#ifdef BENCH_MIMALLOC
#include <mimalloc.h>

int subject_pool_check(void) {
    void *p = malloc(64);
    bool its_own = mi_is_in_heap_region(p);
    free(p);
    if (!its_own) {
        return bench_error("malloc() is not mimalloc's");
    }
    bench_note("library", "mimalloc %d", mi_version());
    return BENCH_OK;
}
#else
#include <jemalloc/jemalloc.h>

int subject_pool_check(void) {
    uint64_t before = 0, after = 0;
    size_t size = sizeof(before);
    const char *version = "";
    size_t length = sizeof(version);
    /* Counts what this thread allocated: of its own malloc(), if that is who answers. */
    if (mallctl("thread.allocated", &before, &size, NULL, 0) != 0 ||
        mallctl("version", &version, &length, NULL, 0) != 0) {
        return bench_error("jemalloc does not answer");
    }
    void *volatile p = malloc(64);
    mallctl("thread.allocated", &after, &size, NULL, 0);
    free(p);
    if (after == before) {
        return bench_error("malloc() is not jemalloc's");
    }
    bench_note("library", "jemalloc %s", version);
    return BENCH_OK;
}
#endif

static const struct bench_experiment *const experiments[] = {&bench_pool, NULL};

int main(int argc, char **argv) {
    return bench_main(argc, argv, experiments);
}
