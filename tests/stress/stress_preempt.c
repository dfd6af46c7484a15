/* SPDX-License-Identifier: MIT */
/* Code of all kinds is preempted every 100 microseconds: it allocates, prints, sorts with
 * callbacks, loads libraries, takes the C library's locks and its own, waits, sleeps, blocks. Each
 * piece of work checks what it made; a thread that is lost or stuck shows as a test without end. */
#include "crew.h"

#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    uint64_t a, b; /* guarded by lock, and equal */
    hd_mutex mutex;
    uint64_t c, d; /* guarded by mutex, and equal */
    FILE *null;
    uint64_t spins; /* what pure() makes of 1 */
    _Atomic uint64_t works, early;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t random_of(struct crew_member *m, uint64_t limit) {
    return test_rng_below(&m->rng, limit);
}

/* ---- pieces of work ---- */

static void allocate(struct crew_member *m) {
    enum { BLOCKS = 24 };
    unsigned char *p[BLOCKS];
    size_t size[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        size[i] = 1 + (size_t)random_of(m, random_of(m, 8) == 0 ? 200000 : 600);
        p[i] = malloc(size[i]);
        CHECK(p[i] != NULL);
        memset(p[i], (int)(m->index + (unsigned)i), size[i]);
        if (random_of(m, 4) == 0) {
            int k = (int)random_of(m, (uint64_t)i + 1);
            size_t bytes = 1 + (size_t)random_of(m, 1000);
            unsigned char *moved = realloc(p[k], bytes);
            CHECK(moved != NULL);
            if (bytes > size[k])
                memset(moved + size[k], (int)(m->index + (unsigned)k), bytes - size[k]);
            p[k] = moved;
            size[k] = bytes;
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; at < size[i]; at += 1 + size[i] / 16)
            CHECK_EQ(p[i][at], (unsigned char)(m->index + (unsigned)i));
        free(p[i]);
    }
}

static void print(struct crew_member *m) {
    char text[256];
    int64_t number = (int64_t)test_rng_next(&m->rng), parsed = 0;
    double real = (double)number / 7, parsed_real = 0;
    int n = snprintf(text, sizeof text, "%lld %a %s", (long long)number, real, "word");
    CHECK(n > 0 && n < (int)sizeof text);
    long long whole = 0;
    char word[16] = "";
    CHECK_EQ(sscanf(text, "%lld %la %15s", &whole, &parsed_real, word), 3);
    parsed = whole;
    CHECK_EQ(parsed, number);
    CHECK_EQ(parsed_real, real);
    CHECK_STR_EQ(word, "word");
    for (int i = 0; i < 10; i++)
        CHECK_EQ(fprintf(all.null, "%s %d %.15g\n", text, i, real) > 0, 1);
    flockfile(all.null);
    fputs(text, all.null);
    fputs(text, all.null);
    funlockfile(all.null);
}

static __thread unsigned compared;

static int compare(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    compared++;
    return (*x > *y) - (*x < *y);
}

/* Large enough that the C library allocates for it, at times. */
static __attribute__((noinline)) void sort(struct crew_member *m) {
    size_t n = 10 + (size_t)random_of(m, 400);
    uint64_t *v = malloc(n * sizeof *v), sum = 0;
    CHECK(v != NULL);
    for (size_t i = 0; i < n; i++)
        sum += v[i] = test_rng_next(&m->rng);
    compared = 0;
    qsort(v, n, sizeof *v, compare);
    CHECK_GE(compared, n - 1);
    for (size_t i = 0; i < n; i++) {
        sum -= v[i];
        CHECK(i == 0 || v[i - 1] <= v[i]);
    }
    CHECK_EQ(sum, 0);
    CHECK(bsearch(&v[n / 2], v, n, sizeof *v, compare) != NULL);
    free(v);
}

static void locales(struct crew_member *m) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(c != (locale_t)0);
    locale_t before = uselocale(c);
    CHECK_EQ(strtod("1.5", NULL), 1.5);
    CHECK(uselocale((locale_t)0) == c);
    uselocale(before);
    freelocale(c);
    if (random_of(m, 4) == 0)
        CHECK(setlocale(LC_NUMERIC, NULL) != NULL);
    if (!TEST_TSAN && random_of(m, 4) == 0)
        CHECK(setlocale(LC_NUMERIC, "C") != NULL);
}

