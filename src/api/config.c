/* SPDX-License-Identifier: MIT */
/* The configuration as a table: a row a member, with its variable in the environment, its range and
 * its words. doc/man/heddle-environment.7 lists the same. */
#include "api/config.h"

#include <errno.h>
#include <string.h>

#include "api/options.h"
#include "base/check.h"
#include "ctx/stack.h"
#include "os/cpu.h"
#include "os/env.h"
#include "os/interrupt.h"
#include "sched/follow.h"
#include "sched/ranked.h"
#include <heddle/io.h>

enum { CARRIERS_MAX = 30000, DEFAULT_SPARES = 4096, WORDS_MAX = 4 };
enum { DEFAULT_SLICE_US = 10000, DEFAULT_SPIN_US = 20, DEFAULT_STACK = 64 * 1024 };
enum { DEFAULT_STEAL_BATCH = 32, DEFAULT_QUEUE_SIZE = 1024 };

/* `none` is a value beyond the range that is allowed as well; in the environment it is the word. */
struct row {
    const char *member, *variable;
    size_t offset, size;
    bool negative;                /* it is of a type with negative numbers */
    bool zero;                    /* 0 is allowed as well, and stays: off */
    uint64_t min, max, none;
    const char *words[WORDS_MAX]; /* instead of numbers, from `min` */
};

#define MEMBER(name) #name, .offset = offsetof(struct hd_config, name), \
                     .size = sizeof(((struct hd_config *)0)->name), \
                     .negative = (__typeof__(((struct hd_config *)0)->name))-1 < 1

