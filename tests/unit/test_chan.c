/* SPDX-License-Identifier: MIT */
/* Channels: what each call promises, one thing a test. Races are stress_chan's part. */
#include "runtime_test.h"

static hd_chan *create(size_t elem_size, size_t capacity) {
    hd_chan *c = hd_chan_create(elem_size, capacity);
    CHECK(c != NULL);
    return c;
}

TEST(chan_keeps_order_and_bounds) {
    hd_chan *c = create(sizeof(int), 3);
    int value;
    CHECK_ERR(hd_chan_tryrecv(c, &value), -EAGAIN);
    for (int round = 0; round < 10; round++) { /* so that the ring turns over */
        for (int i = 0; i < 3; i++)
            CHECK_OK(hd_chan_trysend(c, &(int){10 * round + i}));
        CHECK_ERR(hd_chan_trysend(c, &(int){-1}), -EAGAIN);
        CHECK_ERR(hd_chan_send_until(c, &(int){-1}, 0), -ETIMEDOUT);
        for (int i = 0; i < 3; i++) {
            CHECK_OK(hd_chan_recv(c, &value));
            CHECK_EQ(value, 10 * round + i);
        }
        CHECK_OK(hd_chan_send(c, &(int){7}));
        CHECK_OK(hd_chan_tryrecv(c, &value));
        CHECK_EQ(value, 7);
        CHECK_ERR(hd_chan_recv_until(c, &value, 0), -ETIMEDOUT);
    }
    hd_chan_destroy(c);
}

TEST(chan_carries_elements_of_any_size) {
    static const size_t sizes[] = {0, 1, 3, 8, 16, 100, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t size = sizes[s];
        hd_chan *c = create(size, 5);
        unsigned char *in = malloc(size + 1), *out = malloc(size + 1);
        for (int round = 0; round < 12; round++) {
            memset(in, round + 1, size + 1);
            memset(out, 0, size + 1);
            CHECK_OK(hd_chan_send(c, size ? in : NULL));
            CHECK_OK(hd_chan_send(c, in));
            CHECK_OK(hd_chan_recv(c, size ? out : NULL));
            CHECK_MEM_EQ(in, out, size);
            CHECK_OK(hd_chan_recv(c, out));
            CHECK_EQ(out[size], 0); /* not a byte too many */
        }
        free(in);
        free(out);
        hd_chan_destroy(c);
    }
}

TEST(chan_create_refuses_what_overflows) {
    CHECK(hd_chan_create(SIZE_MAX, 2) == NULL);
    CHECK(hd_chan_create(2, SIZE_MAX - 1) == NULL);
    CHECK(hd_chan_create(SIZE_MAX / 2 + 1, 2) == NULL);
    CHECK(hd_chan_create(1, SIZE_MAX - 1) == NULL);
    CHECK(hd_chan_create(1, (size_t)PTRDIFF_MAX) == NULL);
    CHECK(hd_chan_create(0, SIZE_MAX - 1) == NULL);
    CHECK(hd_chan_create(SIZE_MAX / 2, HD_CHAN_UNBOUNDED) == NULL);
    hd_chan *c = create(0, PTRDIFF_MAX);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(hd_chan_trysend(c, NULL));
    for (int i = 0; i < 1000; i++)
        CHECK_OK(hd_chan_tryrecv(c, NULL));
    CHECK_ERR(hd_chan_tryrecv(c, NULL), -EAGAIN);
    hd_chan_destroy(c);
    hd_chan_destroy(NULL);
}

TEST(chan_close_leaves_what_was_sent) {
    hd_chan *c = create(sizeof(int), 4);
    int value;
    CHECK_OK(hd_chan_send(c, &(int){1}));
    CHECK_OK(hd_chan_send(c, &(int){2}));
    hd_chan_close(c);
    hd_chan_close(c);
    CHECK_ERR(hd_chan_send(c, &(int){3}), -EPIPE);
    CHECK_ERR(hd_chan_trysend(c, &(int){3}), -EPIPE);
    CHECK_ERR(hd_chan_send_until(c, &(int){3}, 0), -EPIPE);
    CHECK_OK(hd_chan_recv(c, &value));
    CHECK_EQ(value, 1);
    CHECK_OK(hd_chan_tryrecv(c, &value));
    CHECK_EQ(value, 2);
    CHECK_ERR(hd_chan_recv(c, &value), -EPIPE);
    CHECK_ERR(hd_chan_tryrecv(c, &value), -EPIPE);
    CHECK_ERR(hd_chan_recv_until(c, &value, 0), -EPIPE);
    CHECK_EQ(value, 2); /* a failed call leaves it alone */
    hd_chan_destroy(c);
}

