/* SPDX-License-Identifier: MIT */
/* The harness of the bench programs; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const struct bench_experiment *running;
static uint64_t values[BENCH_PARAMETERS];
static bool failed;

uint64_t bench_value(const char *name) {
    for (unsigned i = 0; running->parameters[i].name; i++) {
        if (strcmp(running->parameters[i].name, name) == 0) {
            return values[i];
        }
    }
    fprintf(stderr, "heddle-bench: %s has no parameter %s\n", running->name, name);
    abort();
}

uint64_t bench_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_sample(const char *metric, const char *unit, double value) {
    printf("sample %s %s %.9g\n", metric, unit, value);
}

void bench_note(const char *key, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("note %s ", key);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

int bench_error(const char *format, ...) {
    if (!failed) {
        va_list args;
        va_start(args, format);
        printf("error ");
        vprintf(format, args);
        printf("\n");
        va_end(args);
    }
    failed = true;
    return BENCH_CANNOT;
}

void *bench_array(size_t count, size_t size) {
    size_t bytes = (count * size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
    void *p = aligned_alloc(BENCH_LINE, bytes ? bytes : BENCH_LINE);
    if (!p) {
        bench_error("no memory for %zu elements of %zu bytes", count, size);
        fflush(stdout);
        exit(BENCH_CANNOT);
    }
    memset(p, 0, bytes);
    return p;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *v, size_t count, double part) {
    qsort(v, count, sizeof(*v), compare_doubles);
    double at = part * (double)(count - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < count ? low + 1 : low;
    return v[low] + (v[high] - v[low]) * (at - (double)low);
}

struct bench_memory bench_memory_now(void) {
    struct bench_memory m = {0, 0, 0};
    char line[256];
    double kib;
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) {
        return m;
    }
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmRSS: %lf kB", &kib) == 1) {
            m.resident_bytes += kib * 1024;
        } else if (sscanf(line, "VmHWM: %lf kB", &kib) == 1) {
            m.peak_bytes += kib * 1024;
        } else if (sscanf(line, "VmPTE: %lf kB", &kib) == 1) {
            m.resident_bytes += kib * 1024;
            m.peak_bytes += kib * 1024;
        } else if (sscanf(line, "VmSize: %lf kB", &kib) == 1) {
            m.address_bytes = kib * 1024;
        }
    }
    fclose(f);
    return m;
}

double bench_kernel_switches(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_nvcsw + r.ru_nivcsw);
}

struct bench_cpu_time bench_cpu_time(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    struct bench_cpu_time t = {(double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec / 1e6,
                               (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec / 1e6};
    return t;
}

double bench_cpu_s(void) {
    struct bench_cpu_time t = bench_cpu_time();
    return t.user_s + t.system_s;
}

/* ---- windows ---- */

static uint64_t cpu_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_span_begin(struct bench_span *s) {
    s->cpu_ns = cpu_now_ns();
    s->begin_ns = bench_now_ns();
}

void bench_span_end(struct bench_span *s) {
    s->end_ns = bench_now_ns();
    s->cpu_ns = cpu_now_ns() - s->cpu_ns;
}

void bench_window_add(struct bench_window *w, const struct bench_span *s) {
    uint64_t ns = s->end_ns - s->begin_ns;
    bool first = w->sum_ns == 0;
    w->sum_ns += ns;
    w->shortest_ns = first || ns < w->shortest_ns ? ns : w->shortest_ns;
    w->last_begin_ns = s->begin_ns > w->last_begin_ns ? s->begin_ns : w->last_begin_ns;
    w->first_end_ns = first || s->end_ns < w->first_end_ns ? s->end_ns : w->first_end_ns;
    w->disturbed = w->disturbed || ns > s->cpu_ns + s->cpu_ns / 16;
}

bool bench_window_good(const struct bench_window *w) {
    return !w->disturbed && w->first_end_ns > w->last_begin_ns &&
           (w->first_end_ns - w->last_begin_ns) * 5 >= w->shortest_ns * 4;
}

/* ---- CPUs ---- */

static cpu_set_t allowed;

