/* SPDX-License-Identifier: MIT */
/* Statistics of many threads without a variable that all of them write: a counter adds in a cache
 * line of the kernel thread's own, and data for each worker holds what is more than a number. Here
 * threads draw random points and count those in a circle, and keep the one closest to its edge.
 *
 *     cc counters.c $(pkg-config --cflags --libs heddle) && ./a.out */
#include <heddle/heddle.h>

#include <stdio.h>

enum { THREADS = 64, POINTS = 20000 };

static hd_counter inside = HD_COUNTER_INIT, all = HD_COUNTER_INIT;

struct closest {
    double distance; /* from the circle's edge, squared */
    double x, y;
};
static hd_percpu *closest; /* a struct closest for each worker */

static void none_yet(void *instance, void *arg) {
    (void)arg;
    ((struct closest *)instance)->distance = 1;
}

static double next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void *draw(void *arg) {
    uint64_t state = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < POINTS; i++) {
        double x = next_random(&state), y = next_random(&state), r = x * x + y * y;
        double distance = (r - 1) * (r - 1);
        hd_counter_add(&all, 1);
        if (r <= 1)
            hd_counter_add(&inside, 1);
        struct closest *mine = hd_percpu_enter(closest); /* ours until hd_percpu_leave() */
        if (distance < mine->distance)
            *mine = (struct closest){distance, x, y};
        hd_percpu_leave(closest, mine);
    }
    return NULL;
}

static void take_closer(void *instance, void *arg) {
    struct closest *one = instance, *best = arg;
    if (one->distance < best->distance)
        *best = *one;
}

static int run(void *arg) {
    hd_thread *t[THREADS];
    int started = 0;
    (void)arg;
    while (started < THREADS &&
           hd_spawn(&t[started], NULL, draw, (void *)(uintptr_t)(started + 1)) == 0)
        started++;
    for (int i = 0; i < started; i++)
        hd_join(t[i], NULL);
    /* At rest: all that the joined threads have counted is there. */
    struct closest best = {1, 0, 0};
    hd_percpu_each(closest, take_closer, &best);
    printf("%lld points, pi is about %.3f, the closest to the circle is (%.6f, %.6f)\n",
           (long long)hd_counter_sum(&all),
           4.0 * (double)hd_counter_sum(&inside) / (double)hd_counter_sum(&all), best.x, best.y);
    return hd_counter_sum(&all) == THREADS * POINTS ? 0 : 1;
}

int main(void) {
    int err = hd_percpu_create(&closest, sizeof(struct closest), none_yet, NULL);
    if (err == 0)
        err = hd_run(NULL, run, NULL);
    hd_percpu_destroy(closest);
    hd_counter_finish(&all);
    hd_counter_finish(&inside);
    return err;
}