static const struct row rows[] = {
    {MEMBER(workers), .variable = "HEDDLE_WORKERS", .min = 1, .max = HD__WORKERS_MAX},
    {MEMBER(slice_us), .variable = "HEDDLE_SLICE_US", .min = 100, .max = 1000000,
     .none = HD_SLICE_NONE},
    {MEMBER(stack_size), .variable = "HEDDLE_STACK_SIZE", .max = (uint64_t)1 << 30},
    {MEMBER(stack_idle_max), .variable = "HEDDLE_STACK_IDLE_MAX", .max = INT64_MAX},
    {MEMBER(spin_us), .variable = "HEDDLE_SPIN_US", .min = 1, .max = 1000000,
     .none = HD_SPIN_NONE},
    {MEMBER(deadlock), .variable = "HEDDLE_DEADLOCK", .max = HD_DEADLOCK_IGNORE,
     .words = {"abort", "report", "ignore"}},
    {MEMBER(bind_workers), .variable = "HEDDLE_BIND_WORKERS", .max = 1, .words = {"no", "yes"}},
    {MEMBER(preempt), .variable = "HEDDLE_PREEMPT", .min = 1, .max = HD_PREEMPT_OFF,
     .words = {"carrier", "light", "off"}},
    {MEMBER(preempt_signal), .variable = "HEDDLE_PREEMPT_SIGNAL", .min = 1, .max = 64},
    {MEMBER(carriers_max), .variable = "HEDDLE_CARRIERS_MAX", .min = 1, .max = CARRIERS_MAX},
    {MEMBER(io), .variable = "HEDDLE_IO", .max = HD_IO_EPOLL,
     .words = {"auto", "io_uring", "epoll"}},
    {MEMBER(prefetch), .variable = "HEDDLE_PREFETCH", .min = 1, .max = HD_PREFETCH_OFF,
     .words = {"on", "off"}},
    {MEMBER(ageing_us), .variable = "HEDDLE_AGEING_US", .min = 1, .max = 1000000000,
     .zero = true},
    {MEMBER(steal_batch), .variable = "HEDDLE_STEAL_BATCH", .min = 1, .max = HD__STEAL_MAX},
    {MEMBER(queue_size), .variable = "HEDDLE_QUEUE_SIZE", .min = HD__RING_MIN,
     .max = HD__RING_MAX},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static uint64_t min_of(const struct row *r) {
    return r->offset == offsetof(struct hd_config, stack_size) ? hd_stack_min() : r->min;
}

static uint64_t get(const struct hd_config *c, const struct row *r) {
    const char *at = (const char *)c + r->offset;
    uint64_t wide;
    uint32_t narrow;
    if (r->size == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

static void set(struct hd_config *c, const struct row *r, uint64_t v) {
    uint32_t narrow = (uint32_t)v;
    memcpy((char *)c + r->offset, r->size == sizeof v ? (void *)&v : (void *)&narrow, r->size);
}

/* "a, b or c" */
static void list_words(const struct row *r, char *text, size_t size) {
    text[0] = '\0';
    for (unsigned i = 0; i < WORDS_MAX && r->words[i]; i++) {
        bool last = i + 1 == WORDS_MAX || !r->words[i + 1];
        size_t len = strlen(text);
        hd__format(text + len, size - len, "%s%s", i == 0 ? "" : last ? " or " : ", ", r->words[i]);
    }
}

static void tell_range(const struct row *r, char *text, size_t size) {
    hd__format(text, size, "%llu to %llu%s", (unsigned long long)min_of(r),
               (unsigned long long)r->max, r->none ? " or none" : "");
}

/* ---- The environment ---- */

/* 1: *v has the value; 0: not set; -EINVAL. */
static int read_variable(const struct row *r, uint64_t *v, char *why, size_t size) {
    char allowed[80];
    const char *text = hd__os_env_text(r->variable);
    if (!text) return 0;
    for (unsigned i = 0; i < WORDS_MAX && r->words[i]; i++) {
        if (strcmp(text, r->words[i]) != 0) continue;
        *v = r->min + i;
        return 1;
    }
    if (r->words[0]) {
        list_words(r, allowed, sizeof allowed);
        hd__format(why, size, "%s=%s is not %s", r->variable, text, allowed);
        return -EINVAL;
    }
    if (r->none && strcmp(text, "none") == 0) {
        *v = r->none;
        return 1;
    }
    if (hd__os_parse_u64(text, v) == 0 && *v >= min_of(r) && *v <= r->max) return 1;
    tell_range(r, allowed, sizeof allowed);
    hd__format(why, size, "%s=%s is not a number from %s", r->variable, text, allowed);
    return -EINVAL;
}

static int policy_from_environment(struct hd_config *c, char *why, size_t size) {
    const char *text = hd__os_env_text("HEDDLE_POLICY");
    const struct hd_policy *p = text ? hd__policy_find(text) : NULL;
    if (!text) return 0;
    if (!p) {
        hd__format(why, size, "HEDDLE_POLICY=%s is no policy: steal, rr, priority, or one that the "
                   "program has registered", text);
        return -EINVAL;
    }
    c->policy = p->name;
    return 0;
}

/* The program has chosen a policy, and not the one that the member is for. */
static bool is_for_another_policy(const struct hd_config *c, const struct row *r) {
    return r->offset == offsetof(struct hd_config, ageing_us) && c->policy &&
           strcmp(c->policy, "priority") != 0;
}

/* It speaks only where the program left the default. */
static int from_environment(struct hd_config *c, char *why, size_t size) {
    uint64_t v;
    for (unsigned i = 0; i < ROWS; i++) {
        if (get(c, &rows[i]) != 0 || is_for_another_policy(c, &rows[i])) continue;
        int got = read_variable(&rows[i], &v, why, size);
        if (got < 0) return got;
        if (got) set(c, &rows[i], v);
    }
    return c->policy ? 0 : policy_from_environment(c, why, size);
}

/* ---- Defaults and ranges ---- */

static unsigned default_workers(void) {
    hd_cpuset allowed;
    return hd__os_cpus_allowed(&allowed) > 0 ? hd__follow_workers(&allowed) : 1;
}

static void fill(struct hd_config *c) {
    const struct hd_policy *p;
    if (!c->policy) c->policy = "steal";
    p = hd__policy_find(c->policy);
    if (c->workers == 0) c->workers = default_workers();
    if (c->slice_us == 0) c->slice_us = p && p->slice_us ? p->slice_us : DEFAULT_SLICE_US;
    if (c->carriers_max == 0) c->carriers_max = c->workers + DEFAULT_SPARES;
    if (c->stack_size == 0) c->stack_size = DEFAULT_STACK;
    if (c->spin_us == 0) c->spin_us = DEFAULT_SPIN_US;
    if (c->preempt == HD_PREEMPT_DEFAULT) c->preempt = HD_PREEMPT_CARRIER;
    if (c->preempt_signal == 0) c->preempt_signal = hd__os_interrupt_default();
    if (c->prefetch == HD_PREFETCH_DEFAULT) c->prefetch = HD_PREFETCH_ON;
    if (c->steal_batch == 0) c->steal_batch = DEFAULT_STEAL_BATCH;
    if (c->queue_size == 0) c->queue_size = DEFAULT_QUEUE_SIZE;
}

/* How the user knows the member at this offset: `own` is what the program gave. */
static const char *called(const struct hd_config *own, size_t offset, char *buf, size_t size) {
    const struct row *r = rows;
    while (r->offset != offset) r++;
    if (get(own, r) == 0 && hd__os_env_text(r->variable)) return r->variable;
    hd__format(buf, size, "hd_config.%s", r->member);
    return buf;
}

static int check(const struct hd_config *c, const struct hd_config *own, char *why, size_t size) {
    char name[40];
    char range[80];
    for (unsigned i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        uint64_t v = get(c, r);
        if (v == 0 && r->zero) continue;
        if ((v >= min_of(r) && v <= r->max) || (r->none && v == r->none)) continue;
        tell_range(r, range, sizeof range);
        if (r->negative)
            hd__format(why, size, "hd_config.%s = %d is not within %s", r->member, (int)v, range);
        else
            hd__format(why, size, "hd_config.%s = %llu is not within %s", r->member,
                       (unsigned long long)v, range);
        return -EINVAL;
    }
    if (!hd__policy_find(c->policy)) {
        hd__format(why, size, "hd_config.policy = \"%s\" is no policy: steal, rr, priority, or one "
                   "added by hd_policy_register()", c->policy);
        return -EINVAL;
    }
    if (c->ageing_us != 0 && strcmp(c->policy, "priority") != 0) {
        hd__format(why, size, "%s = %llu is for policy priority, and the policy is %s",
                   called(own, offsetof(struct hd_config, ageing_us), name, sizeof name),
                   (unsigned long long)c->ageing_us, c->policy);
        return -EINVAL;
    }
    if (!hd__os_interrupt_usable(c->preempt_signal)) {
        hd__format(why, size, "%s = %d cannot be used: the kernel or the C library reserves it, or "
                   "it tells of a fault",
                   called(own, offsetof(struct hd_config, preempt_signal), name, sizeof name),
                   c->preempt_signal);
        return -EINVAL;
    }
    if (c->carriers_max < c->workers) {
        hd__format(why, size, "%s = %u is fewer than the workers (%u)",
                   called(own, offsetof(struct hd_config, carriers_max), name, sizeof name),
                   c->carriers_max, c->workers);
        return -EINVAL;
    }
    return 0;
}

int hd__config_complete(const struct hd_config *given, struct hd_config *c, char *why,
                        size_t size) {
    memset(c, 0, sizeof *c);
    int err = hd__options_copy(c, sizeof *c, given, given ? given->size : 0);
    if (err) {
        hd__format(why, size, "hd_config.size = %zu, or a member that this library does not know "
                   "is set: fill the struct through HD_CONFIG(), with the header of this version",
                   given->size);
        return err;
    }
    c->size = sizeof *c;
    const struct hd_config own = *c;
    err = from_environment(c, why, size);
    if (err) return err;
    fill(c);
    return check(c, &own, why, size);
}

/* ---- Public ---- */

int hd_config_get(struct hd_config *out) {
    HD__CHECK(out != NULL, "hd_config_get: out is NULL");
    size_t size = out->size;
    if (size < sizeof size) return -EINVAL;
    hd__sched_enter();
    hd__runtime_enter();
    bool on = atomic_load_explicit(&hd__rt.state, memory_order_seq_cst) == HD__RT_ON;
    struct hd_config c = hd__rt.config;
    uint64_t slice_ns = atomic_load_explicit(&hd__rt.slice_ns, memory_order_relaxed);
    hd__runtime_leave();
    hd__sched_leave();
    if (!on) return -EINVAL;
    c.workers = hd_worker_count();
    c.slice_us = slice_ns == HD_FOREVER ? HD_SLICE_NONE : slice_ns / 1000;
    c.size = size;
    memcpy(out, &c, size < sizeof c ? size : sizeof c);
    return 0;
}

int hd_config_check(const struct hd_config *cfg, char *why, size_t size) {
    struct hd_config c;
    char text[200];
    HD__CHECK(why != NULL || size == 0, "hd_config_check: why is NULL");
    text[0] = '\0';
    int err = hd__config_complete(cfg, &c, text, sizeof text);
    if (size) hd__format(why, size, "%s", text);
    return err;
}
