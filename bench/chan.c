/* SPDX-License-Identifier: MIT */
/* chan: a message goes to another thread through a channel and comes back through a second one;
 * what is printed is the time of one way, a send and a receive by each side and a switch between
 * them.
 *
 *     chan_ns         channels with room for one element
 *     unbuffered_ns   without any
 *     select_ns       as chan_ns, each receive a choice between the channel and an event
 *     line_round_ns   two threads on two workers hand a cache line to each other: there and back
 *     many_ns         batches: the time of one element of those that one thread sends to another,
 *                     a hundred at a time
 *     one_ns          the same, one at a time
 *
 * With two workers (--workers 2) line_round_ns is measured, too; --apart 1 keeps each of the two on
 * a worker of its own, else they run where the runtime puts them. */
#include <heddle/heddle.h>

#include "workloads.h"

enum { BATCH = 100, ROOM = 1000 };

struct side {
    hd_chan *in, *out;
    uint64_t rounds;
    bool select;
} HD_CACHE_ALIGNED;

static hd_event never = HD_EVENT_INIT;

static void receive(const struct side *s, uint64_t *message) {
    if (s->select) {
        struct hd_select_case cases[] = {HD_CASE_RECV(s->in, message), HD_CASE_EVENT(&never)};
        hd_select(cases, 2, HD_FOREVER);
    } else {
        hd_chan_recv(s->in, message);
    }
}

static void *answer(void *arg) {
    const struct side *s = (const struct side *)arg;
    uint64_t message;
    for (uint64_t i = 0; i < s->rounds; i++) {
        receive(s, &message);
        hd_chan_send(s->out, &message);
    }
    return NULL;
}

/* Spawns a thread on the n-th worker, or anywhere. */
static hd_thread *start(hd_fn fn, void *arg, unsigned n) {
    hd_thread *t;
    hd_cpuset cpus = {{0}};
    hd_cpuset_add(&cpus, bench_cpu(n));
    int err = hd_spawn(&t, bench_value("apart") ? HD_ATTR(.cpus = &cpus) : NULL, fn, arg);
    if (err != 0) {
        bench_error("hd_spawn: %s", hd_strerror(err));
        exit(BENCH_CANNOT);
    }
    return t;
}

static void *ask(void *arg) {
    struct side *s = (struct side *)arg;
    uint64_t message;
    for (uint64_t i = 0; i < s->rounds; i++) {
        hd_chan_send(s->out, &i);
        receive(s, &message);
        if (message != i) {
            bench_error("%llu came back as %llu", (unsigned long long)i,
                        (unsigned long long)message);
            exit(BENCH_CANNOT);
        }
    }
    return NULL;
}

static double ping_pong(size_t capacity, bool select, uint64_t rounds) {
    hd_chan *there = hd_chan_create(sizeof(uint64_t), capacity);
    hd_chan *back = hd_chan_create(sizeof(uint64_t), capacity);
    struct side sides[2] = {{back, there, rounds, select}, {there, back, rounds, select}};
    uint64_t begin = bench_now_ns();
    hd_thread *one = start(ask, &sides[0], 0), *other = start(answer, &sides[1], 1);
    hd_join(one, NULL);
    hd_join(other, NULL);
    double ns = (double)(bench_now_ns() - begin) / (double)(2 * rounds);
    hd_chan_destroy(there);
    hd_chan_destroy(back);
    return ns;
}

/* ---- The floor for two workers ---- */

struct line {
    uint64_t turn HD_CACHE_ALIGNED;
    uint64_t rounds HD_CACHE_ALIGNED;
};

struct player {
    struct line *line;
    uint64_t parity, begin_ns, end_ns;
};

static void *play(void *arg) {
    struct player *p = (struct player *)arg;
    uint64_t *turn = &p->line->turn, n = p->line->rounds;
    p->begin_ns = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        if (i == 1) {
            p->begin_ns = bench_now_ns(); /* both are there */
        }
        while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) != 2 * i + p->parity) {
            continue;
        }
        __atomic_store_n(turn, 2 * i + p->parity + 1, __ATOMIC_RELEASE);
    }
    p->end_ns = bench_now_ns();
    return NULL;
}