/* ThreadSanitizer does not see the locks of the C library within itself. */
static void load(struct crew_member *m) {
    if (TEST_TSAN) return;
    const char *names[] = {"libresolv.so.2", "libutil.so.1", "libanl.so.1"};
    void *library = dlopen(names[random_of(m, 3)], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        library = dlopen("libm.so.6", RTLD_NOW);
    CHECK(library != NULL);
    CHECK(dlsym(library, "no_such_symbol_anywhere") == NULL);
    CHECK(dlerror() != NULL);
    CHECK_EQ(dlclose(library), 0);
}

static void match(struct crew_member *m) {
    regex_t re;
    regmatch_t found[2];
    char text[64];
    unsigned number = (unsigned)random_of(m, 100000);
    CHECK_EQ(regcomp(&re, "^[a-z]+ ([0-9]{1,6})( |$)", REG_EXTENDED), 0);
    snprintf(text, sizeof text, "number %u end", number);
    CHECK_EQ(regexec(&re, text, 2, found, 0), 0);
    CHECK_EQ(strtoul(text + found[1].rm_so, NULL, 10), number);
    regfree(&re);
}

static void tell_time(struct crew_member *m) {
    if (TEST_TSAN) return;
    time_t t = (time_t)random_of(m, 2000000000);
    struct tm broken;
    char text[64];
    CHECK(localtime_r(&t, &broken) != NULL);
    CHECK_EQ(mktime(&broken), t);
    CHECK(gmtime_r(&t, &broken) != NULL);
    CHECK(strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &broken) == 19);
    CHECK(getenv("PATH") != NULL);
    CHECK(getenv("HEDDLE_TEST_NO_SUCH_NAME") == NULL);
}

/* Held across preemptions: who wants it then blocks, loses the worker, and the holder goes on. */
static void lock(struct crew_member *m) {
    CHECK_EQ(pthread_mutex_lock(&all.lock), 0);
    CHECK_EQ(all.a, all.b);
    all.a++;
    for (volatile uint64_t i = random_of(m, 20000); i > 0; i--) {
    }
    all.b++;
    CHECK_EQ(pthread_mutex_unlock(&all.lock), 0);
}

static void own_lock(struct crew_member *m) {
    hd_mutex_lock(&all.mutex);
    CHECK_EQ(all.c, all.d);
    all.c++;
    for (volatile uint64_t i = random_of(m, 5000); i > 0; i--) {
    }
    all.d++;
    hd_mutex_unlock(&all.mutex);
}

static uint64_t pure(uint64_t x) {
    double f = 1.0;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        f = f * 1.0000001 + 0.25;
    }
    return x + (uint64_t)f;
}

static void compute(struct crew_member *m) {
    (void)m;
    CHECK_EQ(pure(1), all.spins);
}

static __attribute__((noinline)) void keep_errno(struct crew_member *m) {
    int mine = 1 + (int)random_of(m, 100);
    errno = mine;
    for (volatile uint64_t i = random_of(m, 30000); i > 0; i--)
        CHECK_EQ(errno, mine);
}

static void map(struct crew_member *m) {
    size_t bytes = 4096 * (1 + (size_t)random_of(m, 8));
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 7, bytes);
    CHECK_EQ(mprotect(p, 4096, PROT_READ), 0);
    CHECK_EQ(p[bytes - 1], 7);
    CHECK_EQ(munmap(p, bytes), 0);
}

/* A signal that is on its way when the call begins ends it early, as signals do. */
static void *sleep_in_kernel(void *arg) {
    struct timespec t = {0, 50000};
    uint64_t start = hd_now_ns();
    while (nanosleep(&t, &t) != 0) {
        CHECK_EQ(errno, EINTR);
        atomic_fetch_add_explicit(&all.early, 1, memory_order_relaxed);
    }
    CHECK_GE(hd_now_ns() - start, 50000);
    return arg;
}

static void block(struct crew_member *m) {
    void *result = NULL;
    if (m->foreign || random_of(m, 2)) {
        sleep_in_kernel(m);
    } else {
        CHECK_OK(hd_blocking(sleep_in_kernel, m, &result));
        CHECK_EQ(result, m);
    }
}

static void wait_a_little(struct crew_member *m) {
    uint64_t deadline = hd_now_ns() + random_of(m, 300000);
    int err = hd_sleep_until(deadline);
    CHECK(err == -EINTR || (err == 0 && hd_now_ns() >= deadline));
    if (!m->foreign)
        hd_yield();
}

static void keep_the_worker(struct crew_member *m) {
    hd_preempt_disable();
    hd_preempt_disable();
    for (volatile uint64_t i = random_of(m, 30000); i > 0; i--) {
    }
    hd_preempt_enable();
    if (random_of(m, 4) == 0 && !m->foreign)
        hd_yield();
    hd_preempt_enable();
}

