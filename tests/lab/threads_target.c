/* SPDX-License-Identifier: MIT */
/* What tests of heddle threads watch: threads of which it is known what they do.
 *
 *     threads-target locks      two wait for a lock that the first one has, one sleeps
 *     threads-target circle     three wait for each other, a fourth for a lock of its own
 *     threads-target brief N    N threads that do little, one after the other
 *     threads-target heddle N   N threads of heddle's that wait at a semaphore
 *
 * All but the one with brief threads until they are killed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <heddle/heddle.h>

/* What comes after a call keeps it from being the function's last act. */
#define NOT_LAST __asm__ volatile("" : : : "memory")

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

/* ---- the kernel's threads ---- */

pthread_mutex_t shop_door = PTHREAD_MUTEX_INITIALIZER;

static atomic_int tids[2];

__attribute__((noinline)) static void enter_shop(void) {
    pthread_mutex_lock(&shop_door);
    NOT_LAST;
}

static void *customer(void *name) {
    prctl(PR_SET_NAME, name);
    tids[strcmp(name, "customer-1") != 0] = (int)syscall(SYS_gettid);
    enter_shop();
    NOT_LAST;
    return NULL;
}

static void *clock_thread(void *name) {
    prctl(PR_SET_NAME, name);
    for (;;)
        usleep(2000);
    return NULL;
}

/* Waits until the kernel says again and again that a thread sleeps. */
static void wait_for_sleep(const atomic_int *tid) {
    char path[64], text[256];
    for (int seen = 0; seen < 5; usleep(5000)) {
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", *tid);
        FILE *f = *tid ? fopen(path, "r") : NULL;
        const char *state = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
        seen = state && state[1] && state[2] == 'S' ? seen + 1 : 0;
        if (f)
            fclose(f);
    }
}

static int locks(void) {
    static char names[][16] = {"customer-1", "customer-2", "clock"};
    pthread_t thread;
    pthread_mutex_lock(&shop_door);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, NULL, i < 2 ? customer : clock_thread, names[i]) != 0)
            return 1;
    }
    wait_for_sleep(&tids[0]);
    wait_for_sleep(&tids[1]);
    ready();
    for (;;)
        pause();
}

pthread_mutex_t chopsticks[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                 PTHREAD_MUTEX_INITIALIZER};
pthread_mutex_t mirror = PTHREAD_MUTEX_INITIALIZER;

static pthread_barrier_t table;
static atomic_int diners[4];

static void *diner(void *arg) {
    static const char *const names[] = {"diner-0", "diner-1", "diner-2", "narcissus"};
    int i = (int)((atomic_int *)arg - diners);
    pthread_mutex_t *own = i < 3 ? &chopsticks[i] : &mirror;
    prctl(PR_SET_NAME, names[i]);
    pthread_mutex_lock(own);
    pthread_barrier_wait(&table);
    diners[i] = (int)syscall(SYS_gettid);
    pthread_mutex_lock(i < 3 ? &chopsticks[(i + 1) % 3] : own);
    return NULL;
}

static int circle(void) {
    pthread_t thread;
    pthread_barrier_init(&table, NULL, 4);
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&thread, NULL, diner, &diners[i]) != 0)
            return 1;
    }
    for (int i = 0; i < 4; i++)
        wait_for_sleep(&diners[i]);
    ready();
    for (;;)
        pause();
}

static void *brief_thread(void *arg) {
    usleep(100);
    return arg;
}

static int brief(int n) {
    pthread_t thread;
    for (int i = 0; i < n; i++) {
        if (pthread_create(&thread, NULL, brief_thread, NULL) != 0)
            return 1;
        pthread_join(thread, NULL);
    }
    return 0;
}

/* ---- heddle's ---- */

static hd_sem gate = HD_SEM_INIT(0);

static void *guest(void *arg) {
    hd_sem_wait(&gate);
    return arg;
}

static int party(void *arg) {
    hd_thread *thread;
    for (int i = 0; i < *(int *)arg; i++) {
        if (hd_spawn(&thread, NULL, guest, NULL) != 0)
            return 1;
    }
    while (hd_sleep_for(50000000) == 0) {
        ready();
        hd_sleep_for(UINT64_C(3600000000000));
    }
    return 0;
}

int main(int argc, char **argv) {
    int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (argc > 1 && strcmp(argv[1], "locks") == 0)
        return locks();
    if (argc > 1 && strcmp(argv[1], "circle") == 0)
        return circle();
    if (argc > 1 && strcmp(argv[1], "brief") == 0)
        return brief(n);
    if (argc > 1 && strcmp(argv[1], "heddle") == 0)
        return hd_run(HD_CONFIG(.workers = 2), party, &n) ? 1 : 0;
    return 2;
}
