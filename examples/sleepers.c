/* SPDX-License-Identifier: MIT */
/* A hundred thousand threads that sleep until the same moment.
 *
 * Each has a stack of its own, 64 KiB of address space with a guard below, but only the page that
 * it touches takes memory: some 420 MB for all. As kernel threads they would be beyond what most
 * systems allow a process. */
#include <stdatomic.h>
#include <stdio.h>

#include <heddle/heddle.h>

enum { THREADS = 100000 };

static hd_thread *threads[THREADS];
static uint64_t deadline_ns;
static atomic_int on_time;

static void *sleep_once(void *arg) {
    (void)arg;
    if (hd_sleep_until(deadline_ns) == 0 && hd_now_ns() >= deadline_ns) on_time++;
    return NULL;
}

static int program(void *arg) {
    (void)arg;
    deadline_ns = hd_now_ns() + 1000000000; /* in a second */
    for (int i = 0; i < THREADS; i++) {
        int err = hd_spawn(&threads[i], NULL, sleep_once, NULL);
        if (err) {
            fprintf(stderr, "sleepers: thread %d: %s\n", i + 1, hd_strerror(err));
            return 1; /* hd_run() waits for those that were started */
        }
    }
    for (int i = 0; i < THREADS; i++) hd_join(threads[i], NULL);
    printf("%d threads slept, none woke early: %s\n", THREADS, on_time == THREADS ? "yes" : "no");
    return on_time == THREADS ? 0 : 1;
}

int main(void) {
    int result = hd_run(NULL, program, NULL);
    if (result < 0) fprintf(stderr, "sleepers: %s\n", hd_strerror(result));
    return result == 0 ? 0 : 1;
}
