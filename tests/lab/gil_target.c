/* SPDX-License-Identifier: MIT */
/* A program with locks like those of the interpreters, for test_preload.c:
 *
 *     gil_target structure|apart|semaphore THREADS TAKES     each thread takes it so often
 *     gil_target fork|exec                                   so does another process afterwards
 *     gil_target calls N                                     calls a function, at a line of input
 *
 * Prints how often the lock was taken, by whom it was taken from another thread, and how often
 * somebody asked for it, in one line. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* 3.2 and later: the members in the interpreter's order. */
static struct {
    pthread_cond_t cond;
    pthread_mutex_t mutex;
    pthread_cond_t switch_cond;
    pthread_mutex_t switch_mutex;
} structure = {PTHREAD_COND_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
               PTHREAD_MUTEX_INITIALIZER};

/* 3.6: variables, in whatever order. */
static pthread_cond_t apart_switch_cond = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t apart_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t apart_cond = PTHREAD_COND_INITIALIZER;

static pthread_cond_t *cond = &structure.cond, *switch_cond = &structure.switch_cond;
static pthread_mutex_t *mutex = &structure.mutex;

/* All under the mutex, but for the request. */
static bool locked;
static _Atomic bool request;
static const void *last;
static unsigned long number, gots, forced;

static void take(const void *me) {
    pthread_mutex_lock(mutex);
    while (locked) {
        unsigned long before = number;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 1000000;
        if (until.tv_nsec >= 1000000000)
            until.tv_sec++, until.tv_nsec -= 1000000000;
        int rc = pthread_cond_timedwait(cond, mutex, &until);
        if (rc == ETIMEDOUT && locked && number == before) {
            request = true;
            forced++;
        }
    }
    pthread_mutex_lock(&structure.switch_mutex);
    locked = true;
    gots++;
    if (last != me) {
        last = me;
        number++;
    }
    pthread_cond_signal(switch_cond);
    pthread_mutex_unlock(&structure.switch_mutex);
    request = false;
    pthread_mutex_unlock(mutex);
}

static void drop(const void *me) {
    pthread_mutex_lock(mutex);
    locked = false;
    bool asked = request;
    pthread_cond_signal(cond);
    pthread_mutex_unlock(mutex);
    if (!asked)
        return;
    pthread_mutex_lock(&structure.switch_mutex);
    if (last == me) {
        request = false;
        pthread_cond_wait(switch_cond, &structure.switch_mutex);
    }
    pthread_mutex_unlock(&structure.switch_mutex);
}

static sem_t gil;

static void take_semaphore(const void *me) {
    sem_wait(&gil);
    gots++;
    if (last != me) {
        last = me;
        number++;
    }
}

static void drop_semaphore(const void *me) {
    (void)me;
    sem_post(&gil);
}

static void (*lock)(const void *) = take, (*unlock)(const void *) = drop;
static unsigned long takes = 1000;
static volatile unsigned long work;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void *thread(void *argument) {
    char me;
    (void)argument;
    for (unsigned long i = 0; i < takes; i++) {
        lock(&me);
        for (int k = 0; k < 300; k++)
            work++;
        /* Now and then so long that somebody asks for it. */
        for (double end = now() + 0.003; i % 64 == 63 && lock == take && !request && now() < end;)
            work++;
        unlock(&me);
    }
    return NULL;
}

static void run(unsigned threads) {
    static pthread_t all[2000];
    for (unsigned i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, thread, NULL);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    printf("%lu %lu %lu\n", gots, number, forced);
    fflush(stdout);
}

/* Begins with a push: it calls another one, and keeps both arguments. */
unsigned long rare_call(unsigned long n, unsigned long (*f)(unsigned long));
__attribute__((noinline)) unsigned long rare_call(unsigned long n,
                                                  unsigned long (*f)(unsigned long)) {
    unsigned long first = f(n);
    return first + f(n + 1) + n;
}

static unsigned long half(unsigned long n) {
    return n / 2;
}

/* Through a pointer, so that it is this very function. */
static unsigned long (*volatile rare)(unsigned long, unsigned long (*)(unsigned long)) = rare_call;

static int calls(unsigned long n) {
    unsigned long sum = 0;
    puts("ready");
    fflush(stdout);
    if (getchar() != '\n')
        return 1;
    for (unsigned long i = 0; i < n; i++)
        sum += rare(i, half);
    work = sum;
    puts("done");
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *kind = argc > 1 ? argv[1] : "structure";
    if (strcmp(kind, "calls") == 0)
        return calls(argc > 2 ? strtoul(argv[2], NULL, 10) : 1);
    unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
    if (argc > 3)
        takes = strtoul(argv[3], NULL, 10);
    if (strcmp(kind, "apart") == 0) {
        cond = &apart_cond;
        switch_cond = &apart_switch_cond;
        mutex = &apart_mutex;
    } else if (strcmp(kind, "semaphore") == 0) {
        sem_init(&gil, 0, 1);
        lock = take_semaphore;
        unlock = drop_semaphore;
    }
    run(threads);
    if (strcmp(kind, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            thread(NULL);
            _exit(getenv("HEDDLE_PRELOAD") ? 0 : 7);
        }
        waitpid(child, NULL, 0);
    } else if (strcmp(kind, "exec") == 0) {
        execl("/proc/self/exe", argv[0], "structure", "2", "500", (char *)NULL);
        return 9;
    } else if (strcmp(kind, "spawn") == 0) {
        return system("test -z \"$HEDDLE_PRELOAD$LD_PRELOAD\"") ? 8 : 0;
    }
    return 0;
}