static void (*const works[])(struct crew_member *) = {
    allocate, print, sort,    locales,    load,  match,         tell_time,       lock,
    own_lock, map,   compute, keep_errno, block, wait_a_little, keep_the_worker,
};
enum { WORKS = sizeof works / sizeof works[0] };

/* ---- who does them ---- */

static void work(struct crew_member *m) {
    while (crew_goes_on(m)) {
        works[random_of(m, WORKS)](m);
        atomic_fetch_add_explicit(&all.works, 1, memory_order_relaxed);
    }
}

/* What light threads may do between their calls into heddle. */
static void *compute_lightly(void *arg) {
    struct crew_member *m = arg;
    while (crew_goes_on(m)) {
        compute(m);
        own_lock(m);
        keep_the_worker(m);
        if (random_of(m, 16) == 0)
            wait_a_little(m);
        atomic_fetch_add_explicit(&all.works, 1, memory_order_relaxed);
    }
    return NULL;
}

struct plan {
    unsigned workers, carriers, threads, light, foreign, tests;
};

static void tell(const char *what, uint64_t n) {
    test_note("%llu %s", (unsigned long long)n, what);
}

static void run_crew(const struct plan *p) {
    uint64_t ns = crew_time_ns(p->tests);
    struct crew crew = {.end_ns = hd_now_ns() + ns};
    struct crew_member light[16];
    hd_thread *handles[16];
    for (unsigned i = 0; i < p->light; i++) {
        light[i] = (struct crew_member){.crew = &crew, .index = 1000 + i};
        light[i].rng = test_rng(1000 + i);
        CHECK_OK(hd_spawn(&handles[i], HD_ATTR(.preempt = HD_PREEMPT_LIGHT), compute_lightly,
                          &light[i]));
    }
    crew_run(work, NULL, p->threads, p->foreign, ns, true);
    for (unsigned i = 0; i < p->light; i++)
        CHECK_OK(hd_join(handles[i], NULL));
}

static int run_plan(void *arg) {
    const struct plan *p = arg;
    struct hd_metrics m = HD_METRICS_INIT;
    all.spins = pure(1);
    all.null = fopen("/dev/null", "w");
    CHECK(all.null != NULL);
    /* Where the machine is busy, the monitor may not run in all that time, or come too late each
     * time, or find no kernel thread. */
    do {
        run_crew(p);
        CHECK_OK(hd_metrics_get(&m));
    } while (m.preempted_carrier + m.preempted_light + m.preempted_enable + m.preempt_deferred +
                 m.preempt_no_carrier == 0);
    tell("pieces of work", all.works);
    tell("sleeps that ended early", all.early);
    tell("preemptions with the carrier", m.preempted_carrier);
    tell("light preemptions", m.preempted_light);
    tell("preemptions at enable", m.preempted_enable);
    tell("signals", m.preempt_signals);
    tell("tries deferred", m.preempt_deferred);
    tell("tries without a carrier", m.preempt_no_carrier);
    tell("threads blocked in the kernel", m.blocked_in_syscall);
    tell("carriers at most", m.carriers_most);
    CHECK_LE(m.carriers_most, m.carriers_limit);
    CHECK_EQ(all.a, all.b);
    CHECK_EQ(all.c, all.d);
    fclose(all.null);
    return 0;
}

static void stress(struct plan plan) {
    plan.tests = 5;
    CHECK_OK(hd_run(HD_CONFIG(.workers = plan.workers, .slice_us = 100,
                              .carriers_max = plan.carriers, .stack_size = 128 * 1024),
                    run_plan, &plan));
}

TEST_WITHIN(one_worker, 60) {
    stress((struct plan){.workers = 1, .threads = 16});
}

TEST_WITHIN(two_workers, 60) {
    stress((struct plan){.workers = 2, .threads = 16});
}

TEST_WITHIN(with_light_threads, 60) {
    stress((struct plan){.workers = 2, .threads = 12, .light = 8});
}

TEST_WITHIN(with_foreign_threads, 60) {
    stress((struct plan){.workers = 2, .threads = 12, .light = 4, .foreign = 2});
}

/* More threads that compute and block than kernel threads may exist. */
TEST_WITHIN(beyond_the_bound_of_kernel_threads, 60) {
    struct test_rng rng = test_rng(0);
    unsigned workers = 1 + (unsigned)test_rng_below(&rng, 2);
    stress((struct plan){.workers = workers, .carriers = workers + 3, .threads = 24, .light = 4});
}
