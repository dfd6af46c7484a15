/* SPDX-License-Identifier: MIT */
/* What the locks do about a caller's bug: one line that names the lock, the threads and the call,
 * and the end of the process. Each case runs in a process of its own. */
#include "runtime_test.h"

static hd_mutex mutex;

static void *lock_mutex(void *arg) {
    hd_mutex_lock(arg);
    return NULL;
}
static void *unlock_mutex(void *arg) {
    hd_mutex_unlock(arg);
    return NULL;
}

static void run_thread(const char *name, hd_fn fn, void *arg) {
    hd_thread *t;
    CHECK_OK(hd_spawn(&t, HD_ATTR(.name = name), fn, arg));
    join(t);
}

/* ---- mutex ---- */

static void lock_own(void) {
    hd_mutex_lock(&mutex);
    hd_mutex_lock(&mutex);
}
static void lock_own_until(void) {
    hd_mutex_lock(&mutex);
    hd_mutex_lock_until(&mutex, hd_now_ns() + MS);
}
static void lock_own_outside(void) {
    foreign_join(foreign(lock_mutex, &mutex));
    foreign_join(foreign(unlock_mutex, &mutex)); /* another one */
}
static void unlock_others(void) {
    hd_mutex_lock(&mutex);
    run_thread("stranger", unlock_mutex, &mutex);
}
static void unlock_foreign(void) {
    foreign_join(foreign(lock_mutex, &mutex));
    run_thread("stranger", unlock_mutex, &mutex);
}
static void *lock_as_janitor(void *arg) {
    CHECK_EQ(pthread_setname_np(pthread_self(), "janitor"), 0);
    hd_mutex_lock(arg);
    return NULL;
}
static void *unlock_as_visitor(void *arg) {
    CHECK_EQ(pthread_setname_np(pthread_self(), "visitor"), 0);
    hd_mutex_lock(&(hd_mutex)HD_MUTEX_INIT); /* so it has a number */
    hd_mutex_unlock(arg);
    return NULL;
}
static void unlock_named(void) {
    foreign_join(foreign(lock_as_janitor, &mutex));
    foreign_join(foreign(unlock_as_visitor, &mutex));
}
static void unlock_twice(void) {
    hd_mutex_lock(&mutex);
    hd_mutex_unlock(&mutex);
    hd_mutex_unlock(&mutex);
}
static void wait_without(void) {
    hd_cond c = HD_COND_INIT;
    hd_cond_wait(&c, &mutex);
}
static void wait_with_others(void) {
    hd_cond c = HD_COND_INIT;
    run_thread("owner", lock_mutex, &mutex);
    hd_cond_wait(&c, &mutex);
}

/* ---- rwlock ---- */

static hd_rwlock rwlock;

static void *lock_write(void *arg) {
    hd_rwlock_wrlock(arg);
    return NULL;
}
static void *unlock_write(void *arg) {
    hd_rwlock_wrunlock(arg);
    return NULL;
}

static void unlock_free_read(void) {
    hd_rwlock_rdunlock(&rwlock);
}
static void unlock_free_write(void) {
    hd_rwlock_wrunlock(&rwlock);
}
static void unlock_read_as_write(void) {
    hd_rwlock_rdlock(&rwlock);
    hd_rwlock_wrunlock(&rwlock);
}
static void unlock_write_as_read(void) {
    hd_rwlock_wrlock(&rwlock);
    hd_rwlock_rdunlock(&rwlock);
}
static void unlock_others_write(void) {
    run_thread("writer", lock_write, &rwlock);
    run_thread("stranger", unlock_write, &rwlock);
}
static void write_twice(void) {
    hd_rwlock_wrlock(&rwlock);
    hd_rwlock_wrlock(&rwlock);
}
static void read_own_write(void) {
    hd_rwlock_wrlock(&rwlock);
    hd_rwlock_rdlock_until(&rwlock, HD_FOREVER);
}
static void give_back_too_often(void) {
    CHECK_OK(hd_rwlock_init(&rwlock, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY)));
    hd_rwlock_rdlock(&rwlock);
    hd_rwlock_rdunlock(&rwlock);
    hd_rwlock_rdunlock(&rwlock);
    hd_rwlock_wrlock(&rwlock);
}

/* ---- ends, ranks ---- */

