/* SPDX-License-Identifier: MIT */
/* What a user of the installed library might write first. Compiled as C and as C++. */
#include <heddle/heddle.h>

#include <stdio.h>
#include <string.h>

static void *work(void *arg) {
    hd_yield();
    return arg;
}

static int program(void *arg) {
    hd_thread *threads[10];
    int *sum = (int *)arg;
    for (int i = 0; i < 10; i++)
        if (hd_spawn(&threads[i], NULL, work, &sum[i]) != 0)
            return 1;
    for (int i = 0; i < 10; i++) {
        void *result = NULL;
        if (hd_join(threads[i], &result) != 0 || result != &sum[i])
            return 2;
    }
    return 42;
}

int main(void) {
    char headers[32];
    int places[10];
    snprintf(headers, sizeof headers, "%d.%d.%d", HD_VERSION_MAJOR, HD_VERSION_MINOR,
             HD_VERSION_PATCH);
    if (strcmp(headers, hd_version()) != 0) {
        fprintf(stderr, "headers %s, library %s\n", headers, hd_version());
        return 1;
    }
    int result = hd_run(NULL, program, places);
    if (result != 42) {
        fprintf(stderr, "hd_run: %d (%s)\n", result, hd_strerror(result));
        return 1;
    }
    return 0;
}
