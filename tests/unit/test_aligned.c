/* SPDX-License-Identifier: MIT */
/* Cache lines: the macros, prefetching, aligned memory. */
#include "runtime_test.h"

struct pair {
    char before;
    HD_CACHE_ALIGNED char first;
    HD_CACHE_ALIGNED char second;
};

struct HD_CACHE_ALIGNED alone {
    int value;
};

_Static_assert(HD_CACHE_ROUND_UP(0) == 0 && HD_CACHE_ROUND_UP(1) == HD_CACHE_LINE &&
                   HD_CACHE_ROUND_UP(HD_CACHE_LINE) == HD_CACHE_LINE &&
                   HD_CACHE_ROUND_UP(HD_CACHE_LINE + 1) == 2 * HD_CACHE_LINE,
               "rounds up to whole lines");

TEST(members_are_lines_apart) {
    static struct alone many[3];
    CHECK_EQ(offsetof(struct pair, first) % HD_CACHE_LINE, 0);
    CHECK_GE(offsetof(struct pair, second) - offsetof(struct pair, first), HD_CACHE_LINE);
    CHECK_EQ(sizeof(struct pair) % HD_CACHE_LINE, 0);
    CHECK_EQ(sizeof(struct alone), HD_CACHE_LINE);
    CHECK_EQ((uintptr_t)&many[1] % HD_CACHE_LINE, 0);
}

TEST(a_large_number_is_rounded_without_being_cut) {
    uint64_t large = ((uint64_t)1 << 40) + 1;
    CHECK_EQ(HD_CACHE_ROUND_UP(large), ((uint64_t)1 << 40) + HD_CACHE_LINE);
}

TEST(prefetching_any_address_is_harmless) {
    int value = 7;
    const void *addresses[] = {&value, NULL, (void *)UINTPTR_MAX, (char *)&value + 1};
    for (unsigned i = 0; i < 4; i++) {
        hd_prefetch_read(addresses[i]);
        hd_prefetch_write(addresses[i]);
        hd_prefetch_once(addresses[i]);
    }
    CHECK_EQ(value, 7);
}

TEST(memory_is_aligned_and_ends_with_a_line) {
    struct test_rng rng = test_rng(1);
    for (size_t align = 1; align <= 65536; align *= 2) {
        size_t least = align < HD_CACHE_LINE ? HD_CACHE_LINE : align;
        for (int i = 0; i < 20; i++) {
            size_t count = (size_t)test_rng_below(&rng, 5);
            size_t size = (size_t)test_rng_below(&rng, 300);
            size_t bytes = count * size;
            unsigned char *p = hd_aligned_alloc(align, count, size);
            CHECK(p != NULL);
            CHECK_EQ((uintptr_t)p % least, 0);
            memset(p, i, bytes > 0 ? (bytes + least - 1) / least * least : least);
            hd_aligned_free(p);
        }
    }
    hd_aligned_free(NULL);
}

TEST(sizes_that_overflow_are_refused) {
    CHECK_EQ(hd_aligned_alloc(64, SIZE_MAX, 2), NULL);
    CHECK_EQ(hd_aligned_alloc(64, SIZE_MAX / 2, 3), NULL);
    CHECK_EQ(hd_aligned_alloc(64, 1, SIZE_MAX), NULL);
    CHECK_EQ(hd_aligned_alloc(64, 1, SIZE_MAX - 63), NULL);
    CHECK_EQ(hd_aligned_alloc(64, 1, PTRDIFF_MAX), NULL);
    CHECK_EQ(hd_aligned_alloc((size_t)1 << 63, 1, (size_t)1 << 63), NULL);
}

static void ask_for_three(void *arg) {
    (void)arg;
    hd_aligned_alloc(3, 1, 1);
}

static void ask_for_zero(void *arg) {
    (void)arg;
    hd_aligned_alloc(0, 1, 1);
}

TEST(no_alignment_but_a_power_of_two) {
    check_fatal("hd_aligned_alloc: the alignment 3 is not a power of two", ask_for_three, NULL);
    check_fatal("hd_aligned_alloc: the alignment 0 is not a power of two", ask_for_zero, NULL);
}
