/* SPDX-License-Identifier: MIT */
/* echo-load: a client for echo servers, the same for all of them: many connections, each of which
 * sends a message, waits until all of it is back, checks it, and sends the next (a closed loop:
 * there are never more requests under way than connections). One thread with epoll.
 *
 * Where it shares CPUs with the server it takes its part of them, about as much a request as the
 * plainest server does. So the requests a second of two servers differ by less than the servers
 * do; server_cpu_us, the server's CPU time a request, is without the client's part. Latency is
 * what a client sees when the machine is saturated: by Little's law its mean is the number of
 * connections over the throughput, whatever the server. */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BYTES = 4096, EVENTS = 256, SUB_BITS = 6, BUCKETS = 64 << SUB_BITS };

struct connection {
    int fd;
    uint32_t number, got;
    uint64_t messages, sent_ns;
};

struct load {
    struct connection *connections;
    uint64_t count, bytes;
    int epoll;
    bool counting;
    uint64_t requests;
    uint64_t latencies[BUCKETS]; /* by the leading bits: each bucket is 1/64 of its value wide */
};

static unsigned bucket_of(uint64_t ns) {
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns | (1u << SUB_BITS)) - SUB_BITS;
    return (shift << SUB_BITS) + (unsigned)(ns >> shift);
}

static double value_of(unsigned bucket) {
    unsigned shift = bucket < (2u << SUB_BITS) ? 0 : (bucket >> SUB_BITS) - 1;
    return (double)((uint64_t)(bucket - (shift << SUB_BITS)) << shift);
}

static double quantile(const struct load *l, double part) {
    uint64_t before = 0, wanted = (uint64_t)(part * (double)l->requests);
    for (unsigned i = 0; i < BUCKETS; i++) {
        before += l->latencies[i];
        if (before > wanted) {
            return value_of(i);
        }
    }
    return 0;
}

static void fill(const struct load *l, const struct connection *c, uint64_t *message) {
    for (uint64_t i = 0; i < (l->bytes + 7) / 8; i++) {
        message[i] = ((uint64_t)c->number << 40) + c->messages * 1000 + i;
    }
}

static int send_next(const struct load *l, struct connection *c) {
    uint64_t message[MOST_BYTES / 8];
    c->messages++;
    c->got = 0;
    fill(l, c, message);
    c->sent_ns = bench_now_ns();
    ssize_t sent = send(c->fd, message, l->bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)l->bytes) { /* nothing else is under way, so it fits */
        return bench_error("send: %s", sent < 0 ? strerror(errno) : "too little room");
    }
    return BENCH_OK;
}

/* What has come on a connection: perhaps all of an answer. */
static int take(struct load *l, struct connection *c) {
    uint64_t message[MOST_BYTES / 8];
    char back[MOST_BYTES];
    ssize_t got = recv(c->fd, back, l->bytes - c->got, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return BENCH_OK;
        }
        return bench_error("recv: %s", got < 0 ? strerror(errno) : "the server closed");
    }
    fill(l, c, message);
    if (memcmp((const char *)message + c->got, back, (size_t)got) != 0) {
        return bench_error("other bytes came back than were sent");
    }
    c->got += (uint32_t)got;
    if (c->got < l->bytes) {
        return BENCH_OK;
    }
    if (l->counting) {
        l->latencies[bucket_of(bench_now_ns() - c->sent_ns)]++;
        l->requests++;
    }
    return send_next(l, c);
}

static int run_for(struct load *l, uint64_t ms) {
    struct epoll_event events[EVENTS];
    uint64_t end = bench_now_ns() + ms * 1000000;
    while (bench_now_ns() < end) {
        int count = epoll_wait(l->epoll, events, EVENTS, 1000);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return bench_error("no answer for a second");
        }
        for (int i = 0; i < count; i++) {
            if (take(l, (struct connection *)events[i].data.ptr) != BENCH_OK) {
                return BENCH_CANNOT;
            }
        }
    }
    return BENCH_OK;
}

static int connect_one(struct load *l, struct connection *c) {
    struct sockaddr_in to;
    struct epoll_event event;
    const int yes = 1;
    memset(&to, 0, sizeof(to));
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)bench_value("port"));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&event, 0, sizeof(event));
    event.events = EPOLLIN;
    event.data.ptr = c;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        return bench_error("connection %u: %s", c->number + 1, strerror(errno));
    }
    return BENCH_OK;
}

/* CPU time of a process, 0 for none. */
static double cpu_s_of(uint64_t pid) {
    clockid_t clock;
    struct timespec t;
    if (pid == 0 || clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int measure(struct load *l) {
    uint64_t pid = bench_value("server");
    for (uint64_t i = 0; i < l->count; i++) {
        l->connections[i].number = (uint32_t)i;
        if (connect_one(l, &l->connections[i]) != BENCH_OK ||
            send_next(l, &l->connections[i]) != BENCH_OK) {
            return BENCH_CANNOT;
        }
    }
    if (run_for(l, bench_value("warmup-ms")) != BENCH_OK) {
        return BENCH_CANNOT;
    }
    l->counting = true;
    uint64_t begin = bench_now_ns();
    double server_s = cpu_s_of(pid), own_s = bench_cpu_s();
    if (run_for(l, bench_value("ms")) != BENCH_OK) {
        return BENCH_CANNOT;
    }
    double requests = (double)l->requests, wall_s = (double)(bench_now_ns() - begin) / 1e9;
    if (l->requests == 0) {
        return bench_error("not one request was answered");
    }
    bench_sample("requests_per_s", "per_s", requests / wall_s);
    bench_sample("latency_p50_us", "us", quantile(l, 0.5) / 1e3);
    bench_sample("latency_p99_us", "us", quantile(l, 0.99) / 1e3);
    bench_sample("load_cpu_us", "us", (bench_cpu_s() - own_s) * 1e6 / requests);
    if (pid) {
        bench_sample("server_cpu_us", "us", (cpu_s_of(pid) - server_s) * 1e6 / requests);
    }
    return BENCH_OK;
}

static int load_run(void) {
    static struct load l;
    struct rlimit files;
    l.count = bench_value("connections");
    l.bytes = bench_value("bytes");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < l.count + 16) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    l.connections = (struct connection *)bench_array(l.count, sizeof(*l.connections));
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.epoll < 0) {
        return bench_error("epoll_create1: %s", strerror(errno));
    }
    int status = measure(&l);
    free(l.connections);
    return status;
}

static const struct bench_experiment load = {
    "echo",
    true,
    load_run,
    {{"port", 7, 1, 65535, NULL},
     {"connections", 1000, 1, 1000000, NULL},
     {"bytes", 64, 1, MOST_BYTES, NULL},
     {"warmup-ms", 300, 0, 60000, NULL},
     {"ms", 1500, 1, 3600000, NULL},
     {"server", 0, 0, UINT32_MAX, NULL}, /* its process */
     {NULL, 0, 0, 0, NULL}},
};

int main(int argc, char **argv) {
    static const struct bench_experiment *const experiments[] = {&load, NULL};
    return bench_main(argc, argv, experiments);
}
