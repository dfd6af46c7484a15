/* SPDX-License-Identifier: MIT */
/* fork() while others are in the middle of everything: allocating from pools and from the C
 * library, giving memory back, being preempted. The parent goes on; the child, which may execute a
 * program or exit, can; and if it calls the library it is told, and does not wait for a lock that
 * nobody will give back. */
#include "preempt_test.h"

static _Atomic bool stop;
static hd_pool *pool;

static void *take_and_give(void *arg) {
    void *kept[32] = {NULL};
    for (unsigned i = 0; !atomic_load(&stop); i = (i + 1) % 32) {
        hd_pool_free(pool, kept[i]);
        kept[i] = hd_pool_alloc(pool);
        CHECK(kept[i] != NULL);
    }
    for (unsigned i = 0; i < 32; i++)
        hd_pool_free(pool, kept[i]);
    return arg;
}

/* What one takes another gives back. */
static void *give_elsewhere(void *arg) {
    hd_chan *c = arg;
    void *object;
    while (hd_chan_recv(c, &object) == 0)
        hd_pool_free(pool, object);
    return NULL;
}

static void *take_for_others(void *arg) {
    hd_chan *c = arg;
    while (!atomic_load(&stop)) {
        void *object = hd_pool_alloc(pool);
        CHECK_OK(hd_chan_send(c, &object));
    }
    hd_chan_close(c);
    return NULL;
}

static void *allocate(void *arg) {
    for (size_t i = 1; !atomic_load(&stop); i = (i * 7 + 13) % 3000 + 1) {
        char *a = malloc(i), *b = hd_alloc(i);
        a[0] = b[0] = 1;
        free(a);
        hd_free(b);
    }
    return arg;
}

static void *trim(void *arg) {
    while (!atomic_load(&stop)) {
        (void)hd_trim();
        (void)hd_pool_trim(pool);
        hd_yield();
    }
    return arg;
}

static void *nothing(void *arg) {
    return arg;
}

static void *spawn_often(void *arg) {
    while (!atomic_load(&stop))
        join(spawn(nothing, NULL));
    return arg;
}

/* ---- the children ---- */

static int end_of(pid_t pid) {
    int status = 0;
    CHECK(pid > 0);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    return status;
}

static void call_in_child(int which) {
    alarm(20); /* ends one that hangs */
    close(2);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (which == 0)
        (void)hd_pool_alloc(pool);
    else if (which == 1)
        (void)hd_trim();
    else
        hd_free(hd_alloc(100));
    _exit(0);
}

static void fork_some(void) {
    for (int i = 0; i < 12; i++) {
        pid_t pid = fork();
        if (pid == 0 && i % 4 == 3) {
            execlp("true", "true", (char *)NULL);
            _exit(126);
        }
        if (pid == 0)
            call_in_child(i % 4);
        int status = end_of(pid);
        if (i % 4 == 3)
            CHECK_MSG(status == 0, "the program's status is %x", (unsigned)status);
        else
            CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
                      "call %d: the child's status is %x", i % 4, (unsigned)status);
    }
}

static void *fork_there(void *arg) {
    fork_some();
    return arg;
}

static int fork_among_all(void *arg) {
    hd_thread *t[8], *forker[2];
    hd_chan *c;
    (void)arg;
    atomic_store(&stop, false);
    CHECK_OK(hd_pool_create(&pool, HD_POOL_ATTR(.object_size = 64)));
    CHECK((c = hd_chan_create(sizeof(void *), 16)) != NULL);
    for (int i = 0; i < 2; i++)
        t[i] = spawn(take_and_give, NULL);
    t[2] = spawn(take_for_others, c);
    t[3] = spawn(give_elsewhere, c);
    t[4] = spawn(allocate, NULL);
    t[5] = spawn(allocate, NULL);
    t[6] = spawn(trim, NULL);
    t[7] = spawn(spawn_often, NULL);
    pthread_t others[2] = {foreign(take_and_give, NULL), foreign(allocate, NULL)};
    for (int i = 0; i < 2; i++)
        forker[i] = spawn(fork_there, NULL);
    pthread_t foreign_forker = foreign(fork_there, NULL);
    for (int i = 0; i < 2; i++)
        join(forker[i]);
    CHECK_OK(hd_blocking((hd_fn)(void *)foreign_join, (void *)foreign_forker, NULL));
    atomic_store(&stop, true);
    for (int i = 0; i < 8; i++)
        join(t[i]);
    for (int i = 0; i < 2; i++)
        CHECK_OK(hd_blocking((hd_fn)(void *)foreign_join, (void *)others[i], NULL));
    hd_chan_destroy(c);
    hd_pool_destroy(pool);
    return 0;
}

TEST_WITHIN(children_end_among_all_that_allocates, 120) {
    if (TEST_TSAN || TEST_ASAN)
        SKIP("fork() takes the sanitizers' own locks, which a preempted thread may hold");
    CHECK_OK(hd_run(QUICK(.workers = 1), fork_among_all, NULL));
    CHECK_OK(hd_run(QUICK(.workers = 2), fork_among_all, NULL));
}
