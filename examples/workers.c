/* SPDX-License-Identifier: MIT */
/* A thousand pieces of work, one thread each, of which four run at a time: a semaphore bounds how
 * many, a wait group tells when all are done. Threads are cheap enough for one a piece, so there is
 * no pool and no queue.
 *
 *     cc workers.c $(pkg-config --cflags --libs heddle) && ./a.out */
#include <heddle/heddle.h>

#include <stdatomic.h>
#include <stdio.h>

enum { PIECES = 1000, AT_A_TIME = 4 };

static hd_sem permits = HD_SEM_INIT(AT_A_TIME);
static hd_waitgroup left = HD_WAITGROUP_INIT;
static atomic_int running, most;
static atomic_long steps;

/* How many steps n takes to reach 1 by halving or tripling (Collatz). */
static long collatz(unsigned long n) {
    long count = 0;
    for (; n != 1; count++)
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    return count;
}

static void *work(void *arg) {
    hd_sem_wait(&permits);
    int now = atomic_fetch_add(&running, 1) + 1;
    for (int seen = atomic_load(&most); now > seen;)
        if (atomic_compare_exchange_weak(&most, &seen, now))
            break;
    atomic_fetch_add(&steps, collatz((unsigned long)arg));
    hd_yield(); /* others would come in here, if the semaphore let them */
    atomic_fetch_sub(&running, 1);
    hd_sem_post(&permits);
    hd_waitgroup_done(&left);
    return NULL;
}

static int run(void *arg) {
    (void)arg;
    for (unsigned long n = 1; n <= PIECES; n++) {
        hd_waitgroup_add(&left, 1);
        if (hd_spawn(NULL, NULL, work, (void *)n) != 0)
            return 1;
    }
    hd_waitgroup_wait(&left);
    printf("%d pieces, %ld steps, never more than %d at a time: %s\n", PIECES, atomic_load(&steps),
           AT_A_TIME, atomic_load(&most) <= AT_A_TIME ? "yes" : "no");
    return 0;
}

int main(void) {
    return hd_run(NULL, run, NULL);
}
