/* SPDX-License-Identifier: MIT */
/* Heddle's threads over time; green.h. */
#include "probe/green.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/native.h"
#include "text.h"

enum {
    GROUPS_MAX = 1024,
    THREADS_MAX = 2048, /* one by one */
    STACKS_MAX = 256,
    CARRIERS_MAX = 1024,
};

static const uint64_t look_ns = 50 * 1000 * 1000;      /* between two looks, at least */
static const uint64_t seek_most_ns = 2000 * 1000 * 1000; /* between two searches, at most */

struct probe_green {
    pid_t pid;
    struct probe_stacks *stacks;
    struct probe_heddle *heddle; /* NULL: none so far */
    struct probe_native *native;
    struct probe_green_view v;
    uint64_t next_ns, pause_ns;
    unsigned unwound;
    char *why;
    pid_t carrier[CARRIERS_MAX];
    size_t carriers;
};

struct probe_green *probe_green_new(pid_t pid, struct probe_stacks *stacks) {
    struct probe_green *g = lab_alloc(1, sizeof *g);
    g->pid = pid;
    g->stacks = stacks;
    g->v.all = true;
    return g;
}

static void free_view(struct probe_green_view *v) {
    for (size_t i = 0; i < v->groups; i++) {
        free(v->group[i].what);
        free(v->group[i].object);
        free(v->group[i].site);
        free(v->group[i].fn);
    }
    for (size_t i = 0; i < v->threads; i++) {
        free(v->thread[i].name);
        free(v->thread[i].fn);
        free(v->thread[i].last);
    }
    free(v->group);
    free(v->thread);
    *v = (struct probe_green_view){.all = true};
}

void probe_green_forget(struct probe_green *g) {
    probe_heddle_close(g->heddle);
    probe_native_close(g->native);
    g->heddle = NULL;
    g->native = NULL;
    g->next_ns = g->pause_ns = 0;
    g->unwound = 0;
    g->carriers = 0;
    free(g->why);
    g->why = NULL;
    free_view(&g->v);
}

void probe_green_free(struct probe_green *g) {
    if (!g)
        return;
    probe_green_forget(g);
    free(g);
}

/* ---- what was seen ---- */

static char *name_of(struct probe_green *g, uint64_t address, bool data) {
    if (!address)
        return NULL;
    return g->native ? probe_native_name(g->native, address, data)
                     : lab_format("0x%llx", (unsigned long long)address);
}

/* Of the object that a thread waits for: the name that the program gave it, or its variable. */
static char *object_name(struct probe_green *g, const struct probe_heddle_thread *t) {
    if (t->object_name)
        return lab_format("'%s'", t->object_name);
    char *name = t->object ? name_of(g, t->object, true) : NULL;
    if (name && !strchr(name, '(')) { /* in memory without a name of its own */
        free(name);
        name = NULL;
    }
    return name;
}

static struct probe_green_group *group_of(struct probe_green *g,
                                          const struct probe_heddle_group *seen) {
    struct probe_green_view *v = &g->v;
    for (size_t i = 0; i < v->groups; i++) {
        struct probe_green_group *one = &v->group[i];
        if (one->state == seen->state && one->site_address == seen->site &&
            one->fn_address == seen->fn &&
            strcmp(one->what ? one->what : "", seen->what ? seen->what : "") == 0)
            return one;
    }
    if (v->groups == GROUPS_MAX)
        return NULL;
    v->group = lab_grow_one(v->group, v->groups, sizeof *v->group);
    struct probe_green_group *new = &v->group[v->groups++];
    *new = (struct probe_green_group){.state = seen->state,
                                      .what = seen->what ? lab_copy(seen->what) : NULL,
                                      .site_address = seen->site,
                                      .fn_address = seen->fn,
                                      .site = name_of(g, seen->site, false),
                                      .fn = name_of(g, seen->fn, false)};
    return new;
}

/* Whether all of a group wait for the same. */
static bool same_object(const struct probe_heddle_view *seen, const struct probe_heddle_group *s) {
    uint64_t object = seen->thread[s->example].object;
    for (size_t i = 0; i < seen->count; i++) {
        const struct probe_heddle_thread *t = &seen->thread[i];
        if (t->state == s->state && t->site == s->site && t->fn == s->fn && t->what == s->what &&
            t->object != object)
            return false;
    }
    return true;
}

static void add_groups(struct probe_green *g, const struct probe_heddle_view *seen) {
    size_t count;
    struct probe_heddle_group *list = probe_heddle_groups(seen, &count);
    for (size_t i = 0; i < g->v.groups; i++)
        g->v.group[i].last = 0;
    for (size_t i = 0; i < count; i++) {
        struct probe_green_group *one = group_of(g, &list[i]);
        const struct probe_heddle_thread *t = &seen->thread[list[i].example];
        if (!one)
            continue;
        bool fresh = one->sum == 0;
        one->sum += list[i].count;
        one->last = list[i].count;
        one->most = one->last > one->most ? one->last : one->most;
        if (fresh && t->object && same_object(seen, &list[i])) {
            one->object = object_name(g, t);
            one->object_address = t->object;
        }
        bool parked = t->state == PROBE_HEDDLE_WAITS || t->state == PROBE_HEDDLE_READY;
        if (fresh && parked && g->native && g->unwound++ < STACKS_MAX)
            one->stack = probe_native_parked(g->native, t->sp, t->pc, t->fp, g->stacks);
    }
    free(list);
}

