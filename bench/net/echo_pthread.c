/* SPDX-License-Identifier: MIT */
/* echo-pthread: examples/echo with a kernel thread for each connection. --workers is accepted, and
 * means nothing: the kernel runs the threads on all CPUs that the process may use. */
#include "server.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16384, STACK = 65536 };

static void *serve(void *arg) {
    int fd = (int)(intptr_t)arg;
    char buffer[BUFFER];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        for (ssize_t at = 0, sent; at < got; at += sent) {
            sent = send(fd, buffer + at, (size_t)(got - at), MSG_NOSIGNAL);
            if (sent < 0) {
                close(fd);
                return NULL;
            }
        }
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    unsigned workers = 0;
    int listener = server_start(argc, argv, &workers);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK); /* as heddle's; the default of 8 MiB is no faster */
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = server_accept(listener);
        pthread_t thread;
        int error = pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd);
        if (error) {
            fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
            close(fd);
        }
    }
}
