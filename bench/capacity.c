/* SPDX-License-Identifier: MIT */
/* capacity: very many threads that all wait at once, then are let go and joined.
 *
 * Memory is what the process has resident, page tables included, beyond what it had before the
 * first thread; the caller's own array of handles is not counted.
 *
 * The floor is what the kernel takes to hand out one fresh page a thread, and to take them back:
 * no thread with a stack of its own can do with less. It is measured in the same process after
 * the threads are gone and the runtime, if there is one, has given its memory back. Before the
 * first round as much memory is touched and freed once, since the first touch in a virtual
 * machine may have to get the page from the host. */
#include "subject.h"
#include "workloads.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

struct capacity {
    subject_thread *threads;
    uint64_t count, started;
    uint64_t arrived, left; /* atomic */
    subject_gate gate;
    subject_sem all_here;
    double start_ms, release_ms;
    struct bench_memory memory; /* of all threads */
    const char *guard;
    int error;
};

static void *wait_at_gate(void *arg) {
    struct capacity *c = (struct capacity *)arg;
    if (__atomic_add_fetch(&c->arrived, 1, __ATOMIC_ACQ_REL) == c->count) {
        subject_sem_post(&c->all_here);
    }
    subject_gate_wait(&c->gate);
    __atomic_add_fetch(&c->left, 1, __ATOMIC_RELAXED);
    return NULL;
}

static int capacity_body(void *arg) {
    struct capacity *c = (struct capacity *)arg;
    struct bench_memory before = bench_memory_now();
    uint64_t begin = bench_now_ns();
    for (c->started = 0; c->started < c->count; c->started++) {
        c->error = subject_spawn(&c->threads[c->started], wait_at_gate, c);
        if (c->error) {
            break;
        }
    }
    if (!c->error) {
        subject_sem_wait(&c->all_here);
    }
    uint64_t middle = bench_now_ns();
    c->guard = subject_guard();
    c->memory = bench_memory_now();
    c->memory.resident_bytes -= before.resident_bytes;
    c->memory.address_bytes -= before.address_bytes;
    uint64_t release = bench_now_ns();
    subject_gate_open(&c->gate);
    for (uint64_t i = 0; i < c->started; i++) {
        subject_join(&c->threads[i]);
    }
    uint64_t end = bench_now_ns();
    c->start_ms = (double)(middle - begin) / 1e6;
    c->release_ms = (double)(end - release) / 1e6;
    return BENCH_OK;
}

/* Milliseconds to map, touch and unmap `count` fresh pages; negative without memory. */
static double touch_pages(uint64_t count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = count * page;
    uint64_t begin = bench_now_ns();
    char *p = (char *)mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return -1;
    }
    madvise(p, bytes, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < bytes; at += page) {
        *(volatile char *)(p + at) = 1;
    }
    munmap(p, bytes);
    return (double)(bench_now_ns() - begin) / 1e6;
}

static long limit_of(const char *path) {
    long n = -1;
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%ld", &n) != 1) {
            n = -1;
        }
        fclose(f);
    }
    return n;
}

static int explain(const struct capacity *c) {
    if (SUBJECT_LIMIT == 0) {
        return bench_error("only %llu of %llu threads could be started: %s",
                           (unsigned long long)c->started, (unsigned long long)c->count,
                           strerror(c->error));
    }
    struct rlimit nproc = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NPROC, &nproc);
    return bench_error("only %llu of %llu threads could be started: %s "
                       "(vm.max_map_count %ld, kernel.pid_max %ld, kernel.threads-max %ld, "
                       "RLIMIT_NPROC %lld)",
                       (unsigned long long)c->started, (unsigned long long)c->count,
                       strerror(c->error), limit_of("/proc/sys/vm/max_map_count"),
                       limit_of("/proc/sys/kernel/pid_max"),
                       limit_of("/proc/sys/kernel/threads-max"), (long long)nproc.rlim_cur);
}

/* An amount may be found to have shrunk where memory of an earlier round was kept. */
static double each(double amount, uint64_t count) {
    return amount > 0 ? amount / (double)count : 0;
}

static int one_round(struct capacity *c, const struct subject_setup *setup) {
    c->arrived = c->left = 0;
    subject_sem_init(&c->all_here, 0);
    subject_gate_init(&c->gate);
    int status = subject_run(setup, capacity_body, c);
    if (status != BENCH_OK) {
        return status;
    }
    if (c->error) {
        return explain(c);
    }
    if (c->left != c->count) {
        return bench_error("%llu of %llu threads went through the gate",
                           (unsigned long long)c->left, (unsigned long long)c->count);
    }
    double floor_ms = touch_pages(c->count), total_ms = c->start_ms + c->release_ms;
    if (floor_ms < 0) {
        return bench_error("no memory for the page floor");
    }
    bench_sample("start_ms", "ms", c->start_ms);
    bench_sample("release_ms", "ms", c->release_ms);
    bench_sample("total_ms", "ms", total_ms);
    bench_sample("bytes_per_thread", "bytes", each(c->memory.resident_bytes, c->count));
    bench_sample("address_bytes_per_thread", "bytes", each(c->memory.address_bytes, c->count));
    bench_sample("ok_threads", "count", (double)c->left);
    bench_sample("page_floor_ms", "ms", floor_ms);
    bench_sample("page_floor_ratio", "ratio", total_ms / floor_ms);
    return BENCH_OK;
}

static int capacity_run(void) {
    struct capacity c;
    memset((void *)&c, 0, sizeof(c));
    c.count = bench_value("threads");
    c.threads = (subject_thread *)bench_array(c.count, sizeof(*c.threads));
    struct subject_setup setup = {(unsigned)bench_value("workers"), bench_value("stack-size"),
                                  false};
    int status = BENCH_OK;
    touch_pages(c.count);
    for (uint64_t i = 0; i < bench_value("samples") && status == BENCH_OK; i++) {
        status = one_round(&c, &setup);
    }
    if (status == BENCH_OK) {
        bench_note("guard", "stacks are guarded by: %s", c.guard);
    }
    if (status == BENCH_OK && SUBJECT_LIMIT > 0) {
        bench_note("memory", "kernel stacks (about 16 KiB a thread) are not in bytes_per_thread");
    }
    free(c.threads);
    return status;
}

const struct bench_experiment bench_capacity = {
    "capacity",
    true,
    capacity_run,
    {{"threads", 100000, 1, 100000000, NULL},
     {"stack-size", 0, 0, 1u << 30, NULL},
     {"workers", 0, 0, 1024, NULL},
     {"samples", 1, 1, 1000, NULL},
     {NULL, 0, 0, 0, NULL}},
};
