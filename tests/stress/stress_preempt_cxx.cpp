// SPDX-License-Identifier: MIT
// C++ code that is preempted every 100 microseconds: exceptions thrown, caught, rethrown, nested,
// carried to other threads; strings, streams, containers, statics that are initialised while others
// wait for them. Prints TAP, since the other tests are C. HEDDLE_STRESS_SECONDS is how long it runs
// (2 by default, times HEDDLE_TEST_SCALE); HEDDLE_TEST_SEED repeats its random choices.
#include <heddle/heddle.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

uint64_t seed, end_ns;
std::atomic<int> wrong;
std::atomic<uint64_t> pieces, alive;

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition) && wrong++ < 10) {                                                        \
            std::printf("# %s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);            \
        }                                                                                          \
    } while (0)

using random_bits = std::mt19937_64;

void spin(uint64_t n) {
    for (volatile uint64_t i = n; i > 0; i = i - 1) {
    }
}

// Counts what lives, so that nothing is destroyed twice or never.
struct Counted {
    Counted() { alive++; }
    Counted(const Counted &) { alive++; }
    Counted &operator=(const Counted &) = default;
    ~Counted() { alive--; }
};

struct Thrown : std::runtime_error {
    Counted counted;
    uint64_t value;
    explicit Thrown(uint64_t v) : std::runtime_error("thrown " + std::to_string(v)), value(v) {}
};

// ---- pieces of work ----

struct SpinsWhenDestroyed {
    int before = std::uncaught_exceptions();
    ~SpinsWhenDestroyed() {
        spin(2000);
        EXPECT(std::uncaught_exceptions() == before + 1);
    }
};

[[noreturn]] __attribute__((noinline)) void throw_at(unsigned depth, uint64_t value) {
    std::string padding(depth * 7, 'p');
    SpinsWhenDestroyed guard;
    if (depth == 0) {
        throw Thrown(value);
    }
    throw_at(depth - 1, value);
}

void exceptions(random_bits &random) {
    const uint64_t value = random();
    bool caught = false;
    try {
        throw_at(static_cast<unsigned>(random() % 12), value);
    } catch (const Thrown &e) {
        EXPECT(e.value == value);
        EXPECT(e.what() == "thrown " + std::to_string(value));
        spin(random() % 5000);
        try {
            try {
                throw; // what is being handled: ours
            } catch (const std::exception &again) {
                EXPECT(&again == &e);
                throw std::logic_error(again.what());
            }
        } catch (const std::logic_error &other) {
            EXPECT(std::string(other.what()) == e.what());
        }
        EXPECT(std::current_exception() != nullptr);
        caught = true;
    }
    EXPECT(caught);
    EXPECT(std::current_exception() == nullptr);
    EXPECT(std::uncaught_exceptions() == 0);
}

// Handled in part when the thread waits, and goes on on another kernel thread perhaps.
void waits_in_handler(random_bits &random) {
    const uint64_t value = random();
    try {
        throw_at(3, value);
    } catch (const Thrown &e) {
        hd_yield();
        spin(random() % 3000);
        hd_sleep_for(random() % 50000);
        try {
            throw;
        } catch (const Thrown &again) {
            EXPECT(&again == &e);
            EXPECT(again.value == value);
        }
    }
    EXPECT(std::current_exception() == nullptr);
}

struct Carried {
    std::exception_ptr exception;
    uint64_t value;
};

void *catch_and_keep(void *arg) {
    auto *c = static_cast<Carried *>(arg);
    try {
        throw_at(2, c->value);
    } catch (...) {
        c->exception = std::current_exception();
        spin(3000);
    }
    return arg;
}

void across_threads(random_bits &random) {
    Carried c{nullptr, random()};
    hd_thread *t = nullptr;
    EXPECT(hd_spawn(&t, nullptr, catch_and_keep, &c) == 0);
    while (hd_join(t, nullptr) != 0) {
    }
    try {
        std::rethrow_exception(c.exception);
    } catch (const Thrown &e) {
        spin(2000);
        EXPECT(e.value == c.value);
    }
}

void strings(random_bits &random) {
    std::string all;
    uint64_t sum = 0, parsed = 0;
    for (unsigned i = 0; i < 40; i++) {
        const uint64_t n = random() % 1000000;
        sum += n;
        all += std::to_string(n) + (i % 3 ? " " : " and then a longer word than fits ");
    }
    std::istringstream in(all);
    std::string word;
    while (in >> word) {
        if (std::isdigit(static_cast<unsigned char>(word[0]))) {
            parsed += std::stoull(word);
        }
    }
    EXPECT(parsed == sum);
}

void streams(random_bits &random) {
    std::ostringstream out;
    const double x = static_cast<double>(random()) / 3;
    out.precision(17);
    out << x << ' ' << random() % 100 << std::hex << ' ' << 255 << std::endl;
    std::istringstream in(out.str());
    double y = 0;
    unsigned n = 0;
    std::string hex;
    in >> y >> n >> hex;
    EXPECT(x == y);
    EXPECT(n < 100);
    EXPECT(hex == "ff");
    in.exceptions(std::ios::failbit);
    bool failed = false;
    try {
        in >> n;
    } catch (const std::ios_base::failure &) {
        failed = true;
    }
    EXPECT(failed);
}

void containers(random_bits &random) {
    std::map<uint64_t, std::unique_ptr<Counted>> m;
    std::vector<uint64_t> v(200);
    std::generate(v.begin(), v.end(), [&] { return random() % 1000; });
    for (auto x : v) {
        m[x] = std::make_unique<Counted>();
    }
    std::sort(v.begin(), v.end());
    EXPECT(std::is_sorted(v.begin(), v.end()));
    v.erase(std::unique(v.begin(), v.end()), v.end());
    EXPECT(v.size() == m.size());
    auto s = std::make_shared<Counted>();
    std::weak_ptr<Counted> w = s;
    auto copy = s;
    s.reset();
    EXPECT(!w.expired());
    copy.reset();
    EXPECT(w.expired());
}

std::mutex lock;
uint64_t guarded_a, guarded_b;

void standard_mutex(random_bits &random) {
    std::lock_guard<std::mutex> hold(lock);
    EXPECT(guarded_a == guarded_b);
    guarded_a++;
    spin(random() % 8000);
    guarded_b++;
}

// A static of each number is initialised once, by a thread that is preempted meanwhile, while the
// others that want it block their kernel threads in the C++ library.
template <int Number> uint64_t initialised_once() {
    static const uint64_t value = [] {
        spin(400000);
        return static_cast<uint64_t>(Number) * 3;
    }();
    return value;
}

template <int... Numbers> void statics(std::integer_sequence<int, Numbers...>) {
    uint64_t sum = (initialised_once<Numbers>() + ... + 0);
    EXPECT(sum == 3 * (sizeof...(Numbers) - 1) * sizeof...(Numbers) / 2);
}

thread_local uint64_t own = 1;

void thread_locals(random_bits &random) {
    uint64_t *const where = &own;
    const uint64_t before = own;
    for (uint64_t i = 1; i < 2000 + random() % 2000; i++) {
        own++;
        EXPECT(&own == where);
        EXPECT(own == before + i);
    }
}

void (*const works[])(random_bits &) = {
    exceptions, exceptions, waits_in_handler, across_threads, strings,
    streams,    containers, standard_mutex,   thread_locals,
};

// ---- who does them ----

void *work(void *arg) {
    random_bits random(seed * 1000003 + reinterpret_cast<uintptr_t>(arg));
    statics(std::make_integer_sequence<int, 8>());
    while (hd_now_ns() < end_ns) {
        works[random() % (sizeof works / sizeof works[0])](random);
        pieces++;
    }
    return nullptr;
}

// Light threads: exceptions are not for them alone, but they must do no harm.
void *compute(void *arg) {
    auto *count = static_cast<std::atomic<uint64_t> *>(arg);
    while (hd_now_ns() < end_ns) {
        spin(100000);
        (*count)++;
    }
    return nullptr;
}

int body(void *arg) {
    const unsigned threads = *static_cast<unsigned *>(arg);
    std::vector<hd_thread *> t(threads + 2);
    std::atomic<uint64_t> computed{0};
    for (unsigned i = 0; i < threads; i++) {
        EXPECT(hd_spawn(&t[i], nullptr, work, reinterpret_cast<void *>(uintptr_t{i})) == 0);
    }
    hd_attr light{};
    light.size = sizeof light;
    light.preempt = HD_PREEMPT_LIGHT;
    for (unsigned i = threads; i < threads + 2; i++) {
        EXPECT(hd_spawn(&t[i], &light, compute, &computed) == 0);
    }
    for (auto thread : t) {
        EXPECT(hd_join(thread, nullptr) == 0);
    }
    hd_metrics m{};
    m.size = sizeof m;
    EXPECT(hd_metrics_get(&m) == 0);
    EXPECT(m.preempted_carrier > 0);
    EXPECT(m.carriers_most <= m.carriers_limit);
    std::printf("# %llu pieces of work, %llu preemptions\n",
                static_cast<unsigned long long>(pieces.load()),
                static_cast<unsigned long long>(m.preempted_carrier + m.preempted_light));
    return 0;
}

double number_from(const char *name, double otherwise) {
    const char *value = std::getenv(name);
    return value ? std::strtod(value, nullptr) : otherwise;
}

} // namespace

int main() {
    struct {
        const char *name;
        unsigned workers, carriers, threads;
    } const plans[] = {
        {"one_worker", 1, 0, 12},
        {"two_workers", 2, 0, 12},
        {"beyond_the_bound_of_kernel_threads", 2, 5, 16},
    };
    const double seconds = number_from("HEDDLE_STRESS_SECONDS",
                                       2 * number_from("HEDDLE_TEST_SCALE", 1));
    int failed = 0, test = 0;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    seed = static_cast<uint64_t>(number_from("HEDDLE_TEST_SEED", 0));
    if (seed == 0) {
        seed = hd_now_ns() % 1000000000000;
    }
    alarm(static_cast<unsigned>(seconds + 240)); // a thread is lost
    std::printf("1..3\n# seed %llu\n", static_cast<unsigned long long>(seed));
    for (const auto &plan : plans) {
        hd_config config{};
        config.size = sizeof config;
        config.workers = plan.workers;
        config.carriers_max = plan.carriers;
        config.slice_us = 100;
        config.stack_size = 128 * 1024;
        wrong = 0;
        end_ns = hd_now_ns() + static_cast<uint64_t>(seconds / 3 * 1e9);
        unsigned threads = plan.threads;
        const bool ok = hd_run(&config, body, &threads) == 0 && wrong == 0 && alive == 0 &&
                        guarded_a == guarded_b;
        failed += !ok;
        std::printf("%sok %d - %s\n", ok ? "" : "not ", ++test, plan.name);
        if (!ok) {
            std::printf("# repeat with: HEDDLE_TEST_SEED=%llu\n",
                        static_cast<unsigned long long>(seed));
        }
    }
    return failed != 0;
}
