/* SPDX-License-Identifier: MIT */
/* A small HTTP/1.1 server with a thread for each connection. What a connection does is written
 * down in the order in which it happens (serve(), below): take a request, answer it, wait for the
 * next; with a deadline for the wait and none for the thinking. Pipelined requests are answered in
 * order, in as few packets as they fit in.
 *
 *     cc http.c $(pkg-config --cflags --libs heddle) -o http && ./http --port 8000
 *
 *     /        a line of text
 *     /slow    the same after a tenth of a second of sleep
 *     /burn    the same after a fifth of a second of hard work: a thread that computes is
 *              preempted, so the other connections do not notice, even with --workers 1
 *
 * SIGTERM and SIGINT stop it: connections that wait for a request are closed, requests that are
 * being answered get their answer first. See echo.c for how. */
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
#include <strings.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS = 10000, /* so many open files, and some more, are asked for */
    OTHER_FILES = 64,
    HEAD_MAX = 8192,    /* bytes of a request with its header */
    ANSWERS_MAX = 8192, /* bytes of answers that are sent together */
    ANSWER_MAX = 512,   /* bytes of one answer */
    SEND_S = 10,        /* a client must take its answers within this time */
    LINGER_S = 1,       /* and may go on sending for this long after a refusal */
    GRACE_S = 5,        /* at the end, for the answers under way */
};
static const uint64_t second_ns = 1000000000, millisecond_ns = 1000000;

struct connection {
    struct connection *next, **link; /* in `connections`, guarded by `lock` */
    hd_thread *thread;
    int fd;
    size_t in_begin, in_end, out_end; /* what of `in` is to be read, what of `out` to be sent */
    unsigned long long answers;
    time_t date_of; /* the second that `date` tells */
    char date[32];
    char in[HEAD_MAX];
    char out[ANSWERS_MAX];
};

static hd_mutex lock;
static struct connection *connections;
static hd_waitgroup open_connections;
static atomic_bool stopping; /* changes under `lock` */
static atomic_ullong served, answered;
static int listener, signals;
static uint64_t idle_ns;

/* ---- requests ---- */

struct request {
    bool head_only; /* HEAD */
    bool allowed;   /* the method is GET or HEAD */
    bool keep_alive;
    bool has_body;
    bool is_1_0;
    const char *path;
    size_t path_length;
};

static bool is_token(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] >= 127 || strchr("\"(),/:;<=>?@[\\]{}", p[i]))
            return false;
    return n > 0;
}

static bool is_exactly(const char *p, size_t n, const char *text) {
    return n == strlen(text) && memcmp(p, text, n) == 0;
}