static char *doing(struct probe_green *g, const struct probe_heddle_thread *t) {
    if (t->state != PROBE_HEDDLE_WAITS)
        return lab_copy(probe_heddle_word(t->state));
    char *object = object_name(g, t);
    char *text = t->owner ? lab_format("waits for %s%s%s, which thread %llu has",
                                       t->what ? t->what : "something", object ? " " : "",
                                       object ? object : "", (unsigned long long)t->owner)
                          : lab_format("waits for %s%s%s", t->what ? t->what : "something",
                                       object ? " " : "", object ? object : "");
    free(object);
    return text;
}

static void add_threads(struct probe_green *g, const struct probe_heddle_view *seen) {
    struct probe_green_view *v = &g->v;
    for (size_t i = 0; i < v->threads; i++)
        v->thread[i].there = false;
    if (!v->all || seen->count > THREADS_MAX) {
        v->all = false;
        return;
    }
    for (size_t i = 0; i < seen->count; i++) {
        const struct probe_heddle_thread *t = &seen->thread[i];
        struct probe_green_thread *one = NULL;
        for (size_t k = 0; k < v->threads && !one; k++) {
            if (v->thread[k].id == t->id)
                one = &v->thread[k];
        }
        if (!one && v->threads == THREADS_MAX) {
            v->all = false;
            continue;
        }
        if (!one) {
            v->thread = lab_grow_one(v->thread, v->threads, sizeof *v->thread);
            one = &v->thread[v->threads++];
            *one = (struct probe_green_thread){.id = t->id,
                                               .name = t->name ? lab_copy(t->name) : NULL,
                                               .fn = name_of(g, t->fn, false)};
        }
        free(one->last);
        one->last = doing(g, t);
        one->looks++;
        one->state[t->state]++;
        one->there = true;
    }
}

static void add(struct probe_green *g, const struct probe_heddle_view *seen, uint64_t now_ns) {
    struct probe_green_view *v = &g->v;
    if (v->looks++ == 0)
        v->begin_ns = now_ns;
    v->end_ns = now_ns;
    for (int s = 0; s < PROBE_HEDDLE_STATES; s++) {
        v->state[s] += seen->state[s];
        v->last[s] = seen->state[s];
    }
    v->count_last = seen->count + seen->dropped;
    v->count_most = v->count_last > v->count_most ? v->count_last : v->count_most;
    v->dropped = seen->dropped;
    v->workers = seen->worker_count;
    v->carriers = seen->carrier_count;
    g->carriers = 0;
    for (size_t i = 0; i < seen->worker_count && g->carriers < CARRIERS_MAX; i++) {
        if (seen->worker[i].tid)
            g->carrier[g->carriers++] = seen->worker[i].tid;
    }
    add_groups(g, seen);
    add_threads(g, seen);
}

/* ---- looking ---- */

static void seek(struct probe_green *g) {
    free(g->why);
    g->why = NULL;
    int err = probe_heddle_open(g->pid, &g->heddle, &g->why);
    if (err) {
        g->heddle = NULL;
        if (err == -ESRCH) { /* it has ended: that is no news of heddle */
            free(g->why);
            g->why = NULL;
        }
        return;
    }
    if (probe_native_open(g->pid, &g->native) != 0)
        g->native = NULL;
}

void probe_green_look(struct probe_green *g, uint64_t now_ns) {
    struct probe_heddle_view seen;
    if (!g->heddle)
        seek(g);
    if (!g->heddle || probe_heddle_look(g->heddle, &seen) != 0)
        return;
    add(g, &seen, now_ns);
    probe_heddle_view_free(&seen);
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void probe_green_step(struct probe_green *g, uint64_t now_ns) {
    if (now_ns < g->next_ns)
        return;
    uint64_t begun_ns = cpu_ns();
    probe_green_look(g, now_ns);
    uint64_t cost_ns = cpu_ns() - begun_ns;
    if (g->heddle) {
        /* The first ones sooner, for programs that do not run long. */
        uint64_t times = g->v.looks < 5 ? 4 : 30;
        g->pause_ns = cost_ns * times > look_ns ? cost_ns * times : look_ns;
    } else { /* a library may be loaded late */
        g->pause_ns = g->pause_ns ? g->pause_ns * 2 : look_ns;
        g->pause_ns = g->pause_ns > seek_most_ns ? seek_most_ns : g->pause_ns;
        g->pause_ns = cost_ns * 100 > g->pause_ns ? cost_ns * 100 : g->pause_ns;
    }
    g->next_ns = now_ns + g->pause_ns;
}

static int by_sum(const void *a, const void *b) {
    const struct probe_green_group *x = a, *y = b;
    if (x->sum != y->sum)
        return x->sum > y->sum ? -1 : 1;
    return x->state != y->state ? (x->state < y->state ? -1 : 1)
                                : (x->site_address > y->site_address) -
                                      (x->site_address < y->site_address);
}

const struct probe_green_view *probe_green_view(struct probe_green *g) {
    if (g->v.groups)
        qsort(g->v.group, g->v.groups, sizeof *g->v.group, by_sum);
    g->v.why = g->why;
    return &g->v;
}

bool probe_green_is_carrier(const struct probe_green *g, pid_t tid) {
    for (size_t i = 0; i < g->carriers; i++) {
        if (g->carrier[i] == tid)
            return true;
    }
    return false;
}
