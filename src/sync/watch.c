/* SPDX-License-Identifier: MIT */
/* Locks that are watched: names, ranks, counts, and the report.
 *
 * Idea. A lock without attributes pays nothing for all this: one that has some has a flag in its
 * state word, or a pointer, that keeps it off the short paths.
 *
 * Ranks. Each party keeps a list of the locks with ranks that it holds, in the order in which it
 * took them. Whoever takes a lock looks for one of an equal or higher rank in it. Two threads that
 * each wait for what the other holds have taken two locks in different orders; with ranks that is
 * seen at the first wrong order, not at the first bad moment. A try is not checked, since it does
 * not wait, but counts as held. Without memory for the list a lock is not noted: the check may then
 * miss something, and never complains wrongly.
 *
 * The list of all records is guarded by `all.lock`, under which nothing else is taken. */
#include "sync/watch.h"

#include "base/atomic.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/mem.h"
#include "sched/dispatch.h"

#include <errno.h>
#include <string.h>

enum { RANK_MAX = 65535, HELD_MAX = 30 };

static struct {
    hd__spin lock;
    struct hd__watch *head;
    size_t count;
} all;

const void *const hd__watch_list = &all.head;

/* What a party holds; its own. */
struct held {
    unsigned count;
    struct hd__watch *one[HELD_MAX];
};

static __thread struct held foreign_held __attribute__((tls_model("initial-exec")));

/* A foreign kernel thread stays what it is, so the address may be kept. */
static HD__NOINLINE struct held *held_foreign(void) {
    return &foreign_held;
}

static struct held *my_held(bool make) {
    struct hd__worker *w = hd__worker_get();
    if (!w) return held_foreign();
    hd_thread *t = current_of(w);
    struct hd__thread_side *side = hd__thread_side(t);
    if (!side->held && make) {
        atomic_fetch_or_explicit(&t->flags, HD__THREAD_TUNED, memory_order_relaxed);
        side->held = hd__os_calloc(1, sizeof(struct held));
    }
    return side->held;
}

/* ---- Life ---- */

static bool ranks_are_checked(void) {
#ifdef HD_DEBUG
    return true;
#else
    const char *text = hd__os_env_text("HEDDLE_LOCK_CHECK");
    return text && strcmp(text, "1") == 0;
#endif
}

int hd__watch_make(struct hd__watch **out, const struct hd_lock_attr *attr, unsigned allowed,
                   const char *kind, const void *lock) {
    if (attr->rank > RANK_MAX || (attr->flags & ~allowed)) return -EINVAL;
    unsigned rank = ranks_are_checked() ? attr->rank : 0;
    unsigned flags = attr->flags & (HD_LOCK_COUNT | HD_LOCK_INHERIT);
    if (!rank && !flags) return 0;
    hd__sched_enter();
    struct hd__watch *w = hd__os_calloc(1, sizeof *w);
    if (w) {
        w->kind = kind;
        w->lock = lock;
        w->rank = rank;
        w->flags = flags;
        hd__format(w->name, sizeof w->name, "%s", attr->name ? attr->name : "");
        hd__spin_lock(&all.lock);
        w->next = all.head;
        if (w->next) w->next->prev = w;
        all.head = w;
        all.count++;
        hd__spin_unlock(&all.lock);
    }
    hd__sched_leave();
    *out = w;
    return w ? 0 : -ENOMEM;
}

void hd__watch_free(struct hd__watch *w) {
    if (!w) return;
    hd__sched_enter();
    hd__spin_lock(&all.lock);
    if (w->prev)
        w->prev->next = w->next;
    else
        all.head = w->next;
    if (w->next) w->next->prev = w->prev;
    all.count--;
    hd__spin_unlock(&all.lock);
    hd__os_free(w);
    hd__sched_leave();
}

const char *hd__watch_text(char text[HD__WATCH_TEXT], const char *kind, const void *lock,
                           const struct hd__watch *w) {
    const char *name = w ? w->name : "";
    hd__format(text, HD__WATCH_TEXT, "%s %p%s%s%s", kind, lock, *name ? " '" : "", name,
               *name ? "'" : "");
    return text;
}

const char *hd__watch_name_of(const void *lock) {
    const char *name = "";
    hd__spin_lock(&all.lock);
    for (const struct hd__watch *w = all.head; w; w = w->next)
        if (w->lock == lock) name = w->name;
    hd__spin_unlock(&all.lock);
    return name;
}

/* ---- Ranks ---- */

static HD__COLD _Noreturn void die_rank(struct hd__watch *w, struct hd__watch *held,
                                        const char *call) {
    char wanted[HD__WATCH_TEXT], had[HD__WATCH_TEXT], caller[HD__LOOK_TEXT];
    hd__fatal("%s: %s of rank %u is wanted by %s, which holds %s of rank %u; take locks in the "
              "order of their ranks, the lowest first", call,
              hd__watch_text(wanted, w->kind, w->lock, w), w->rank,
              hd__look_text(caller, hd__look_token()),
              hd__watch_text(had, held->kind, held->lock, held), held->rank);
}