static double hand_line(uint64_t rounds) {
    struct line *line = (struct line *)bench_array(1, sizeof(*line));
    line->rounds = rounds;
    struct player players[2] = {{line, 0, 0, 0}, {line, 1, 0, 0}};
    hd_thread *threads[2];
    for (unsigned i = 0; i < 2; i++) {
        hd_cpuset cpus = {{0}};
        hd_cpuset_add(&cpus, bench_cpu(i));
        int err = hd_spawn(&threads[i], HD_ATTR(.cpus = &cpus, .preempt = HD_PREEMPT_OFF), play,
                           &players[i]);
        if (err != 0) {
            bench_error("hd_spawn: %s", hd_strerror(err));
            exit(BENCH_CANNOT);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        hd_join(threads[i], NULL);
    }
    free(line);
    return (double)(players[0].end_ns - players[0].begin_ns) / (double)(rounds - 1);
}

/* ---- Batches ---- */

struct stream {
    hd_chan *chan;
    uint64_t batches;
    bool many;
};

static void *stream_in(void *arg) {
    const struct stream *s = (const struct stream *)arg;
    uint64_t elems[BATCH] = {0};
    for (uint64_t i = 0; i < s->batches; i++) {
        if (s->many) {
            hd_chan_send_many(s->chan, elems, BATCH);
        } else {
            for (int k = 0; k < BATCH; k++) {
                hd_chan_send(s->chan, &elems[k]);
            }
        }
    }
    hd_chan_close(s->chan);
    return NULL;
}

static double stream(bool many, uint64_t batches) {
    struct stream s = {hd_chan_create(sizeof(uint64_t), ROOM), batches, many};
    uint64_t elems[BATCH], got = 0;
    uint64_t begin = bench_now_ns();
    hd_thread *t = start(stream_in, &s, 1);
    if (many) {
        for (ssize_t n; (n = hd_chan_recv_many(s.chan, elems, BATCH)) > 0;) {
            got += (uint64_t)n;
        }
    } else {
        HD_CHAN_EACH(s.chan, elems) got++;
    }
    double ns = (double)(bench_now_ns() - begin) / (double)(batches * BATCH);
    hd_join(t, NULL);
    hd_chan_destroy(s.chan);
    if (got != batches * BATCH) {
        bench_error("%llu of %llu elements came", (unsigned long long)got,
                    (unsigned long long)(batches * BATCH));
        exit(BENCH_CANNOT);
    }
    return ns;
}

static int chan_body(void *arg) {
    uint64_t n = bench_value("iterations");
    (void)arg;
    ping_pong(1, false, n / 10 + 1); /* warms up */
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        bench_sample("chan_ns", "ns", ping_pong(1, false, n));
        if (bench_value("workers") > 1) {
            bench_sample("line_round_ns", "ns", hand_line(n + 1));
        }
        bench_sample("unbuffered_ns", "ns", ping_pong(0, false, n));
        bench_sample("select_ns", "ns", ping_pong(1, true, n));
        bench_sample("one_ns", "ns", stream(false, n / BATCH + 1));
        bench_sample("many_ns", "ns", stream(true, n / BATCH + 1));
    }
    return BENCH_OK;
}

static int chan_run(void) {
    unsigned workers = (unsigned)bench_value("workers");
    int result = hd_run(HD_CONFIG(.workers = workers, .bind_workers = true), chan_body, NULL);
    return result < 0 ? bench_error("hd_run: %s", hd_strerror(result)) : result;
}

const struct bench_experiment bench_chan = {
    "chan",
    true,
    chan_run,
    {{"workers", 1, 1, 64, NULL},
     {"apart", 0, 0, 1, NULL},
     {"iterations", 300000, 1, 10000000000u, NULL},
     {"samples", 5, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