struct end {
    hd_chan *chan;
    int value;
    uint64_t deadline_ns;
};

static void *send_value(void *arg) {
    struct end *e = arg;
    return (void *)(intptr_t)hd_chan_send_until(e->chan, &e->value, e->deadline_ns);
}

static void *recv_value(void *arg) {
    struct end *e = arg;
    return (void *)(intptr_t)hd_chan_recv_until(e->chan, &e->value, e->deadline_ns);
}

RUNTIME_TEST(chan_close_wakes_all_waiters, 1) {
    hd_chan *c = create(sizeof(int), 0);
    struct end ends[6];
    hd_thread *threads[6];
    for (int side = 0; side < 2; side++) {
        c = side ? create(sizeof(int), 0) : c;
        for (int i = 0; i < 6; i++) {
            ends[i] = (struct end){c, 5, HD_FOREVER};
            threads[i] = spawn(side ? send_value : recv_value, &ends[i]);
        }
        let_wait();
        hd_chan_close(c);
        for (int i = 0; i < 6; i++)
            CHECK_EQ((intptr_t)join(threads[i]), -EPIPE);
        hd_chan_destroy(c);
    }
    return 0;
}

RUNTIME_TEST(chan_unbuffered_send_waits_for_its_receiver, 1) {
    hd_chan *c = create(sizeof(int), 0);
    struct end sender = {c, 11, HD_FOREVER}, receiver = {c, 0, HD_FOREVER};
    int value = 0;
    CHECK_ERR(hd_chan_trysend(c, &value), -EAGAIN);
    CHECK_ERR(hd_chan_tryrecv(c, &value), -EAGAIN);
    CHECK_ERR(hd_chan_send_until(c, &value, hd_now_ns() + MS), -ETIMEDOUT);
    CHECK_ERR(hd_chan_recv_until(c, &value, hd_now_ns() + MS), -ETIMEDOUT);
    hd_thread *t = spawn(send_value, &sender);
    int err;
    while ((err = hd_chan_tryrecv(c, &value)) == -EAGAIN) /* until the sender is there */
        hd_yield();
    CHECK_OK(err);
    CHECK_EQ(value, 11);
    CHECK(join(t) == NULL);
    t = spawn(recv_value, &receiver);
    while ((err = hd_chan_trysend(c, &(int){12})) == -EAGAIN)
        hd_yield();
    CHECK_OK(err);
    CHECK(join(t) == NULL);
    CHECK_EQ(receiver.value, 12);
    hd_chan_destroy(c);
    return 0;
}

RUNTIME_TEST(chan_waiting_senders_come_after_the_ring, 1) {
    hd_chan *c = create(sizeof(int), 2);
    struct end senders[3];
    hd_thread *threads[3];
    int value;
    CHECK_OK(hd_chan_send(c, &(int){0}));
    CHECK_OK(hd_chan_send(c, &(int){1}));
    for (int i = 0; i < 3; i++) {
        senders[i] = (struct end){c, 2 + i, HD_FOREVER};
        threads[i] = spawn(send_value, &senders[i]);
        let_wait();
    }
    for (int i = 0; i < 5; i++) {
        CHECK_OK(hd_chan_recv(c, &value));
        CHECK_EQ(value, i);
    }
    for (int i = 0; i < 3; i++)
        CHECK(join(threads[i]) == NULL);
    hd_chan_destroy(c);
    return 0;
}

RUNTIME_TEST(chan_waits_end_early, 2) {
    hd_chan *c = create(sizeof(int), 1);
    struct end e = {c, 1, hd_now_ns() + 5 * MS};
    CHECK_EQ((intptr_t)recv_value(&e), -ETIMEDOUT);
    CHECK_GE(hd_now_ns(), e.deadline_ns);
    e.deadline_ns = HD_FOREVER;
    hd_thread *t = spawn(recv_value, &e);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    CHECK_OK(hd_chan_send(c, &e.value)); /* to the ring: nobody waits */
    t = spawn(send_value, &e);
    let_wait();
    hd_interrupt(t);
    CHECK_EQ((intptr_t)join(t), -EINTR);
    CHECK_OK(hd_chan_tryrecv(c, &e.value));
    CHECK_ERR(hd_chan_tryrecv(c, &e.value), -EAGAIN); /* the interrupted one sent nothing */
    hd_interrupt(hd_self());
    CHECK_OK(hd_chan_send(c, &e.value)); /* need not wait */
    CHECK_ERR(hd_chan_send(c, &e.value), -EINTR);
    hd_chan_destroy(c);
    return 0;
}

