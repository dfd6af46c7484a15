/* SPDX-License-Identifier: MIT */
/* See server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

int server_start(int argc, char **argv, unsigned *workers) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    struct rlimit files;
    const int yes = 1;
    for (int i = 1; i < argc; i += 2) {
        unsigned n = i + 1 < argc ? (unsigned)strtoul(argv[i + 1], NULL, 10) : 0;
        if (i + 1 < argc && strcmp(argv[i], "--port") == 0) {
            address.sin_port = htons((uint16_t)n);
        } else if (i + 1 < argc && strcmp(argv[i], "--workers") == 0 && n > 0) {
            *workers = n;
        } else {
            fprintf(stderr, "usage: %s [--port N] [--workers N]\n", argv[0]);
            exit(2);
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        fprintf(stderr, "%s: cannot listen: %s\n", argv[0], strerror(errno));
        exit(1);
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int server_accept(int listener) {
    const int yes = 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
            return fd;
        }
        if (errno != EINTR && errno != ECONNABORTED) {
            perror("accept");
            exit(1);
        }
    }
}