/* The same, but capital letters or not are alike. */
static bool is_word(const char *p, size_t n, const char *word) {
    return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

/* Whether a list such as "close, te" has the word. */
static bool has_word(const char *p, size_t n, const char *word) {
    for (const char *end = p + n; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        const char *last = stop;
        while (p < last && (*p == ' ' || *p == '\t'))
            p++;
        while (p < last && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (is_word(p, (size_t)(last - p), word))
            return true;
        p = stop + 1;
    }
    return false;
}

/* METHOD SP TARGET SP VERSION. Returns a status: 200 if it is well-formed. */
static int parse_request_line(struct request *r, const char *p, size_t n) {
    const char *end = p + n;
    const char *target = memchr(p, ' ', n);
    if (!target || !is_token(p, (size_t)(target - p)))
        return 400;
    r->head_only = is_exactly(p, (size_t)(target - p), "HEAD");
    r->allowed = r->head_only || is_exactly(p, (size_t)(target - p), "GET");
    target++;
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (!version || end - version != 9 || memcmp(version, " HTTP/", 6) != 0 || version[7] != '.')
        return 400;
    if (version[6] != '1' || version[8] < '0' || version[8] > '9')
        return 505;
    r->is_1_0 = version[8] == '0';
    r->keep_alive = !r->is_1_0;
    if ((size_t)(version - target) > 7 && strncasecmp(target, "http://", 7) == 0) {
        target = memchr(target + 7, '/', (size_t)(version - target - 7)); /* as proxies are asked */
    }
    if (!target || *target != '/')
        return 400;
    const char *query = memchr(target, '?', (size_t)(version - target));
    r->path = target;
    r->path_length = (size_t)((query ? query : version) - target);
    return 200;
}

/* NAME: VALUE, without its line end. */
static int parse_field(struct request *r, const char *p, size_t n, unsigned *hosts) {
    const char *colon = memchr(p, ':', n);
    if (!colon || !is_token(p, (size_t)(colon - p)))
        return 400;
    size_t name = (size_t)(colon - p), length = n - name - 1;
    const char *value = colon + 1;
    if (is_word(p, name, "Host")) {
        ++*hosts;
    } else if (is_word(p, name, "Transfer-Encoding")) {
        r->has_body = true;
    } else if (is_word(p, name, "Content-Length")) {
        size_t blanks = strspn(value, " \t"), digits = strspn(value + blanks, "0123456789");
        if (digits == 0 || blanks + digits + strspn(value + blanks + digits, " \t") != length)
            return 400;
        r->has_body = r->has_body || strspn(value + blanks, "0") != digits;
    } else if (is_word(p, name, "Connection")) {
        if (has_word(value, length, "close"))
            r->keep_alive = false;
        else if (r->is_1_0 && has_word(value, length, "keep-alive"))
            r->keep_alive = true;
    }
    return 200;
}

/* Reads the head of a request, n bytes that end in an empty line. Returns a status: 200 if it is
 * well-formed. Strict, since who forgives what others refuse helps to smuggle requests. */
static int parse(struct request *r, const char *p, size_t n) {
    const char *end = p + n - 2; /* the empty line */
    unsigned hosts = 0;
    int status = 200;
    *r = (struct request){.keep_alive = false};
    if (memchr(p, '\0', n))
        return 400;
    for (bool first = true; p < end && status == 200; first = false) {
        const char *line_end = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t length = (size_t)(line_end - p);
        if (memchr(p, '\r', length) || memchr(p, '\n', length))
            return 400;
        status = first ? parse_request_line(r, p, length) : parse_field(r, p, length, &hosts);
        p = line_end + 2;
    }
    if (status == 200 && (hosts > 1 || (hosts == 0 && !r->is_1_0)))
        return 400;
    return status;
}

/* ---- answers ---- */

static const char *hello(void) {
    return "Hello from a thread of its own.\n";
}

static const char *slow(void) {
    uint64_t end = hd_now_ns() + 100 * millisecond_ns;
    while (hd_sleep_until(end) == -EINTR) /* the server stops: this one is answered yet */
        continue;
    return "That took a while.\n";
}

static const char *burn(void) {
    uint64_t end = hd_now_ns() + 200 * millisecond_ns;
    volatile double x = 1;
    while (hd_now_ns() < end)
        for (int i = 0; i < 100000; i++)
            x = x * 0.999 + 0.001;
    return "That was hard work.\n";
}

static const struct {
    const char *path;
    const char *(*text)(void);
    bool at_once;
} pages[] = {{"/", hello, true}, {"/slow", slow, false}, {"/burn", burn, false}};

static const struct {
    int status;
    const char *reason, *field;
} statuses[] = {{200, "OK", ""},
                {400, "Bad Request", ""},
                {404, "Not Found", ""},
                {405, "Method Not Allowed", "Allow: GET, HEAD\r\n"},
                {408, "Request Timeout", ""},
                {431, "Request Header Fields Too Large", ""},
                {505, "HTTP Version Not Supported", ""},
                {0, "", ""}};

/* Sends what is in `out`. A client that does not take it in time has lost the connection. */
static int flush_answers(struct connection *c) {
    uint64_t deadline = hd_now_ns() + SEND_S * second_ns;
    for (size_t at = 0; at < c->out_end;) {
        ssize_t sent =
            hd_send_until(c->fd, c->out + at, c->out_end - at, MSG_NOSIGNAL, deadline);
        if (sent == -EINTR)
            continue; /* the server stops; these answers still go out */
        if (sent < 0)
            return (int)sent;
        at += (size_t)sent;
    }
    c->out_end = 0;
    return 0;
}

static const char *date_now(struct connection *c) {
    time_t now = time(NULL);
    struct tm tm;
    if (now != c->date_of) {
        gmtime_r(&now, &tm);
        strftime(c->date, sizeof(c->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        c->date_of = now;
    }
    return c->date;
}

/* Adds an answer to those to be sent; text NULL stands for the reason. */
static int add_answer(struct connection *c, int status, const struct request *r, const char *text) {
    if (sizeof(c->out) - c->out_end < ANSWER_MAX) {
        int err = flush_answers(c);
        if (err != 0)
            return err;
    }
    unsigned i = 0;
    while (statuses[i].status != status && statuses[i].status != 0)
        i++;
    const char *body = text ? text : statuses[i].reason;
    const char *connection = !r->keep_alive ? "Connection: close\r\n"
                             : r->is_1_0    ? "Connection: keep-alive\r\n"
                                            : "";
    int length = snprintf(c->out + c->out_end, ANSWER_MAX,
                          "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                          "Content-Length: %zu\r\n%s%s\r\n%s",
                          status, statuses[i].reason, date_now(c), strlen(body),
                          statuses[i].field, connection, r->head_only ? "" : body);
    c->out_end += (size_t)length;
    c->answers++;
    return 0;
}

/* Answers the request whose head is n bytes long. Whether the connection goes on. */
static bool answer(struct connection *c, size_t n) {
    struct request r;
    int status = parse(&r, c->in + c->in_begin, n);
    const char *text = NULL;
    c->in_begin += n;
    if (status != 200 || r.has_body) /* where the next request would begin is unknown */
        r.keep_alive = false;
    if (status == 200) {
        size_t i = 0, count = sizeof(pages) / sizeof(pages[0]);
        while (i < count && !is_exactly(r.path, r.path_length, pages[i].path))
            i++;
        status = i == count ? 404 : r.allowed ? 200 : 405;
        if (status == 200) {
            if (!pages[i].at_once && flush_answers(c) != 0) /* earlier ones need not wait */
                return false;
            text = pages[i].text();
        }
    }
    if (atomic_load(&stopping))
        r.keep_alive = false;
    return add_answer(c, status, &r, text) == 0 && r.keep_alive;
}

/* ---- connections ---- */

/* The length of the complete head in `in`, 0 if there is none. Empty lines before it are skipped,
 * as some clients send one after a body. */
static size_t complete_head(struct connection *c) {
    while (c->in_end - c->in_begin >= 2 && memcmp(c->in + c->in_begin, "\r\n", 2) == 0)
        c->in_begin += 2;
    const char *begin = c->in + c->in_begin;
    const char *end = memmem(begin, c->in_end - c->in_begin, "\r\n\r\n", 4);
    return end ? (size_t)(end + 4 - begin) : 0;
}

/* Waits for input; once the server stops, takes only what is there. */
static ssize_t receive(struct connection *c, uint64_t deadline) {
    ssize_t got;
    memmove(c->in, c->in + c->in_begin, c->in_end - c->in_begin);
    c->in_end -= c->in_begin;
    c->in_begin = 0;
    do {
        got = hd_recv_until(c->fd, c->in + c->in_end, sizeof(c->in) - c->in_end, 0,
                            atomic_load(&stopping) ? 0 : deadline);
    } while (got == -EINTR);
    if (got > 0)
        c->in_end += (size_t)got;
    return got;
}

/* Tells the client what is wrong, and that the connection ends. */
static void refuse(struct connection *c, int status) {
    const struct request none = {.keep_alive = false};
    if (!atomic_load(&stopping))
        add_answer(c, status, &none, NULL);
}

/* Requests and answers, until one side ends it. */
static void serve(struct connection *c) {
    uint64_t deadline = hd_now_ns() + idle_ns; /* for the whole head, however slowly it comes */
    for (;;) {
        size_t n = complete_head(c);
        if (n > 0) {
            if (!answer(c, n))
                return;
            deadline = hd_now_ns() + idle_ns;
        } else if (c->in_end - c->in_begin == sizeof(c->in)) {
            refuse(c, 431);
            return;
        } else {
            /* All that came is answered. */
            if (c->out_end > 0 && flush_answers(c) != 0)
                return;
            ssize_t got = receive(c, deadline);
            if (got == -ETIMEDOUT && c->in_end > 0)
                refuse(c, 408);
            if (got <= 0)
                return;
        }
    }
}

/* Closing a socket with unread input makes the kernel reset the connection, and the client would
 * lose the last answer; so what it still sends is read, for a while. */
static void linger(struct connection *c) {
    uint64_t deadline = hd_now_ns() + LINGER_S * second_ns;
    shutdown(c->fd, SHUT_WR);
    while (hd_recv_until(c->fd, c->in, sizeof(c->in), 0, deadline) > 0)
        continue;
}

static void *run_connection(void *arg) {
    struct connection me; /* filled in by hand: the buffers are left as they are */
    me.fd = (int)(intptr_t)arg;
    me.in_begin = me.in_end = me.out_end = 0;
    me.answers = 0;
    me.date_of = 0;
    me.thread = hd_self();
    hd_mutex_lock(&lock); /* who comes too late to be interrupted sees `stopping` */
    me.next = connections;
    me.link = &connections;
    if (me.next)
        me.next->link = &me.next;
    connections = &me;
    hd_mutex_unlock(&lock);

    serve(&me);
    if (me.out_end > 0 && flush_answers(&me) == 0)
        linger(&me);

    hd_mutex_lock(&lock);
    *me.link = me.next;
    if (me.next)
        me.next->link = me.link;
    hd_mutex_unlock(&lock);
    hd_close(me.fd);
    atomic_fetch_add(&served, 1);
    atomic_fetch_add(&answered, me.answers);
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
                hd_sleep_for(10 * millisecond_ns);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        hd_waitgroup_add(&open_connections, 1);
        int err =
            hd_spawn(NULL, HD_ATTR(.name = "connection"), run_connection, (void *)(intptr_t)fd);
        if (err != 0) {
            fprintf(stderr, "http: a connection is refused: %s\n", hd_strerror(err));
            hd_waitgroup_done(&open_connections);
            hd_close(fd);
        }
    }
    return arg;
}

/* ---- the program ---- */

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
        fprintf(stderr, "http: signals: %s\n", hd_strerror((int)got));
    interrupt_connections();
    hd_interrupt(acceptor);
    hd_join(acceptor, NULL);
    close(listener); /* from here on the kernel refuses */
    if (hd_waitgroup_wait_until(&open_connections, hd_now_ns() + GRACE_S * second_ns) != 0) {
        cut_connections();
        hd_waitgroup_wait(&open_connections);
    }
    printf("served %llu connections, %llu requests\n", atomic_load(&served),
           atomic_load(&answered));
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
            fprintf(stderr, "http: %llu open files are allowed, too few for %d connections\n",
                    (unsigned long long)files.rlim_cur, CONNECTIONS);
    }
}

static unsigned number(const char *text, unsigned most) {
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > most) {
        fprintf(stderr, "http: %s is not a number from 0 to %u\n", text, most);
        exit(2);
    }
    return (unsigned)n;
}

