/* SPDX-License-Identifier: MIT */
#include <heddle/heddle.h>
#include <stdio.h>

static void *work(void *number) {
    hd_sleep_for(1000000); /* 1 ms; the core does other work */
    return number;
}

static int program(void *result) {
    hd_thread *threads[1000];
    intptr_t sum = 0;
    for (intptr_t i = 0; i < 1000; i++)
        if (hd_spawn(&threads[i], NULL, work, (void *)i) != 0) return 1;
    for (int i = 0; i < 1000; i++) {
        hd_join(threads[i], &result);
        sum += (intptr_t)result;
    }
    return printf("1000 threads returned %jd\n", (intmax_t)sum) < 0;
}

int main(void) {
    return hd_run(NULL, program, NULL);
}