static const cpu_set_t *allowed_cpus(void) {
    if (CPU_COUNT(&allowed) == 0) {
        sched_getaffinity(0, sizeof(allowed), &allowed);
    }
    return &allowed;
}

unsigned bench_cpus(void) {
    int n = CPU_COUNT(allowed_cpus());
    return n > 0 ? (unsigned)n : 1;
}

unsigned bench_cpu(unsigned n) {
    n %= bench_cpus();
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed_cpus()) && n-- == 0) {
            return cpu;
        }
    }
    return 0;
}

void bench_limit_cpus(unsigned n) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < (n ? n : bench_cpus()); i++) {
        CPU_SET(bench_cpu(i), &set);
    }
    sched_setaffinity(0, sizeof(set), &set);
}

/* ---- the command line ---- */

static int usage(const char *program, const struct bench_experiment *const *experiments) {
    fprintf(stderr, "usage: %s EXPERIMENT [--NAME VALUE]...\n       %s list\n", program, program);
    for (unsigned i = 0; experiments[i]; i++) {
        fprintf(stderr, "  %-10s", experiments[i]->name);
        for (const struct bench_parameter *p = experiments[i]->parameters; p->name; p++) {
            if (p->words) {
                fprintf(stderr, " --%s (one of: %s)", p->name, p->words);
            } else {
                fprintf(stderr, " --%s %llu", p->name, (unsigned long long)p->value);
            }
        }
        fprintf(stderr, "\n");
    }
    return BENCH_USAGE;
}

/* The index of a word in a list of words parted by blanks; -1 if it is not there. */
static int word_index(const char *words, const char *word) {
    size_t length = strlen(word);
    for (int index = 0; *words; index++) {
        size_t n = strcspn(words, " ");
        if (n == length && strncmp(words, word, n) == 0) {
            return index;
        }
        words += n + (words[n] == ' ');
    }
    return -1;
}

static bool read_value(const struct bench_parameter *p, const char *text, uint64_t *value) {
    if (p->words) {
        int index = word_index(p->words, text);
        *value = (uint64_t)(index < 0 ? 0 : index);
        if (index < 0) {
            fprintf(stderr, "--%s %s: must be one of: %s\n", p->name, text, p->words);
        }
        return index >= 0;
    }
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    bool good = *text >= '0' && *text <= '9' && !*end && !errno && n >= p->low && n <= p->high;
    if (!good) {
        fprintf(stderr, "--%s %s: must be a number from %llu to %llu\n", p->name, text,
                (unsigned long long)p->low, (unsigned long long)p->high);
    }
    *value = n;
    return good;
}

static bool read_option(const char *name, const char *text) {
    for (unsigned i = 0; running->parameters[i].name; i++) {
        const struct bench_parameter *p = &running->parameters[i];
        if (strncmp(name, "--", 2) != 0 || strcmp(name + 2, p->name) != 0) {
            continue;
        }
        if (!text) {
            fprintf(stderr, "%s needs a value\n", name);
            return false;
        }
        return read_value(p, text, &values[i]);
    }
    fprintf(stderr, "%s: unknown option '%s'\n", running->name, name);
    return false;
}

int bench_main(int argc, char **argv, const struct bench_experiment *const *experiments) {
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (unsigned i = 0; experiments[i]; i++) {
            if (experiments[i]->listed) {
                printf("%s\n", experiments[i]->name);
            }
        }
        return BENCH_OK;
    }
    for (unsigned i = 0; argc > 1 && experiments[i]; i++) {
        if (strcmp(experiments[i]->name, argv[1]) == 0) {
            running = experiments[i];
        }
    }
    if (!running) {
        if (argc > 1) {
            fprintf(stderr, "unknown experiment '%s'\n", argv[1]);
        }
        return usage(argv[0], experiments);
    }
    for (unsigned i = 0; running->parameters[i].name; i++) {
        values[i] = running->parameters[i].value;
    }
    for (int i = 2; i < argc; i += 2) {
        if (!read_option(argv[i], argv[i + 1])) {
            return usage(argv[0], experiments);
        }
    }
    allowed_cpus();
    int status = running->run();
    if (fflush(stdout) != 0) {
        return BENCH_CANNOT;
    }
    return failed ? BENCH_CANNOT : status;
}
