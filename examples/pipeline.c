/* SPDX-License-Identifier: MIT */
/* A pipeline of three stages, each a thread, joined by channels:
 *
 *     numbers --> squares --> those divisible by 3 --> sum
 *
 * Closing a channel tells the next stage that nothing more comes; the closing travels down the
 * pipeline and ends every stage. The last channel is unbuffered: there a stage hands each number
 * over in person.
 *
 *     cc pipeline.c $(pkg-config --cflags --libs heddle) && ./a.out */
#include <heddle/heddle.h>

#include <stdio.h>

struct stage {
    hd_chan *in, *out;
};

static void *count(void *arg) {
    struct stage *s = arg;
    for (long n = 1; n <= 1000; n++)
        hd_chan_send(s->out, &n);
    hd_chan_close(s->out);
    return NULL;
}

static void *square(void *arg) {
    struct stage *s = arg;
    for (long n; hd_chan_recv(s->in, &n) == 0;) {
        n *= n;
        hd_chan_send(s->out, &n);
    }
    hd_chan_close(s->out);
    return NULL;
}

static void *pick(void *arg) {
    struct stage *s = arg;
    for (long n; hd_chan_recv(s->in, &n) == 0;)
        if (n % 3 == 0)
            hd_chan_send(s->out, &n);
    hd_chan_close(s->out);
    return NULL;
}

static int run(void *arg) {
    (void)arg;
    hd_chan *numbers = hd_chan_create(sizeof(long), 16);
    hd_chan *squares = hd_chan_create(sizeof(long), 16);
    hd_chan *picked = hd_chan_create(sizeof(long), 0);
    if (!numbers || !squares || !picked)
        return 1;
    struct stage first = {NULL, numbers}, second = {numbers, squares}, third = {squares, picked};
    hd_thread *threads[3];
    if (hd_spawn(&threads[0], HD_ATTR(.name = "count"), count, &first) != 0 ||
        hd_spawn(&threads[1], HD_ATTR(.name = "square"), square, &second) != 0 ||
        hd_spawn(&threads[2], HD_ATTR(.name = "pick"), pick, &third) != 0)
        return 1;
    long sum = 0, items = 0;
    for (long n; hd_chan_recv(picked, &n) == 0; items++)
        sum += n;
    for (int i = 0; i < 3; i++)
        hd_join(threads[i], NULL);
    hd_chan_destroy(numbers);
    hd_chan_destroy(squares);
    hd_chan_destroy(picked);
    printf("%ld squares divisible by 3, sum %ld\n", items, sum);
    return 0;
}

int main(void) {
    return hd_run(NULL, run, NULL);
}
