/* SPDX-License-Identifier: MIT */
/* A thread that merges what several others produce, until it is told to stop: hd_select() waits for
 * all their channels and for an event at once. Each producer closes its channel at its end; the
 * last one sends without end, and is stopped. */
#include <heddle/heddle.h>

#include <stdio.h>

enum { PRODUCERS = 4, NUMBERS = 1000 };

struct producer {
    hd_chan *out;
    hd_event *stop;
    int first, count;
};

static void *produce(void *arg) {
    struct producer *p = arg;
    for (int i = 0; p->count == 0 || i < p->count; i++) {
        int number = p->first + i;
        struct hd_select_case cases[] = {HD_CASE_SEND(p->out, &number), HD_CASE_EVENT(p->stop)};
        if (hd_select(cases, 2, HD_FOREVER) != 0) break;
    }
    hd_chan_close(p->out);
    return NULL;
}

/* Receives from all, until those that end have ended. How many numbers came. */
static long merge(struct producer *producers, hd_event *stop) {
    struct hd_select_case cases[PRODUCERS];
    int numbers[PRODUCERS], open = PRODUCERS;
    long count = 0;
    for (int i = 0; i < PRODUCERS; i++)
        cases[i] = (struct hd_select_case)HD_CASE_RECV(producers[i].out, &numbers[i]);
    while (open > 0) {
        int i = hd_select(cases, PRODUCERS, HD_FOREVER);
        if (i < 0) return i;
        if (cases[i].result == 0) {
            if (i < PRODUCERS - 1) count++;
            continue;
        }
        cases[i].op = HD_SELECT_NONE; /* closed: the others go on */
        if (--open == 1) hd_event_set(stop);
    }
    return count;
}

static int program(void *arg) {
    hd_thread *threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    hd_event stop = HD_EVENT_INIT;
    (void)arg;
    for (int i = 0; i < PRODUCERS; i++) {
        int count = i < PRODUCERS - 1 ? NUMBERS : 0;
        producers[i] = (struct producer){hd_chan_create(sizeof(int), (size_t)i), &stop,
                                         i * NUMBERS, count};
        if (!producers[i].out || hd_spawn(&threads[i], NULL, produce, &producers[i]) != 0) return 1;
    }
    long count = merge(producers, &stop);
    for (int i = 0; i < PRODUCERS; i++) {
        hd_join(threads[i], NULL);
        hd_chan_destroy(producers[i].out);
    }
    printf("%ld numbers of %d producers\n", count, PRODUCERS - 1);
    return count == (PRODUCERS - 1) * NUMBERS ? 0 : 1;
}

int main(void) {
    return hd_run(NULL, program, NULL);
}