struct both {
    hd_chan *there, *back;
};

static void *echo(void *arg) {
    struct both *b = arg;
    int value;
    while (hd_chan_recv(b->there, &value) == 0)
        CHECK_OK(hd_chan_send(b->back, &value));
    hd_chan_close(b->back);
    return NULL;
}

static void talk(struct both *b) {
    int value;
    for (int i = 0; i < 500; i++) {
        CHECK_OK(hd_chan_send(b->there, &i));
        CHECK_OK(hd_chan_recv(b->back, &value));
        CHECK_EQ(value, i);
    }
    hd_chan_close(b->there);
    CHECK_ERR(hd_chan_recv(b->back, &value), -EPIPE);
    hd_chan_destroy(b->back);
}

RUNTIME_TEST(chan_between_threads_and_foreign_threads, 2) {
    for (size_t capacity = 0; capacity < 2; capacity++) {
        struct both b = {create(sizeof(int), capacity), create(sizeof(int), capacity)};
        pthread_t foreign;
        hd_thread *t = spawn(echo, &b);
        talk(&b);
        join(t);
        hd_chan_destroy(b.there);
        b = (struct both){create(sizeof(int), capacity), create(sizeof(int), capacity)};
        CHECK_EQ(pthread_create(&foreign, NULL, echo, &b), 0);
        talk(&b);
        CHECK_EQ(pthread_join(foreign, NULL), 0);
        hd_chan_destroy(b.there);
    }
    return 0;
}

TEST(chan_unbounded_keeps_order) {
    static const size_t sizes[] = {0, 1, 4, 8, 100, 600, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t size = sizes[s];
        hd_chan *c = create(size, HD_CHAN_UNBOUNDED);
        unsigned char *elem = calloc(1, size + 1);
        unsigned sent = 0, received = 0;
        struct test_rng rng = test_rng(s);
        CHECK_EQ(hd_chan_capacity(c), HD_CHAN_UNBOUNDED);
        for (int round = 0; round < 40; round++) {
            for (unsigned n = (unsigned)test_rng_below(&rng, 300); n > 0; n--) {
                memset(elem, (int)(sent++ % 251), size);
                CHECK_OK(n % 2 ? hd_chan_send(c, elem) : hd_chan_trysend(c, elem));
            }
            CHECK_EQ(hd_chan_count(c), sent - received);
            for (unsigned n = (unsigned)test_rng_below(&rng, 400); n > 0 && received < sent; n--) {
                CHECK_OK(hd_chan_recv(c, elem));
                for (size_t i = 0; i < size; i++) CHECK_EQ(elem[i], received % 251);
                received++;
            }
            CHECK_EQ(elem[size], 0);
            if (sent == received) CHECK_ERR(hd_chan_tryrecv(c, elem), -EAGAIN);
        }
        hd_chan_close(c);
        CHECK_ERR(hd_chan_send(c, elem), -EPIPE);
        free(elem);
        hd_chan_destroy(c); /* with what is left in it */
    }
}

RUNTIME_TEST(chan_unbounded_hands_to_waiters, 2) {
    hd_chan *c = create(sizeof(int), HD_CHAN_UNBOUNDED);
    struct end receiver = {c, 0, HD_FOREVER};
    hd_thread *t = spawn(recv_value, &receiver);
    let_wait();
    CHECK_OK(hd_chan_send(c, &(int){5}));
    CHECK(join(t) == NULL);
    CHECK_EQ(receiver.value, 5);
    t = spawn(recv_value, &receiver);
    let_wait();
    hd_chan_close(c);
    CHECK_EQ((intptr_t)join(t), -EPIPE);
    hd_chan_destroy(c);
    return 0;
}

TEST(chan_says_what_is_in_it) {
    hd_chan *c = create(1, 3);
    CHECK_EQ(hd_chan_capacity(c), 3);
    CHECK_EQ(hd_chan_count(c), 0);
    CHECK_OK(hd_chan_send(c, "a"));
    CHECK_OK(hd_chan_send(c, "b"));
    CHECK_EQ(hd_chan_count(c), 2);
    CHECK(!hd_chan_is_closed(c));
    hd_chan_close(c);
    CHECK(hd_chan_is_closed(c));
    CHECK_EQ(hd_chan_count(c), 2);
    char elem;
    int turns = 0;
    HD_CHAN_EACH(c, &elem) CHECK_EQ(elem, "ab"[turns++]);
    CHECK_EQ(turns, 2);
    hd_chan_destroy(c);
}

/* ---- Batches ---- */

