/* SPDX-License-Identifier: MIT */
/* A table of prices that many threads read and one changes now and then, and an account book that
 * all of them write to: a reader-writer lock for read-mostly data, a mutex with a name, a barrier
 * at the start, and the report of the locks that threads waited for.
 *
 *     locks [THREADS [ROUNDS]] */
#include <heddle/heddle.h>

#include <stdio.h>
#include <stdlib.h>

enum { GOODS = 16 };

static struct {
    hd_rwlock lock;
    long price[GOODS]; /* guarded by lock; all of one day */
    long day;
} prices;

static struct {
    hd_mutex lock;
    long bought, spent; /* guarded by lock */
} book;

static hd_barrier start;
static long rounds;

/* The ranks say that whoever needs both takes the prices first. */
static int make_locks(void) {
    int err = hd_rwlock_init(&prices.lock,
                             HD_LOCK_ATTR(.name = "prices", .rank = 1,
                                          .flags = HD_LOCK_COUNT | HD_LOCK_READ_MOSTLY));
    if (err) return err;
    err = hd_mutex_init(&book.lock,
                        HD_LOCK_ATTR(.name = "book", .rank = 2, .flags = HD_LOCK_COUNT));
    if (err) hd_rwlock_finish(&prices.lock);
    return err;
}

static void *buy(void *arg) {
    long cart = (long)(intptr_t)arg;
    if (hd_barrier_wait(&start)) printf("everybody is there\n");
    for (long i = 0; i < rounds; i++) {
        long sum = 0;
        hd_rwlock_rdlock(&prices.lock);
        for (int g = 0; g < GOODS; g++) sum += prices.price[g];
        long day = prices.day;
        hd_rwlock_rdunlock(&prices.lock);
        if (sum != GOODS * day) return (void *)"prices of two days";
        hd_mutex_lock(&book.lock);
        book.bought += cart;
        book.spent += cart * day;
        hd_mutex_unlock(&book.lock);
    }
    return NULL;
}

static void *change_prices(void *arg) {
    hd_barrier_wait(&start);
    for (long day = 2; day < 50; day++) {
        hd_rwlock_wrlock(&prices.lock);
        for (int g = 0; g < GOODS; g++) prices.price[g] = day;
        prices.day = day;
        hd_rwlock_wrunlock(&prices.lock);
        hd_sleep_for(100 * 1000);
    }
    return arg;
}

static int program(void *arg) {
    long n = *(long *)arg;
    int result = make_locks();
    if (result) return result;
    hd_thread **all = malloc((size_t)(n + 1) * sizeof *all);
    if (!all) return 1;
    start = (hd_barrier)HD_BARRIER_INIT(n + 1);
    prices.day = 1;
    for (int g = 0; g < GOODS; g++) prices.price[g] = 1;
    for (long i = 0; i <= n; i++) {
        int err = i < n ? hd_spawn(&all[i], NULL, buy, (void *)(intptr_t)(i % 3 + 1))
                        : hd_spawn(&all[i], NULL, change_prices, NULL);
        if (err) {
            fprintf(stderr, "hd_spawn: %s\n", hd_strerror(err));
            exit(1); /* the others wait at the barrier */
        }
    }
    for (long i = 0; i <= n; i++) {
        void *wrong = NULL;
        hd_join(all[i], &wrong);
        if (wrong) {
            fprintf(stderr, "%s\n", (const char *)wrong);
            result = 1;
        }
    }
    printf("%ld bought\n", book.bought);
    fflush(stdout);
    if (hd_lock_report(1, 10) != 0) result = 1;
    free(all);
    hd_mutex_finish(&book.lock);
    hd_rwlock_finish(&prices.lock);
    return result;
}

int main(int argc, char **argv) {
    long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 8;
    rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 2000;
    if (threads < 1 || threads > 10000 || rounds < 1) {
        fprintf(stderr, "usage: locks [THREADS [ROUNDS]]\n");
        return 2;
    }
    int result = hd_run(NULL, program, &threads);
    if (result < 0) fprintf(stderr, "%s\n", hd_strerror(result));
    return result != 0;
}