int main(int argc, char **argv) {
    static const char usage[] =
        "usage: http [--port N] [--workers N] [--idle-ms N]\n"
        "  --port N      where to listen; 0, the default: any free port\n"
        "  --workers N   kernel threads that run threads; 0: one a CPU\n"
        "  --idle-ms N   how long a client may take for its next request; 10000\n";
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"workers", required_argument, NULL, 'w'},
                                            {"idle-ms", required_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    unsigned port = 0, workers = 0, idle_ms = 10000;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p') {
            port = number(optarg, 65535);
        } else if (option == 'w') {
            workers = number(optarg, 1024);
        } else if (option == 'i') {
            idle_ms = number(optarg, 86400000);
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    idle_ns = idle_ms * millisecond_ns;
    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL); /* in the workers too: they inherit it */
    signals = signalfd(-1, &stop_signals, SFD_CLOEXEC);
    int listening = start_listening(port);
    if (signals < 0 || listening < 0) {
        fprintf(stderr, "http: cannot listen on port %u: %s\n", port, strerror(errno));
        return 1;
    }
    raise_open_files();
    printf("listening on 127.0.0.1:%d\n", listening);
    fflush(stdout);
    int err = hd_run(HD_CONFIG(.workers = workers), run, NULL);
    if (err != 0)
        fprintf(stderr, "http: %s\n", hd_strerror(err));
    return err != 0;
}
