/* SPDX-License-Identifier: MIT */
/* The allocators that pool.c measures, of which the build chooses one: heddle's pools, its
 * hd_alloc() (BENCH_POOL_CLASSES), or malloc() of whatever library the program is linked with. */
#ifndef HEDDLE_BENCH_SUBJECT_POOL_H
#define HEDDLE_BENCH_SUBJECT_POOL_H

#ifdef BENCH_POOL_CLASSES

#define BENCH_POOL_EXPERIMENT bench_alloc
#define BENCH_POOL_NAME "alloc"
typedef size_t subject_pool;

static inline int subject_pool_open(subject_pool *size, size_t bytes) {
    *size = bytes;
    return BENCH_OK;
}

static inline void *subject_pool_take(subject_pool size) {
    return hd_alloc(size);
}

static inline void subject_pool_give(subject_pool size, void *object) {
    (void)size;
    hd_free(object);
}

static inline void subject_pool_close(subject_pool size) {
    (void)size;
}

#elif defined(BENCH_HEDDLE)

#define BENCH_POOL_EXPERIMENT bench_pool
#define BENCH_POOL_NAME "pool"
typedef hd_pool *subject_pool;

static inline int subject_pool_open(subject_pool *pool, size_t bytes) {
    int error = hd_pool_create(pool, HD_POOL_ATTR(.object_size = bytes, .align = 16));
    return error ? bench_error("hd_pool_create: %s", hd_strerror(error)) : BENCH_OK;
}

static inline void *subject_pool_take(subject_pool pool) {
    return hd_pool_alloc(pool);
}

static inline void subject_pool_give(subject_pool pool, void *object) {
    hd_pool_free(pool, object);
}

static inline void subject_pool_close(subject_pool pool) {
    hd_pool_destroy(pool);
}

#else

#define BENCH_POOL_EXPERIMENT bench_pool
#define BENCH_POOL_NAME "pool"
typedef size_t subject_pool;

/* Whether malloc() is the library's that the program was built for: peers/malloc.c. The C library
 * needs no test. */
#ifdef BENCH_MALLOC
int subject_pool_check(void);
#else
static inline int subject_pool_check(void) {
    return BENCH_OK;
}
#endif

static inline int subject_pool_open(subject_pool *size, size_t bytes) {
    *size = bytes;
    return subject_pool_check();
}

static inline void *subject_pool_take(subject_pool size) {
    return malloc(size);
}

static inline void subject_pool_give(subject_pool size, void *object) {
    (void)size;
    free(object);
}

static inline void subject_pool_close(subject_pool size) {
    (void)size;
}

#endif
#endif
