/* SPDX-License-Identifier: MIT */
/* The runtime inside a program that has threads of its own: two POSIX threads send requests through
 * a channel, a hundred heddle threads answer them, and main() adds the answers up. Channels, locks
 * and waits are the same from both sides; a POSIX thread that waits blocks in the kernel, a heddle
 * thread only gives its worker to another.
 *
 *     cc embed.c $(pkg-config --cflags --libs heddle) -pthread && ./a.out */
#include <heddle/heddle.h>

#include <pthread.h>
#include <stdio.h>

enum { CLIENTS = 2, SERVERS = 100, REQUESTS = 1000 };

static hd_chan *requests, *answers;
static hd_waitgroup clients;

static void *ask(void *arg) {
    for (long n = 1; n <= REQUESTS; n++)
        hd_chan_send(requests, &n);
    hd_waitgroup_done(&clients);
    return arg;
}

static void *serve(void *arg) {
    for (long n; hd_chan_recv(requests, &n) == 0;) {
        n *= 2;
        hd_chan_send(answers, &n);
    }
    return arg;
}

static void *close_after_last(void *arg) {
    hd_waitgroup_wait(&clients);
    hd_chan_close(requests);
    return arg;
}

int main(void) {
    hd_thread *servers[SERVERS];
    pthread_t threads[CLIENTS];
    int err = hd_start(NULL);
    if (err != 0) {
        fprintf(stderr, "hd_start: %s\n", hd_strerror(err));
        return 1;
    }
    requests = hd_chan_create(sizeof(long), 10);
    answers = hd_chan_create(sizeof(long), 10);
    hd_waitgroup_add(&clients, CLIENTS);
    for (int i = 0; i < SERVERS; i++)
        if (hd_spawn(&servers[i], NULL, serve, NULL) != 0)
            return 1;
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&threads[i], NULL, ask, NULL);
    hd_spawn(NULL, NULL, close_after_last, NULL);

    long sum = 0, answer;
    for (int i = 0; i < CLIENTS * REQUESTS; i++) {
        hd_chan_recv(answers, &answer);
        sum += answer;
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SERVERS; i++)
        hd_join(servers[i], NULL);
    err = hd_stop();
    hd_chan_destroy(requests);
    hd_chan_destroy(answers);
    printf("%d answers, sum %ld\n", CLIENTS * REQUESTS, sum);
    return err;
}
