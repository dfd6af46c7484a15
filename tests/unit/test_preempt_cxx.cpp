// SPDX-License-Identifier: MIT
// Light threads that compute in handlers of C++ exceptions, and in destructors while one is thrown,
// on a kernel thread for which another one waits, and which so cannot be held: they are switched
// away from, and what the C++ runtime keeps of their exceptions goes with them.
// A program of its own that prints TAP, since the other tests are C.
#include <heddle/heddle.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#endif

namespace {

enum { THREADS = 4, ROUNDS = 10 };
std::atomic<int> wrong;
std::atomic<uint64_t> steps;
std::atomic<bool> stop;

uint64_t light_preemptions() {
    hd_metrics m{};
    m.size = sizeof m;
    wrong += hd_metrics_get(&m) != 0;
    return m.preempted_light;
}

// The one below: it goes on when another one is preempted, and only then.
void *count_steps(void *) {
    while (!stop) {
        steps++;
    }
    return nullptr;
}

void spin_until_preempted() {
    const uint64_t before = steps;
    while (steps == before) {
    }
}

struct ComputesWhenDestroyed {
    ~ComputesWhenDestroyed() {
        spin_until_preempted();
        wrong += std::uncaught_exceptions() != 1;
    }
};

void check(const std::exception &e, const std::string &mine) {
    wrong += mine != e.what();
}

void throw_and_compute(const std::string &mine) {
    try {
        ComputesWhenDestroyed c;
        throw std::runtime_error(mine);
    } catch (const std::exception &e) {
        spin_until_preempted();
        check(e, mine);
        try {
            throw; // what the runtime thinks is being handled
        } catch (const std::exception &again) {
            spin_until_preempted();
            check(again, mine);
        }
    }
}

void *compute(void *number) {
    const std::string mine = std::to_string(reinterpret_cast<intptr_t>(number));
    for (int i = 0; i < ROUNDS; i++) {
        throw_and_compute(mine);
        wrong += std::current_exception() != nullptr;
    }
    return nullptr;
}

int body(void *) {
    hd_thread *below, *threads[THREADS];
    const uint64_t before = light_preemptions();
    wrong += hd_spawn(&below, nullptr, count_steps, nullptr) != 0;
    while (light_preemptions() == before) {
        hd_yield();
    }
    for (intptr_t i = 0; i < THREADS; i++) {
        wrong += hd_spawn(&threads[i], nullptr, compute, reinterpret_cast<void *>(i)) != 0;
    }
    for (auto t : threads) {
        wrong += hd_join(t, nullptr) != 0;
    }
    stop = true;
    wrong += hd_join(below, nullptr) != 0;
    return 0;
}

} // namespace

int main() {
    const char *name = "light_threads_are_preempted_in_handlers";
    hd_config config{};
    std::printf("1..1\n");
#ifdef TSAN
    std::printf("ok 1 - %s # SKIP ThreadSanitizer has them preempted the default way\n", name);
    return 0;
#endif
    config.size = sizeof config;
    config.workers = 1;
    config.slice_us = 100;
    config.preempt = HD_PREEMPT_LIGHT;
    const bool ok = hd_run(&config, body, nullptr) == 0 && wrong == 0;
    std::printf("%sok 1 - %s\n", ok ? "" : "not ", name);
    return !ok;
}