void hd__watch_check(struct hd__watch *w, const char *call) {
    struct held *held = w->rank ? my_held(false) : NULL;
    for (unsigned i = 0; held && i < held->count; i++)
        if (held->one[i]->rank >= w->rank) die_rank(w, held->one[i], call);
}

void hd__watch_check_again(struct hd__watch *w, const char *call) {
    struct held *held = w->rank ? my_held(false) : NULL;
    for (unsigned i = 0; held && i < held->count; i++)
        if (held->one[i] != w && held->one[i]->rank >= w->rank) die_rank(w, held->one[i], call);
}

static void note_held(struct hd__watch *w) {
    struct held *held = w->rank ? my_held(true) : NULL;
    if (held && held->count < HELD_MAX) held->one[held->count++] = w;
}

void hd__watch_giving(struct hd__watch *w) {
    struct held *held = w->rank ? my_held(false) : NULL;
    for (unsigned i = held ? held->count : 0; i-- > 0;) {
        if (held->one[i] != w) continue;
        held->count--;
        for (; i < held->count; i++) held->one[i] = held->one[i + 1];
        return;
    }
}

void hd__watch_retaken(struct hd__watch *w) {
    note_held(w);
}

/* ---- Counts ---- */

static inline void add(_Atomic uint64_t *counter, uint64_t n) {
    if (n) atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void note_wait(struct hd__watch *w, const struct hd__watch_wait *wait) {
    if (!wait->since_ns) return;
    uint64_t ns = hd__os_now_ns() - wait->since_ns, longest = hd__load_relaxed(&w->longest_ns);
    add(&w->waited_ns, ns);
    add(&w->parked, wait->parked);
    while (ns > longest && !atomic_compare_exchange_weak_explicit(
                               &w->longest_ns, &longest, ns, memory_order_relaxed,
                               memory_order_relaxed)) {
    }
}

void hd__watch_taken(struct hd__watch *w, const struct hd__watch_wait *wait) {
    note_held(w);
    if (!(w->flags & HD_LOCK_COUNT)) return;
    add(wait->since_ns ? &w->slow : &w->fast, 1);
    if (wait->since_ns && !wait->parked) add(&w->spun, 1);
    note_wait(w, wait);
}

void hd__watch_failed(struct hd__watch *w, const struct hd__watch_wait *wait) {
    if (!(w->flags & HD_LOCK_COUNT)) return;
    add(&w->failed, 1);
    note_wait(w, wait);
}

/* ---- The report ---- */

static void counts_of(struct hd_lock_counts *out, const struct hd__watch *w) {
    out->size = sizeof *out;
    memcpy(out->name, w->name, sizeof out->name);
    out->lock = w->lock;
    out->fast = hd__load_relaxed(&w->fast);
    out->slow = hd__load_relaxed(&w->slow);
    out->spun = hd__load_relaxed(&w->spun);
    out->parked = hd__load_relaxed(&w->parked);
    out->failed = hd__load_relaxed(&w->failed);
    out->waited_ns = hd__load_relaxed(&w->waited_ns);
    out->longest_ns = hd__load_relaxed(&w->longest_ns);
}

/* Keeps the n that waited longest so far, in order. */
static void put_in_order(struct hd_lock_counts *list, size_t *used, size_t n,
                         const struct hd_lock_counts *one) {
    size_t at = *used;
    while (at > 0 && list[at - 1].waited_ns < one->waited_ns) at--;
    if (at >= n) return;
    size_t last = *used < n ? (*used)++ : n - 1;
    memmove(&list[at + 1], &list[at], (last - at) * sizeof *list);
    list[at] = *one;
}

int hd_lock_counts_get(struct hd_lock_counts *out, size_t n) {
    const size_t least = offsetof(struct hd_lock_counts, longest_ns) + sizeof out->longest_ns;
    HD__CHECK(n == 0 || out != NULL, "hd_lock_counts_get: out is NULL");
    size_t size = n ? out->size : sizeof *out, used = 0;
    int counted = 0;
    if (size < least || size > 4096) return -EINVAL;
    if (n > INT32_MAX / sizeof *out) n = INT32_MAX / sizeof *out;
    hd__sched_enter();
    struct hd_lock_counts one, *list = n ? hd__os_calloc(n, sizeof *list) : NULL;
    if (n && !list) {
        hd__sched_leave();
        return -ENOMEM;
    }
    hd__spin_lock(&all.lock);
    for (const struct hd__watch *w = all.head; w; w = w->next) {
        if (!(w->flags & HD_LOCK_COUNT)) continue;
        counts_of(&one, w);
        put_in_order(list, &used, n, &one);
        counted++;
    }
    hd__spin_unlock(&all.lock);
    for (size_t i = 0; i < used; i++) {
        char *to = (char *)out + i * size;
        memset(to, 0, size);
        memcpy(to, &list[i], size < sizeof *list ? size : sizeof *list);
        memcpy(to, &size, sizeof size);
    }
    hd__os_free(list);
    hd__sched_leave();
    return counted;
}