static void finish_locked(void) {
    CHECK_OK(hd_mutex_init(&mutex, HD_LOCK_ATTR(.name = "diary", .flags = HD_LOCK_COUNT)));
    hd_mutex_lock(&mutex);
    hd_mutex_finish(&mutex);
}
static void finish_read(void) {
    CHECK_OK(hd_rwlock_init(&rwlock, HD_LOCK_ATTR(.flags = HD_LOCK_READ_MOSTLY)));
    hd_rwlock_rdlock(&rwlock);
    hd_rwlock_finish(&rwlock);
}
static void finish_written(void) {
    CHECK_OK(hd_rwlock_init(&rwlock, NULL));
    hd_rwlock_wrlock(&rwlock);
    hd_rwlock_finish(&rwlock);
}

static hd_mutex low, high;

static void make_ranks(void) {
    setenv("HEDDLE_LOCK_CHECK", "1", 1);
    CHECK_OK(hd_mutex_init(&low, HD_LOCK_ATTR(.name = "low", .rank = 3)));
    CHECK_OK(hd_mutex_init(&high, HD_LOCK_ATTR(.name = "high", .rank = 8)));
    CHECK_OK(hd_rwlock_init(&rwlock, HD_LOCK_ATTR(.name = "between", .rank = 5)));
}
static void *invert_ranks(void *arg) {
    hd_mutex_lock(&high);
    hd_mutex_lock(&low);
    return arg;
}
static void rank_inversion(void) {
    make_ranks();
    run_thread("upside-down", invert_ranks, NULL);
}
static void *wait_with_a_higher_one(void *arg) {
    static hd_cond cond = HD_COND_INIT;
    hd_mutex_lock(&low);
    hd_mutex_lock(&high);
    hd_cond_wait(&cond, &low);
    return arg;
}
static void rank_inversion_by_a_condition(void) {
    make_ranks();
    run_thread("waiter", wait_with_a_higher_one, NULL);
}
static void rank_inversion_outside(void) {
    make_ranks();
    foreign_join(foreign(invert_ranks, NULL));
}
static void rank_inversion_of_readers(void) {
    make_ranks();
    hd_rwlock_rdlock(&rwlock);
    hd_mutex_lock_until(&low, HD_FOREVER);
}
static void rank_inversion_by_a_writer(void) {
    make_ranks();
    hd_mutex_lock(&high);
    hd_rwlock_wrlock(&rwlock);
}
static void rank_equal(void) {
    hd_mutex other;
    make_ranks();
    CHECK_OK(hd_mutex_init(&other, HD_LOCK_ATTR(.rank = 3)));
    hd_mutex_lock(&low);
    hd_mutex_lock(&other);
}
static void watched_misuse(void) {
    make_ranks();
    hd_mutex_lock(&low);
    run_thread("stranger", unlock_mutex, &low);
}
static void inherit_recursion(void) {
    CHECK_OK(hd_mutex_init(&mutex, HD_LOCK_ATTR(.name = "pi", .flags = HD_LOCK_INHERIT)));
    hd_mutex_lock(&mutex);
    hd_mutex_lock(&mutex);
}
static void inherit_stranger(void) {
    CHECK_OK(hd_mutex_init(&mutex, HD_LOCK_ATTR(.name = "pi", .flags = HD_LOCK_INHERIT)));
    hd_mutex_unlock(&mutex);
}
static void end_as_owner(void) {
    CHECK_OK(hd_mutex_init(&mutex, HD_LOCK_ATTR(.name = "pi", .flags = HD_LOCK_INHERIT)));
    run_thread("heir", lock_mutex, &mutex);
}
static void init_nothing(void) {
    hd_mutex_init(NULL, NULL);
}

struct misuse {
    const char *text, *more;
    void (*body)(void);
};

static int run_body(void *arg) {
    const struct misuse *m = arg;
    m->body();
    return 0;
}

static void run_case(void *arg) {
    hd_run(HD_CONFIG(.workers = 1), run_body, arg); /* so their numbers are known */
}

static void check_cases(struct misuse *cases, size_t n) {
    struct child *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    for (size_t i = 0; i < n; i++) {
        test_note("case %zu: %s", i, cases[i].text);
        child_run(c, run_case, &cases[i]);
        child_check_fatal(c, cases[i].text);
        CHECK_STR_HAS(c->out, cases[i].more);
    }
    free(c);
}