struct batch {
    hd_chan *chan;
    int values[300];
    size_t n;
    uint64_t deadline_ns;
};

static void *send_batch(void *arg) {
    struct batch *b = arg;
    return (void *)(intptr_t)hd_chan_send_many_until(b->chan, b->values, b->n, b->deadline_ns);
}

static void check_batches(size_t capacity, unsigned most, bool from_outside) {
    struct batch b = {create(sizeof(int), capacity), {0}, 300, HD_FOREVER};
    pthread_t outside = 0;
    hd_thread *t = NULL;
    int got[300], next = 0;
    for (int i = 0; i < 300; i++) b.values[i] = i;
    if (from_outside)
        outside = foreign(send_batch, &b);
    else
        t = spawn(send_batch, &b);
    while (next < 300) {
        ssize_t n = hd_chan_recv_many(b.chan, got, most);
        CHECK_GT(n, 0);
        CHECK_LE(n, (ssize_t)most);
        for (ssize_t i = 0; i < n; i++) CHECK_EQ(got[i], next++);
    }
    CHECK_EQ((intptr_t)(from_outside ? foreign_join(outside) : join(t)), 300);
    CHECK_ERR(hd_chan_recv_many_until(b.chan, got, 1, 0), -ETIMEDOUT);
    hd_chan_destroy(b.chan);
}

RUNTIME_TEST(chan_batches_come_whole_and_in_order, 2) {
    static const size_t capacities[] = {0, 1, 7, 300, 1000, HD_CHAN_UNBOUNDED};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        for (int outside = 0; outside < 2; outside++) {
            check_batches(capacities[i], 1, outside);
            check_batches(capacities[i], 5, outside);
            check_batches(capacities[i], 300, outside);
        }
    }
    return 0;
}

RUNTIME_TEST(chan_batches_end_early, 1) {
    struct batch b = {create(sizeof(int), 10), {0}, 20, 0};
    int got[20];
    CHECK_EQ(hd_chan_send_many(b.chan, NULL, 0), 0);
    CHECK_EQ(hd_chan_recv_many(b.chan, NULL, 0), 0);
    CHECK_EQ((intptr_t)send_batch(&b), 10); /* the deadline is past */
    CHECK_EQ((intptr_t)send_batch(&b), -ETIMEDOUT);
    CHECK_EQ(hd_chan_recv_many(b.chan, got, 4), 4);
    b.deadline_ns = HD_FOREVER;
    hd_interrupt(hd_self());
    CHECK_EQ((intptr_t)send_batch(&b), 4);
    CHECK_EQ((intptr_t)send_batch(&b), -EINTR); /* which was kept for it */
    CHECK_EQ(hd_chan_recv_many(b.chan, got, 4), 4);
    hd_thread *t = spawn(send_batch, &b);
    let_wait();
    hd_chan_close(b.chan);
    CHECK_EQ((intptr_t)join(t), 4);
    CHECK_EQ((intptr_t)send_batch(&b), -EPIPE);
    CHECK_EQ(hd_chan_recv_many(b.chan, got, 20), 10);
    CHECK_EQ(hd_chan_recv_many(b.chan, got, 20), -EPIPE);
    CHECK_EQ(hd_chan_recv_many(b.chan, got, 0), 0);
    hd_chan_destroy(b.chan);
    return 0;
}

RUNTIME_TEST(chan_batches_of_nothing_but_signals, 1) {
    hd_chan *c = create(0, HD_CHAN_UNBOUNDED);
    CHECK_EQ(hd_chan_send_many(c, NULL, 1000), 1000);
    CHECK_EQ(hd_chan_recv_many(c, NULL, 2000), 1000);
    hd_chan_destroy(c);
    return 0;
}

static int destroy_under_a_waiter(void *arg __attribute__((unused))) {
    struct end e = {hd_chan_create(sizeof(int), 0), 0, HD_FOREVER};
    hd_spawn(NULL, NULL, recv_value, &e);
    hd_sleep_for(50 * MS);
    hd_chan_destroy(e.chan);
    return 0;
}

TEST(chan_misuse_dies) {
    hd_chan *c = create(sizeof(int), 1);
    CHECK_DEATH("hd_chan_destroy: channel",
                hd_run(HD_CONFIG(.workers = 1), destroy_under_a_waiter, NULL));
    CHECK_DEATH("hd_chan_send: the element's address is NULL", hd_chan_send(c, NULL));
    CHECK_DEATH("hd_chan_tryrecv: the element's address is NULL", hd_chan_tryrecv(c, NULL));
    hd_chan_destroy(c);
}
