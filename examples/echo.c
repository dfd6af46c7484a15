/* SPDX-License-Identifier: MIT */
/* A TCP server that sends back what it receives, with a thread for each connection: the code of a
 * connection is a loop of receive and send, and ten thousand connections are ten thousand threads
 * that mostly wait, each in a page or two of memory.
 *
 *     cc echo.c $(pkg-config --cflags --libs heddle) -o echo && ./echo --port 7000
 *
 * SIGTERM and SIGINT stop it. They are blocked, and read from a descriptor by the first thread, so
 * that nothing runs in a signal handler. It stops the acceptor and interrupts every connection: one
 * that waits for input is told at once, one that sends goes on until all that has arrived is sent
 * back. What is not done after GRACE_S seconds is cut off. */
#include <heddle/heddle.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CONNECTIONS = 10000, OTHER_FILES = 64, GRACE_S = 5, BUFFER = 16384 };
static const uint64_t second_ns = 1000000000;

struct connection {
    struct connection *next, **link; /* in `connections`, guarded by `lock` */
    hd_thread *thread;
    int fd;
};

static hd_mutex lock;
static struct connection *connections;
static hd_waitgroup open_connections;
static atomic_bool stopping; /* changes under `lock` */
static atomic_ullong served, bytes;
static int listener, signals;

/* Enters the calling thread into the list of those to interrupt. A thread that comes too late to
 * be interrupted sees `stopping`, since both are done under the lock. */
static void enter(struct connection *c) {
    hd_mutex_lock(&lock);
    c->thread = hd_self();
    c->next = connections;
    c->link = &connections;
    if (c->next)
        c->next->link = &c->next;
    connections = c;
    hd_mutex_unlock(&lock);
}

static void leave(struct connection *c) {
    hd_mutex_lock(&lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    hd_mutex_unlock(&lock);
}

/* Waits for input; once the server stops, takes only what is there. As recv(), errors as -errno. */
static ssize_t receive(int fd, void *buffer, size_t size) {
    ssize_t got;
    do {
        got = hd_recv_until(fd, buffer, size, 0, atomic_load(&stopping) ? 0 : HD_FOREVER);
    } while (got == -EINTR);
    return got;
}

/* Sends everything. Being interrupted matters to receive() alone, which will see `stopping`. */
static int send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = hd_send(fd, data, size, MSG_NOSIGNAL);
        if (sent == -EINTR)
            continue;
        if (sent < 0)
            return (int)sent;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static void *serve(void *arg) {
    struct connection me = {.fd = (int)(intptr_t)arg};
    char buffer[BUFFER];
    unsigned long long mine = 0;
    ssize_t got;
    enter(&me);
    while ((got = receive(me.fd, buffer, sizeof(buffer))) > 0 &&
           send_all(me.fd, buffer, (size_t)got) == 0)
        mine += (size_t)got;
    leave(&me);
    hd_close(me.fd);
    atomic_fetch_add(&served, 1);
    atomic_fetch_add(&bytes, mine);
    hd_waitgroup_done(&open_connections);
    return NULL;
}

static void *accept_all(void *arg) {
    const int yes = 1;
    while (!atomic_load(&stopping)) {
        int fd = hd_accept(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            /* Out of descriptors or memory, mostly: some come back when connections end. */
            if (fd != -EINTR && fd != -ECONNABORTED)
                hd_sleep_for(second_ns / 100);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        hd_waitgroup_add(&open_connections, 1);
        int err = hd_spawn(NULL, HD_ATTR(.name = "connection"), serve, (void *)(intptr_t)fd);
        if (err != 0) {
            fprintf(stderr, "echo: a connection is refused: %s\n", hd_strerror(err));
            hd_waitgroup_done(&open_connections);
            hd_close(fd);
        }
    }
    return arg;
}

static void interrupt_connections(void) {
    hd_mutex_lock(&lock);
    atomic_store(&stopping, true);
    for (struct connection *c = connections; c; c = c->next)
        hd_interrupt(c->thread);
    hd_mutex_unlock(&lock);
}

static void cut_connections(void) {
    hd_mutex_lock(&lock);
    for (struct connection *c = connections; c; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    hd_mutex_unlock(&lock);
}

/* The first thread: waits for a signal, then for everybody else. */
static int run(void *arg) {
    struct signalfd_siginfo info;
    hd_thread *acceptor;
    (void)arg;
    int err = hd_spawn(&acceptor, HD_ATTR(.name = "acceptor"), accept_all, NULL);
    if (err != 0)
        return err;
    ssize_t got = hd_read(signals, &info, sizeof(info));
    if (got < 0)
        fprintf(stderr, "echo: signals: %s\n", hd_strerror((int)got));
    interrupt_connections();
    hd_interrupt(acceptor);
    hd_join(acceptor, NULL);
    close(listener); /* from here on the kernel refuses */
    if (hd_waitgroup_wait_until(&open_connections, hd_now_ns() + GRACE_S * second_ns) != 0) {
        cut_connections();
        hd_waitgroup_wait(&open_connections);
    }
    printf("served %llu connections, %llu bytes\n", atomic_load(&served), atomic_load(&bytes));
    return 0;
}

/* The port, or -1 with errno set. */
static int start_listening(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof(address);
    const int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return -1;
    return ntohs(address.sin_port);
}

/* A connection is a descriptor, and the usual soft limit is 1,024 of them. */
static void raise_open_files(void) {
    const rlim_t wanted = CONNECTIONS + OTHER_FILES;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < wanted) {
        files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < wanted)
            fprintf(stderr, "echo: %llu open files are allowed, too few for %d connections\n",
                    (unsigned long long)files.rlim_cur, CONNECTIONS);
    }
}

static unsigned number(const char *text, unsigned most) {
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > most) {
        fprintf(stderr, "echo: %s is not a number from 0 to %u\n", text, most);
        exit(2);
    }
    return (unsigned)n;
}

int main(int argc, char **argv) {
    static const char usage[] = "usage: echo [--port N] [--workers N]\n"
                                "  --port N      where to listen; 0, the default: any free port\n"
                                "  --workers N   kernel threads that run threads; 0: one a CPU\n";
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"workers", required_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    unsigned port = 0, workers = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p') {
            port = number(optarg, 65535);
        } else if (option == 'w') {
            workers = number(optarg, 1024);
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL); /* in the workers too: they inherit it */
    signals = signalfd(-1, &stop_signals, SFD_CLOEXEC);
    int listening = start_listening(port);
    if (signals < 0 || listening < 0) {
        fprintf(stderr, "echo: cannot listen on port %u: %s\n", port, strerror(errno));
        return 1;
    }
    raise_open_files();
    printf("listening on 127.0.0.1:%d\n", listening);
    fflush(stdout);
    int err = hd_run(HD_CONFIG(.workers = workers), run, NULL);
    if (err != 0)
        fprintf(stderr, "echo: %s\n", hd_strerror(err));
    return err != 0;
}