TEST(mutex) {
    static struct misuse cases[] = {
        {"hd_mutex_lock: mutex 0x", "locked already by thread 1 'main', the caller", lock_own},
        {"hd_mutex_lock: mutex 0x", "not recursive", lock_own_until},
        {"locked by foreign kernel thread 0", "and a kernel thread without a number gives it back",
         lock_own_outside},
        {"hd_mutex_unlock: mutex 0x", "locked by thread 1, and thread 2 'stranger' gives it back",
         unlock_others},
        {"locked by foreign kernel thread 0", "and thread 2 'stranger' gives it back",
         unlock_foreign},
        {"locked by foreign kernel thread 0 'janitor'",
         "and foreign kernel thread 1 'visitor' gives it back", unlock_named},
        {"hd_mutex_unlock: mutex 0x", "not locked, and thread 1 'main' gives it back",
         unlock_twice},
        {"hd_cond_wait: mutex 0x", "not locked, and thread 1 'main'", wait_without},
        {"hd_cond_wait: mutex 0x", "locked by thread 2, and thread 1 'main'", wait_with_others},
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

TEST(rwlock) {
    static struct misuse cases[] = {
        {"hd_rwlock_rdunlock: rwlock 0x", "not locked for reading", unlock_free_read},
        {"hd_rwlock_wrunlock: rwlock 0x", "not locked for writing, and thread 1 'main'",
         unlock_free_write},
        {"hd_rwlock_wrunlock: rwlock 0x", "not locked for writing", unlock_read_as_write},
        {"hd_rwlock_rdunlock: rwlock 0x", "not locked for reading", unlock_write_as_read},
        {"locked for writing by thread 2", "and thread 3 'stranger' gives it back",
         unlock_others_write},
        {"hd_rwlock_wrlock: rwlock 0x", "by thread 1 'main', the caller", write_twice},
        {"hd_rwlock_rdlock_until: rwlock 0x", "by thread 1 'main', the caller", read_own_write},
        {"hd_rwlock_rdunlock: rwlock 0x", "more often than it was taken", give_back_too_often},
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

TEST(ends_and_attributes) {
    static struct misuse cases[] = {
        {"hd_mutex_finish: mutex 0x", "'diary' is locked by thread 1 'main', and thread 1 'main'",
         finish_locked},
        {"hd_rwlock_finish: rwlock 0x", "is locked for reading, and thread 1 'main'", finish_read},
        {"hd_rwlock_finish: rwlock 0x", "is locked for writing", finish_written},
        {"hd_mutex_unlock: mutex 0x", "'low' is locked by thread 1, and thread 2 'stranger'",
         watched_misuse},
        {"hd_mutex_lock: mutex 0x", "'pi' is locked already by thread 1 'main'", inherit_recursion},
        {"hd_mutex_unlock: mutex 0x", "'pi' is not locked", inherit_stranger},
        {"thread 2 has ended with a mutex locked", "unlock it first", end_as_owner},
        {"hd_mutex_init: the lock is NULL", "", init_nothing},
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

TEST(ranks) {
    static struct misuse cases[] = {
        {"hd_mutex_lock: mutex 0x", "'low' of rank 3 is wanted by thread 2 'upside-down', which",
         rank_inversion},
        {"which holds mutex 0x", "'high' of rank 8; take locks in the order", rank_inversion},
        {"hd_cond_wait: mutex 0x", "'high' of rank 8", rank_inversion_by_a_condition},
        {"'low' of rank 3 is wanted by foreign kernel thread", "'high' of rank 8",
         rank_inversion_outside},
        {"hd_mutex_lock_until: mutex 0x", "which holds rwlock 0x", rank_inversion_of_readers},
        {"hd_rwlock_wrlock: rwlock 0x", "'between' of rank 5", rank_inversion_by_a_writer},
        {"hd_mutex_lock: mutex 0x", "'low' of rank 3", rank_equal},
    };
    check_cases(cases, sizeof cases / sizeof cases[0]);
}

/* An owner's number is its own also after its first lock, and those of foreign threads differ. */
static void *lock_again_and_again(void *arg) {
    for (int i = 0; i < 100; i++) {
        hd_mutex_lock(arg);
        hd_mutex_unlock(arg);
        if (!hd_mutex_trylock(arg)) continue;
        hd_mutex_unlock(arg);
    }
    return NULL;
}

TEST(owners_are_told_apart_before_between_and_after_runtimes) {
    hd_mutex kept = HD_MUTEX_INIT;
    hd_mutex_lock(&kept);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hd_start(HD_CONFIG(.workers = 2)));
        hd_mutex_lock(&mutex);
        hd_thread *t = spawn(lock_again_and_again, &mutex);
        pthread_t p = foreign(lock_again_and_again, &mutex);
        hd_mutex_unlock(&mutex);
        join(t);
        foreign_join(p);
        hd_mutex_lock(&mutex);
        CHECK_OK(hd_stop());
        hd_mutex_unlock(&mutex);
    }
    CHECK(!hd_mutex_trylock(&kept));
    hd_mutex_unlock(&kept);
}
