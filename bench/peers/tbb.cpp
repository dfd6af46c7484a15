/* SPDX-License-Identifier: MIT */
/* heddle-bench-tbb: oneTBB. Its tasks are no threads: they have no stack of their own and cannot
 * wait for anything but other tasks. So only the work that needs no more than that is here:
 *
 *   spawn     a task_group of one task and a wait, or of `count` tasks and a wait
 *   forkjoin  fib: one child is run, the other computed inline, then a wait, as a call has it;
 *             skynet: a tree of ten tasks a node
 *
 * The same trees, the same checks as in ../spawn.c and ../forkjoin.c. */
#include "bench.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <vector>

namespace one = oneapi::tbb; /* the library makes an alias tbb itself, here and there */

namespace {

unsigned workers_asked() {
    unsigned n = static_cast<unsigned>(bench_value("workers"));
    return n ? n : bench_cpus();
}

/* Runs body() with `workers` threads in all, the caller among them. */
template <typename Body> int with_workers(const Body &body) {
    one::global_control limit(one::global_control::max_allowed_parallelism, workers_asked());
    one::task_arena arena(static_cast<int>(workers_asked()));
    int status = BENCH_CANNOT;
    arena.execute([&] { status = body(); });
    return status;
}

double one_at_a_time(uint64_t n) {
    uint32_t ran = 0;
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < n; i++) {
        one::task_group group;
        group.run([&ran] { ++ran; });
        group.wait();
    }
    double ns = static_cast<double>(bench_now_ns() - begin) / static_cast<double>(n);
    if (ran != static_cast<uint32_t>(n)) {
        bench_error("%u of %llu tasks ran", ran, static_cast<unsigned long long>(n));
    }
    return ns;
}

double in_batches(uint64_t n) {
    uint64_t count = bench_value("count"), rounds = n / count ? n / count : 1, ran = 0;
    std::vector<uint32_t> cells(count);
    uint64_t begin = bench_now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        one::task_group group;
        for (uint64_t k = 0; k < count; k++) {
            uint32_t *cell = &cells[k];
            group.run([cell] { ++*cell; });
        }
        group.wait();
    }
    double ns = static_cast<double>(bench_now_ns() - begin) / static_cast<double>(rounds * count);
    for (uint32_t cell : cells) {
        ran += cell;
    }
    if (ran != rounds * count) {
        bench_error("%llu of %llu tasks ran", static_cast<unsigned long long>(ran),
                    static_cast<unsigned long long>(rounds * count));
    }
    return ns;
}

int spawn_body() {
    uint64_t n = bench_value("iterations");
    one_at_a_time(n / 10 + 1);
    in_batches(n / 10 + 1);
    for (uint64_t i = 0; i < bench_value("samples"); i++) {
        bench_sample("single_ns", "ns", one_at_a_time(n));
        bench_sample("batch_ns", "ns", in_batches(n));
    }
    bench_note("tasks", "tasks, not threads: no stack of their own, they cannot wait");
    return BENCH_OK;
}

int spawn_run() {
    return with_workers(spawn_body);
}

uint64_t fib(uint64_t n) {
    if (n < 2) {
        return n;
    }
    uint64_t child, other;
    one::task_group group;
    group.run([&child, n] { child = fib(n - 1); });
    other = fib(n - 2);
    group.wait();
    return child + other;
}

constexpr unsigned branches = 10;

uint64_t skynet(uint64_t first, uint64_t leaves) {
    if (leaves == 1) {
        return first;
    }
    uint64_t each = leaves / branches, results[branches], sum = 0;
    one::task_group group;
    for (unsigned i = 0; i < branches; i++) {
        uint64_t *result = &results[i], from = first + i * each;
        group.run([result, from, each] { *result = skynet(from, each); });
    }
    group.wait();
    for (uint64_t result : results) {
        sum += result;
    }
    return sum;
}

uint64_t fib_value(uint64_t n) {
    uint64_t a = 0, b = 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

int forkjoin_body() {
    bool is_fib = bench_value("work") == 0;
    uint64_t n = bench_value("n"), leaves = bench_value("leaves");
    uint64_t expected = is_fib ? fib_value(n) : leaves * (leaves - 1) / 2;
    for (uint64_t i = 0; i < bench_value("samples") + 1; i++) {
        uint64_t begin = bench_now_ns();
        uint64_t result = is_fib ? fib(n) : skynet(0, leaves);
        double ms = static_cast<double>(bench_now_ns() - begin) / 1e6;
        if (result != expected) {
            return bench_error("wrong result: %llu instead of %llu",
                               static_cast<unsigned long long>(result),
                               static_cast<unsigned long long>(expected));
        }
        if (i > 0) { /* the first round warms up */
            bench_sample(is_fib ? "fib_ms" : "skynet_ms", "ms", ms);
        }
    }
    bench_note("tasks", "tasks, not threads: no stack of their own, they cannot wait");
    return BENCH_OK;
}

int forkjoin_run() {
    uint64_t leaves = bench_value("leaves");
    while (leaves % branches == 0) {
        leaves /= branches;
    }
    if (bench_value("work") == 1 && leaves != 1) {
        return bench_error("skynet needs a power of ten as its number of leaves");
    }
    return with_workers(forkjoin_body);
}

const bench_experiment spawn = {
    "spawn",
    true,
    spawn_run,
    {{"workers", 1, 1, 1024, nullptr},
     {"count", 1000, 1, 1000000, nullptr},
     {"iterations", 1000000, 1, 4000000000u, nullptr},
     {"samples", 5, 1, 1000, nullptr},
     {nullptr, 0, 0, 0, nullptr}},
};

const bench_experiment forkjoin = {
    "forkjoin",
    true,
    forkjoin_run,
    {{"work", 0, 0, 1, "fib skynet"},
     {"n", 32, 0, 60, nullptr},
     {"leaves", 1000000, 1, 100000000, nullptr},
     {"workers", 1, 0, 1024, nullptr},
     {"samples", 5, 1, 1000, nullptr},
     {nullptr, 0, 0, 0, nullptr}},
};

const bench_experiment *const experiments[] = {&spawn, &forkjoin, nullptr};

} // namespace

int main(int argc, char **argv) {
    return bench_main(argc, argv, experiments);
}
