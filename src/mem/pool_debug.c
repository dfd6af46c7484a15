/* SPDX-License-Identifier: MIT */
/* Pools that check themselves. No caches: each call goes to the slabs, and a note beside each slab
 * says of each slot whether it is in use, and who took it and gave it back last. Addresses that the
 * program hands in are looked up, not trusted.
 *
 * A free object is filled with FREED, and must still be when it is taken again or the pool is
 * destroyed; slots are taken again as late as their slab allows. Behind each object lie at least
 * HD__POOL_RED_BYTES of RED that must be there when it is freed. A fresh one is filled with FRESH,
 * which no pointer and no likely number is. Objects of a pool with init are made anew each time.
 *
 * Messages are put together outside the gate: finding the name of a function takes a lock of the
 * dynamic linker, which a preempted thread may hold. */
#include "mem/pool.h"

#include <errno.h>

#include "base/check.h"
#include "os/cpu.h"
#include "os/kthread.h"
#include "os/mem.h"
#include "os/process.h"
#include "os/symbol.h"

enum { FREED = 0xdf, RED = 0xfd, FRESH = 0xa5, LEAKS_SHOWN = 8, WHO_TEXT = 200 };

enum state { NEVER, USED, FREEING, FREE };

/* Who did something, and where. */
struct who {
    uint64_t id;      /* of the thread; foreign: the kernel's number */
    const void *site;
    bool foreign;
    char name[HD_NAME_MAX + 1];
};

struct hd__pool_note {
    enum state state; /* slab_lock; the rest as well */
    struct who took, gave;
};

static size_t notes_bytes(const hd_pool *pool) {
    return HD__ROUND_UP(pool->per_slab * sizeof(struct hd__pool_note), hd__os_page_size());
}

int hd__pool_debug_slab(hd_pool *pool, struct hd__slab_head *slab) {
    slab->notes = hd__os_map(notes_bytes(pool));
    return slab->notes == NULL ? -ENOMEM : 0;
}

void hd__pool_debug_slab_gone(hd_pool *pool, struct hd__pool_note *notes) {
    if (notes != NULL) hd__os_unmap(notes, notes_bytes(pool));
}

/* ---- Who ---- */

static struct who caller(const void *site) {
    struct who who = {.site = site};
    struct hd__worker *w = hd__sched_enter();
    hd_thread *t = w ? atomic_load_explicit(&w->current, memory_order_relaxed) : NULL;
    if (t != NULL) {
        who.id = t->id;
        strncpy(who.name, hd_thread_name(t), HD_NAME_MAX);
    }
    hd__sched_leave();
    if (t == NULL) {
        who.foreign = true;
        who.id = (uint64_t)hd__os_gettid();
        hd__os_kthread_name(who.name, sizeof who.name);
    }
    return who;
}

/* "thread 7 'parser' in parse_line+0x3f (./program)" */
static const char *say(const struct who *who, char *buf) {
    struct hd__os_symbol s;
    size_t n = hd__format(buf, WHO_TEXT, "%sthread %llu '%s'", who->foreign ? "kernel " : "",
                          (unsigned long long)who->id, who->name);
    if (n >= WHO_TEXT || !who->site) return buf;
    if (hd__os_symbol_find((const char *)who->site - 1, &s))
        hd__format(buf + n, WHO_TEXT - n, " in %s+0x%zx (%s)", s.name ? s.name : "",
                   s.name ? s.offset : s.file_offset, s.file);
    else
        hd__format(buf + n, WHO_TEXT - n, " at %p", who->site);
    return buf;
}

static _Noreturn void complain(const hd_pool *pool, const void *object, const char *what,
                               const struct hd__pool_note *note, const struct who *now) {
    char took[WHO_TEXT], gave[WHO_TEXT], here[WHO_TEXT];
    hd__fatal("pool '%s': object %p %s; taken by %s%s%s; found by %s", pool->name, object, what,
              say(&note->took, took), note->state == USED ? "" : ", freed by ",
              note->state == USED ? "" : say(&note->gave, gave), say(now, here));
}

/* ---- What memory must hold ---- */

/* The first byte that is not `value`; NULL: all are. */
static const unsigned char *differs(const void *p, size_t n, unsigned char value) {
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++)
        if (at[i] != value) return &at[i];
    return NULL;
}

