// SPDX-License-Identifier: MIT
// C++ exceptions that threads handle, or that are in flight, while they wait: each thread's own.
// A program of its own that prints TAP, since the other tests are C.
#include <heddle/heddle.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

enum { THREADS = 200, ROUNDS = 10, SLEEP_NS = 20000 };
std::atomic<int> wrong;

struct WaitsWhenDestroyed {
    int before = std::uncaught_exceptions();
    ~WaitsWhenDestroyed() {
        hd_yield();
        hd_sleep_for(SLEEP_NS);
        wrong += std::uncaught_exceptions() != before + 1;
    }
};

void check(const std::exception &e, const std::string &mine) {
    wrong += mine != e.what();
}

void throw_and_wait(const std::string &mine) {
    try {
        WaitsWhenDestroyed w;
        throw std::runtime_error(mine);
    } catch (const std::exception &e) {
        hd_yield();
        hd_sleep_for(SLEEP_NS);
        check(e, mine);
        try {
            throw; // what the runtime thinks is being handled
        } catch (const std::exception &again) {
            check(again, mine);
        }
    }
}

void *handle(void *number) {
    const std::string mine = std::to_string(reinterpret_cast<intptr_t>(number));
    for (int i = 0; i < ROUNDS; i++) {
        throw_and_wait(mine);
        wrong += std::current_exception() != nullptr;
    }
    return nullptr;
}

int body(void *) {
    hd_thread *threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) {
        wrong += hd_spawn(&threads[i], nullptr, handle, reinterpret_cast<void *>(i)) != 0;
    }
    for (auto t : threads) {
        wrong += hd_join(t, nullptr) != 0;
    }
    return 0;
}

} // namespace

int main() {
    const unsigned workers[] = {1, 2, 4};
    int failed = 0, test = 0;
    std::printf("1..3\n");
    for (unsigned n : workers) {
        hd_config config{};
        config.size = sizeof config;
        config.workers = n;
        wrong = 0;
        const bool ok = hd_run(&config, body, nullptr) == 0 && wrong == 0;
        failed += !ok;
        std::printf("%sok %d - exceptions_stay_with_their_threads_on_%u_workers\n",
                    ok ? "" : "not ", ++test, n);
    }
    return failed != 0;
}
