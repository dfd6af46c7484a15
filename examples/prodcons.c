/* SPDX-License-Identifier: MIT */
/* Producers and consumers around a small buffer, with a mutex and two conditions. A condition is
 * always waited for in a loop that looks at the state again: between the signal and the return of
 * the wait another thread may have been faster.
 *
 *     cc prodcons.c $(pkg-config --cflags --libs heddle) && ./a.out */
#include <heddle/heddle.h>

#include <stdio.h>

enum { ROOM = 8, PRODUCERS = 3, CONSUMERS = 4, EACH = 2000 };

/* The mutex guards all members. */
static struct {
    hd_mutex mutex;
    hd_cond not_full, not_empty;
    int items[ROOM];
    unsigned first, count;
    int producers;
    long consumed, sum;
} box = {.producers = PRODUCERS};

static void *produce(void *arg) {
    (void)arg;
    for (int i = 1; i <= EACH; i++) {
        hd_mutex_lock(&box.mutex);
        while (box.count == ROOM)
            hd_cond_wait(&box.not_full, &box.mutex);
        box.items[(box.first + box.count++) % ROOM] = i;
        hd_cond_signal(&box.not_empty);
        hd_mutex_unlock(&box.mutex);
    }
    hd_mutex_lock(&box.mutex);
    if (--box.producers == 0)
        hd_cond_broadcast(&box.not_empty); /* every waiting consumer goes home */
    hd_mutex_unlock(&box.mutex);
    return NULL;
}

static void *consume(void *arg) {
    (void)arg;
    for (;;) {
        hd_mutex_lock(&box.mutex);
        while (box.count == 0 && box.producers > 0)
            hd_cond_wait(&box.not_empty, &box.mutex);
        if (box.count == 0)
            break;
        box.sum += box.items[box.first];
        box.first = (box.first + 1) % ROOM;
        box.count--;
        box.consumed++;
        hd_cond_signal(&box.not_full);
        hd_mutex_unlock(&box.mutex);
    }
    hd_mutex_unlock(&box.mutex);
    return NULL;
}

static int run(void *arg) {
    hd_thread *threads[PRODUCERS + CONSUMERS];
    (void)arg;
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        if (hd_spawn(&threads[i], NULL, i < PRODUCERS ? produce : consume, NULL) != 0)
            return 1;
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        hd_join(threads[i], NULL);
    printf("%ld items, sum %ld\n", box.consumed, box.sum);
    return 0;
}

int main(void) {
    return hd_run(NULL, run, NULL);
}
