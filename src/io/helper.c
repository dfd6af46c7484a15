/* SPDX-License-Identifier: MIT */
/* Helper threads: kernel threads that do what can only be done by waiting in the kernel.
 *
 * They are started when there is more to do than helpers without work, up to HELPERS_MAX, and end
 * after IDLE_NS without work. The queue is first in, first out. A job that nobody could be started
 * for is done by the thread itself: its worker is then kept from others as by any system call.
 *
 * The pool's lock guards the queue and the counts. It comes after an operation's lock. A helper
 * that finds nothing to do reads the bell under the pool's lock before it sleeps on it, and who
 * queues a job rings under the same lock after: so one of the two sees the other. */
#include <errno.h>

#include "base/atomic.h"
#include "io/io.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/iocall.h"
#include "os/kthread.h"
#include "os/mem.h"

#include <string.h>

enum { HELPERS_MAX = 16 };
static const uint64_t IDLE_NS = 5000000000;

struct helper {
    struct hd__os_kthread kthread;
    struct helper *next;     /* in `running` or `ended` */
    struct hd__io_job *job;  /* what it is at; guarded by the pool's lock */
};

static struct {
    hd__spin lock;
    struct hd__io_job *head, *tail; /* queued; link: next */
    unsigned queued, helpers, idle;
    bool closing;
    struct helper *running, *ended; /* link: next; those that ended are to be joined */
    _Atomic uint32_t bell;          /* changes when there is something to do */
} pool;

/* ---- Helpers; with the pool's lock held unless said otherwise ---- */

static struct hd__io_job *pop(void) {
    struct hd__io_job *job = pool.head;
    if (!job) return NULL;
    pool.head = job->next;
    if (!pool.head) pool.tail = NULL;
    pool.queued--;
    return job;
}

/* Waits for something to do; NULL: the helper is to end. Releases the lock meanwhile. */
static struct hd__io_job *next_job(void) {
    uint64_t until_ns = hd__os_now_ns() + IDLE_NS;
    for (;;) {
        struct hd__io_job *job = pop();
        if (job || pool.closing) return job;
        uint32_t seen = hd__load_relaxed(&pool.bell);
        pool.idle++;
        hd__spin_unlock(&pool.lock);
        int err = hd__os_futex_wait(&pool.bell, seen, until_ns);
        hd__spin_lock(&pool.lock);
        pool.idle--;
        if (err == -ETIMEDOUT && !pool.head) return NULL;
    }
}

/* Without the lock. Whoever waits for the job, or left it, learns that it is done. */
static void finish_job(struct hd__io_job *job, ssize_t result) {
    void (*release)(struct hd__io_job *) = job->release;
    hd__spin_lock(&job->op.lock);
    bool left = job->left;
    hd_thread *party = job->op.wait.party;
    job->op.result = result;
    job->op.done = true;
    bool claimed = !left && hd__wait_claim(&job->op.wait);
    hd__spin_unlock(&job->op.lock);
    atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    if (claimed)
        hd__wait_wake_party(party);
    else if (left)
        release(job);
}

static void unlink_running(struct helper *h) {
    struct helper **link = &pool.running;
    while (*link != h) link = &(*link)->next;
    *link = h->next;
}

static void helper_main(void *arg) {
    struct helper *h = arg;
    struct hd__io_job *job;
    hd__spin_lock(&pool.lock);
    while ((job = next_job()) != NULL) {
        hd__spin_unlock(&pool.lock);
        finish_job(job, job->fn(job));
        hd__spin_lock(&pool.lock);
    }
    unlink_running(h);
    pool.helpers--;
    atomic_fetch_sub_explicit(&hd__poller.kthreads, 1, memory_order_relaxed);
    h->next = pool.ended;
    pool.ended = h;
    hd__spin_unlock(&pool.lock);
}

/* By threads outside of the gate: who has a spinlock must not be preempted, nor who takes memory,
 * which is guarded by one. */
static void lock_outside(void) {
    (void)hd__sched_enter();
    hd__spin_lock(&pool.lock);
}

static void unlock_outside(void) {
    hd__spin_unlock(&pool.lock);
    hd__sched_leave();
}

static void free_helper(struct helper *h) {
    (void)hd__sched_enter();
    hd__os_free(h);
    hd__sched_leave();
}

/* Outside, without the lock. */
static void join_ended(void) {
    lock_outside();
    struct helper *h = pool.ended;
    pool.ended = NULL;
    unlock_outside();
    while (h) {
        struct helper *next = h->next;
        hd__os_kthread_join(&h->kthread);
        free_helper(h);
        h = next;
    }
}

/* Starts a helper if those without work do not suffice for one job more. False: nobody will do
 * that job. Outside, without the lock. */
static bool staff(void) {
    join_ended();
    lock_outside();
    bool more = pool.idle <= pool.queued && pool.helpers < HELPERS_MAX;
    bool some = pool.helpers > 0;
    struct helper *h = more ? hd__os_calloc(1, sizeof *h) : NULL;
    if (h) {
        pool.helpers++;
        h->next = pool.running;
        pool.running = h;
        atomic_fetch_add_explicit(&hd__poller.kthreads, 1, memory_order_relaxed);
    }
    unlock_outside();
    if (!h) return some;
    if (hd__os_kthread_create("heddle/io", helper_main, h, &h->kthread) == 0) return true;
    lock_outside();
    atomic_fetch_sub_explicit(&hd__poller.kthreads, 1, memory_order_relaxed);
    unlink_running(h);
    some = --pool.helpers > 0;
    unlock_outside();
    free_helper(h);
    return some;
}

