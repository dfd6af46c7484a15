/* SPDX-License-Identifier: MIT */
/* echo-epoll: examples/echo without threads for connections, as one writes it by hand: an epoll
 * instance in each of --workers kernel threads (default 1), level-triggered; the first thread also
 * accepts, and deals the connections out in turn. What a socket does not take at once waits in its
 * connection, which is not read from meanwhile. */
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16384, EVENTS = 256, MOST_WORKERS = 64 };

struct connection {
    int fd, epoll;
    size_t begin, end; /* of what waits in `left`, which is there only then */
    char *left;
};

static int epolls[MOST_WORKERS];
static unsigned workers = 1;

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(c->epoll, operation, c->fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void end(struct connection *c) {
    close(c->fd);
    free(c->left);
    free(c);
}

/* Sends what it can; how much that was, -1 after an error. */
static ssize_t send_some(int fd, const char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t sent = send(fd, data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EINTR) {
            return errno == EAGAIN ? (ssize_t)at : -1;
        }
        at += sent > 0 ? (size_t)sent : 0;
    }
    return (ssize_t)at;
}

static void can_read(struct connection *c) {
    char buffer[BUFFER];
    ssize_t got = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            end(c);
        }
        return;
    }
    ssize_t sent = send_some(c->fd, buffer, (size_t)got);
    if (sent < 0) {
        end(c);
    } else if (sent < got) {
        c->left = malloc((size_t)(got - sent));
        if (!c->left) {
            end(c);
            return;
        }
        c->begin = 0;
        c->end = (size_t)(got - sent);
        memcpy(c->left, buffer + sent, c->end);
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

static void can_write(struct connection *c) {
    ssize_t sent = send_some(c->fd, c->left + c->begin, c->end - c->begin);
    if (sent < 0) {
        end(c);
        return;
    }
    c->begin += (size_t)sent;
    if (c->begin == c->end) {
        free(c->left);
        c->left = NULL;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void accept_one(int listener) {
    static unsigned next;
    struct connection *c = calloc(1, sizeof(*c));
    int fd = server_accept(listener);
    if (!c) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->epoll = epolls[next++ % workers];
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

/* arg is the listening socket, in the first thread alone. */
static void *work(void *arg) {
    const int *listener = arg;
    int epoll = listener ? epolls[0] : -1;
    static unsigned worker; /* atomic */
    struct epoll_event events[EVENTS];
    if (!listener) {
        epoll = epolls[__atomic_add_fetch(&worker, 1, __ATOMIC_RELAXED)];
    }
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                accept_one(*listener);
            } else if (c->left) {
                can_write(c);
            } else {
                can_read(c);
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    int listener = server_start(argc, argv, &workers);
    workers = workers > MOST_WORKERS ? MOST_WORKERS : workers;
    for (unsigned i = 0; i < workers; i++) {
        epolls[i] = epoll_create1(EPOLL_CLOEXEC);
    }
    struct epoll_event event = {.events = EPOLLIN}; /* no connection: the listening socket */
    if (epoll_ctl(epolls[0], EPOLL_CTL_ADD, listener, &event) != 0) {
        perror("epoll_ctl");
        return 1;
    }
    for (unsigned i = 1; i < workers; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    work(&listener);
    return 0;
}