static void check_freed(const hd_pool *pool, const void *object, const struct hd__pool_note *note,
                        const struct who *now) {
    char what[80];
    const unsigned char *bad = differs(object, pool->stride, FREED);
    if (bad == NULL) return;
    hd__format(what, sizeof what, "was written to after it was freed (byte %zu)",
               (size_t)(bad - (const unsigned char *)object));
    complain(pool, object, what, note, now);
}

static void check_red(const hd_pool *pool, void *object, const struct hd__pool_note *note,
                      const struct who *now) {
    char what[80];
    const unsigned char *red = (unsigned char *)object + pool->object_size;
    const unsigned char *bad = differs(red, pool->stride - pool->object_size, RED);
    if (bad == NULL) return;
    hd__format(what, sizeof what, "of %zu bytes was written to past its end (byte %zu)",
               pool->object_size, (size_t)(bad - (const unsigned char *)object));
    complain(pool, object, what, note, now);
}

/* ---- Notes ---- */

static struct hd__pool_note *note_of(hd_pool *pool, const void *object) {
    struct hd__slab_head *slab = hd__slab_of(pool, object);
    size_t at = (size_t)((const char *)object - (const char *)slab) - pool->first;
    return &slab->notes[at / pool->stride];
}

/* Changes the state of a slot that the caller has for itself; returns what stood there. */
static struct hd__pool_note mark(hd_pool *pool, void *object, enum state state,
                                 const struct who *who) {
    hd__sched_enter();
    hd__spin_lock(&pool->slab_lock);
    struct hd__pool_note *note = note_of(pool, object), before = *note;
    note->state = state;
    *(state == USED ? &note->took : &note->gave) = *who;
    hd__spin_unlock(&pool->slab_lock);
    hd__sched_leave();
    return before;
}

static void give_back(hd_pool *pool, void *object, const struct who *me) {
    memset(object, FREED, pool->stride);
    (void)mark(pool, object, FREE, me);
    hd__sched_enter();
    hd__slab_give(pool, object);
    hd__sched_leave();
}

/* ---- Taking and giving ---- */

HD__NOINLINE void *hd__pool_debug_alloc(hd_pool *pool, const void *site) {
    struct who me = caller(site);
    void *object;
    hd__sched_enter();
    unsigned n = hd__slab_take(pool, hd__pool_node(pool), &object, 1);
    hd__sched_leave();
    if (n == 0) {
        atomic_fetch_add_explicit(&pool->failed, 1, memory_order_relaxed);
        return NULL;
    }
    struct hd__pool_note before = mark(pool, object, USED, &me);
    if (before.state == FREE) check_freed(pool, object, &before, &me);
    memset(object, FRESH, pool->object_size);
    memset((char *)object + pool->object_size, RED, pool->stride - pool->object_size);
    if (pool->init != NULL && pool->init(object, pool->arg) != 0) {
        give_back(pool, object, &me);
        atomic_fetch_add_explicit(&pool->failed, 1, memory_order_relaxed);
        return NULL;
    }
    return object;
}

struct search {
    const void *object;
    char name[HD_POOL_NAME_MAX + 1];
};

static bool holds(hd_pool *pool, void *arg) {
    struct search *s = arg;
    uint32_t slot;
    hd__spin_lock(&pool->slab_lock);
    bool found = hd__slab_find(pool, s->object, &slot) != NULL;
    hd__spin_unlock(&pool->slab_lock);
    if (found) memcpy(s->name, pool->name, sizeof s->name);
    return found;
}

static _Noreturn void foreign_object(const hd_pool *pool, const void *object,
                                     const struct who *me) {
    struct search s = {.object = object};
    char here[WHO_TEXT];
    hd__sched_enter();
    bool found = hd__pools_each(holds, &s);
    hd__sched_leave();
    if (found)
        hd__fatal("pool '%s': %p is not its own to free, but lies in pool '%s'; freed by %s",
                  pool ? pool->name : "", object, s.name, say(me, here));
    hd__fatal("pool '%s': %p is no object of any pool; freed by %s", pool ? pool->name : "", object,
              say(me, here));
}

/* Finds the note and, if the object is in use, claims it for a free. Returns what stood there. */
static struct hd__pool_note claim(hd_pool *pool, void *object, const struct who *me, bool *mine) {
    struct hd__pool_note before = {.state = NEVER};
    uint32_t slot = 0;
    hd__sched_enter();
    hd__spin_lock(&pool->slab_lock);
    struct hd__slab_head *slab = hd__slab_find(pool, object, &slot);
    *mine = slab != NULL && slot < pool->per_slab && hd__slab_object(pool, slab, slot) == object;
    if (*mine) {
        struct hd__pool_note *note = &slab->notes[slot];
        before = *note;
        if (note->state == USED) {
            note->state = FREEING;
            note->gave = *me;
        }
    }
    hd__spin_unlock(&pool->slab_lock);
    hd__sched_leave();
    return before;
}