/* ---- Jobs ---- */

static void enqueue(struct hd__io_job *job) {
    job->next = NULL;
    hd__spin_lock(&pool.lock);
    if (pool.tail)
        pool.tail->next = job;
    else
        pool.head = job;
    pool.tail = job;
    pool.queued++;
    atomic_fetch_add_explicit(&pool.bell, 1, memory_order_relaxed);
    hd__spin_unlock(&pool.lock);
    hd__os_futex_wake(&pool.bell, 1);
}

/* False: a helper has it, or had it. */
static bool take_back(struct hd__io_job *job) {
    struct hd__io_job *before = NULL, *j;
    hd__spin_lock(&pool.lock);
    for (j = pool.head; j && j != job; j = j->next) before = j;
    if (j) {
        if (before)
            before->next = j->next;
        else
            pool.head = j->next;
        if (pool.tail == j) pool.tail = before;
        pool.queued--;
    }
    hd__spin_unlock(&pool.lock);
    return j != NULL;
}

static void wait_on(struct hd__io_op *op) {
    (void)op; /* there is no way to stop a helper */
}

ssize_t hd__io_help(struct hd__worker *w, struct hd__io_job *job, uint64_t deadline_ns,
                    const char *what, const void *site, bool *left) {
    HD__IO_COUNT(w, helped);
    hd__io_op_init(&job->op, NULL, what, site);
    job->left = false;
    *left = false;
    /* Outside of the gate: starting kernel threads takes locks of the C library, which a preempted
     * thread may hold, and the call itself may block. */
    hd__sched_leave();
    bool staffed = staff();
    ssize_t result = staffed ? 0 : job->fn(job);
    (void)hd__sched_enter();
    if (!staffed) return result;
    atomic_fetch_add_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
    hd__spin_lock(&job->op.lock);
    enqueue(job);
    int err = hd__wait_park(&job->op.wait, &job->op.lock, deadline_ns, 0);
    if (err == 0) return job->op.result;
    /* The end of the wait may have come before its beginning has let go of the lock, which is on
     * our stack. */
    hd__spin_lock(&job->op.lock);
    hd__spin_unlock(&job->op.lock);
    if (take_back(job)) {
        atomic_fetch_sub_explicit(&hd__poller.in_flight, 1, memory_order_relaxed);
        return err;
    }
    if (job->release) {
        hd__spin_lock(&job->op.lock);
        *left = job->left = !job->op.done;
        hd__spin_unlock(&job->op.lock);
        if (*left) return err;
    }
    return hd__io_op_end(&job->op, err, wait_on);
}

struct call_job {
    struct hd__io_job job;
    const struct hd__io_call *call;
};

static ssize_t make_call(struct hd__io_job *job) {
    return hd__io_plain(hd__container_of(job, struct call_job, job)->call);
}

/* Opening may wait for ever (a FIFO that nobody else opens), so it can be left behind. */
struct open_job {
    struct hd__io_job job;
    struct hd__io_call call;
    char path[];
};

static ssize_t open_file(struct hd__io_job *job) {
    return hd__io_plain(&hd__container_of(job, struct open_job, job)->call);
}

static void release_open(struct hd__io_job *job) {
    if (job->op.result >= 0) (void)hd__os_close((int)job->op.result);
    hd__os_free(hd__container_of(job, struct open_job, job));
}

static ssize_t help_open(const struct hd__io_call *c) {
    bool left;
    size_t bytes = strlen(c->buf) + 1;
    struct open_job *j = hd__os_calloc(1, sizeof *j + bytes);
    if (!j) return -ENOMEM;
    j->job.fn = open_file;
    j->job.release = release_open;
    j->call = *c;
    j->call.buf = memcpy(j->path, c->buf, bytes);
    ssize_t r = hd__io_help(hd__worker_get(), &j->job, c->deadline_ns, hd__io_what(c->kind),
                            c->site, &left);
    if (!left) hd__os_free(j);
    return r;
}

ssize_t hd__io_help_call(const struct hd__io_call *c) {
    if (c->kind == HD__IO_OPENAT) return help_open(c);
    struct call_job j = {.job = {.fn = make_call}, .call = c};
    bool left;
    uint64_t deadline_ns = c->kind == HD__IO_CLOSE ? HD_FOREVER : c->deadline_ns;
    return hd__io_help(hd__worker_get(), &j.job, deadline_ns, hd__io_what(c->kind), c->site,
                       &left);
}

/* ---- The end ---- */

/* What is queued is done before: its buffers are still there, and somebody may rely on it. */
void hd__io_help_finish(void) {
    hd__spin_lock(&pool.lock);
    pool.closing = true;
    atomic_fetch_add_explicit(&pool.bell, 1, memory_order_relaxed);
    hd__spin_unlock(&pool.lock);
    hd__os_futex_wake(&pool.bell, UINT32_MAX);
    for (;;) {
        join_ended();
        hd__spin_lock(&pool.lock);
        bool more = pool.helpers > 0 || pool.ended;
        hd__spin_unlock(&pool.lock);
        if (!more) break;
        hd__os_sleep_until(hd__os_now_ns() + 200 * 1000);
    }
    pool.closing = false;
}