HD__NOINLINE void hd__pool_debug_free(hd_pool *pool, void *object, const void *site) {
    struct who me = caller(site);
    bool mine;
    if (pool == NULL) foreign_object(pool, object, &me);
    struct hd__pool_note before = claim(pool, object, &me, &mine);
    if (!mine) {
        struct search s = {.object = object};
        hd__sched_enter();
        bool inside = holds(pool, &s);
        hd__sched_leave();
        if (!inside) foreign_object(pool, object, &me);
        char here[WHO_TEXT];
        hd__fatal("pool '%s': %p is not where an object begins; freed by %s", pool->name, object,
                  say(&me, here));
    }
    if (before.state != USED)
        complain(pool, object, before.state == NEVER ? "was never taken" : "is free already",
                 &before, &me);
    check_red(pool, object, &before, &me);
    if (pool->fini != NULL) pool->fini(object, pool->arg);
    give_back(pool, object, &me);
}

/* ---- What is left ---- */

struct leaks {
    size_t count, shown;
    struct {
        void *object;
        struct who took;
    } first[LEAKS_SHOWN];
    void *written;          /* a free object that somebody wrote to */
    struct hd__pool_note note;
};

static void look_at_slab(hd_pool *pool, struct hd__slab_head *slab, struct leaks *l) {
    for (uint32_t i = 0; i < pool->per_slab; i++) {
        struct hd__pool_note *note = &slab->notes[i];
        void *object = hd__slab_object(pool, slab, i);
        if (note->state == FREE && differs(object, pool->stride, FREED) != NULL) {
            l->written = object;
            l->note = *note;
        }
        if (note->state != USED) continue;
        if (l->shown < LEAKS_SHOWN) {
            l->first[l->shown].object = object;
            l->first[l->shown++].took = note->took;
        }
        l->count++;
    }
}

static void look_at_list(hd_pool *pool, struct hd__list *list, struct leaks *l) {
    struct hd__link *link = hd__list_first(list);
    for (; link != NULL; link = hd__list_next(list, link))
        look_at_slab(pool, hd__container_of(link, struct hd__slab_head, link), l);
}

size_t hd__pool_debug_leaks(hd_pool *pool) {
    struct leaks l = {.count = 0};
    char text[WHO_TEXT];
    hd__sched_enter();
    hd__spin_lock(&pool->slab_lock);
    for (unsigned node = 0; node < pool->nodes; node++) {
        look_at_list(pool, &pool->slabs[node], &l);
        look_at_list(pool, &pool->spent[node], &l);
    }
    hd__spin_unlock(&pool->slab_lock);
    hd__sched_leave();
    if (l.written != NULL) {
        struct who me = caller(__builtin_return_address(0));
        check_freed(pool, l.written, &l.note, &me);
    }
    for (size_t i = 0; i < l.shown; i++)
        hd__print_fd2("heddle: pool '%s': object %p of %zu bytes was not freed; taken by %s\n",
                      pool->name, l.first[i].object, pool->object_size,
                      say(&l.first[i].took, text));
    if (l.count > l.shown)
        hd__print_fd2("heddle: pool '%s': %zu more objects were not freed\n", pool->name,
                      l.count - l.shown);
    return l.count;
}

struct nth {
    unsigned n;
    hd_pool *pool;
};

static bool is_nth(hd_pool *pool, void *arg) {
    struct nth *nth = arg;
    nth->pool = pool;
    return nth->n-- == 0;
}

static void report_all(void) {
    for (unsigned n = 0;; n++) {
        struct nth nth = {.n = n};
        hd__sched_enter();
        bool found = hd__pools_each(is_nth, &nth);
        hd__sched_leave();
        if (!found) break;
        if (nth.pool->debug) (void)hd__pool_debug_leaks(nth.pool);
    }
}

void hd__pool_debug_at_exit(void) {
    static _Atomic bool done;
    if (!atomic_exchange_explicit(&done, true, memory_order_relaxed))
        (void)hd__os_at_exit(report_all);
}
