/* SPDX-License-Identifier: MIT */
/* Where threads were blocked; places.h.
 *
 * Stacks come with the looks, as long as the watch has time for them. Else they are read here, if
 * the thread is still in that call; and so is what the call is about. A thread that waits with the
 * same stack pointer in the same call as the last time is taken to have come there by the same way.
 * Reading takes at most 3 % of a CPU. */
#include "probe/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "probe/native.h"
#include "text.h"

enum {
    PLACES_MAX = 4096,
    OVERFLOW_CALL = -2,
    TALLIES_MAX = 256, /* of a thread */
    KEPT_MAX = 4096,   /* ended threads whose tallies are kept */
    PROCESSES_MAX = 32,
};

static const uint64_t stuck_ns = 200 * 1000 * 1000;
static const int64_t budget_most_ns = 5 * 1000 * 1000;
/* The first stack through a file takes far longer than all others: that is let pass. */
static const int64_t debt_most_ns = 300 * 1000;

struct thread {
    pid_t tid, pid; /* tid 0: free, in the table */
    bool off, looked, ran;
    uint64_t off_ns, born_ns, end_ns;
    struct probe_tally seen;  /* of the present span off CPU */
    struct probe_call call;   /* the last that a stack was read of, */
    uint32_t stack;           /* and that */
    struct probe_mutex_wait mutex; /* of the present span; kind 0: it waits for no lock */
    char *what;               /* of the present span */
    uint64_t argument;
    struct probe_tally *tally;
    size_t tallies;
};

struct process {
    pid_t pid;
    struct probe_native *native; /* NULL: it cannot be read */
};

struct probe_places {
    struct probe_stacks *stacks;
    bool native;
    struct thread *table; /* by tid, open addressing */
    size_t table_size, table_used;
    struct thread *kept; /* ended ones */
    size_t kept_count;
    struct probe_place *place;
    uint64_t *argument; /* of each place's first look */
    size_t places;
    struct process process[PROCESSES_MAX];
    size_t processes;
    struct probe_births births;
    struct probe_mutexes mutexes;
    struct probe_stuck *stuck;
    size_t stuck_count;
    struct probe_places_counts counts;
    int64_t budget_ns;
    uint64_t budget_at_ns;
};

struct probe_places *probe_places_new(struct probe_stacks *stacks, bool native) {
    struct probe_places *p = lab_alloc(1, sizeof *p);
    p->stacks = stacks;
    p->native = native;
    p->table_size = 256;
    p->table = lab_alloc(p->table_size, sizeof *p->table);
    return p;
}

static void forget(struct thread *t) {
    free(t->tally);
    free(t->what);
    *t = (struct thread){0};
}

void probe_places_free(struct probe_places *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->table_size; i++)
        forget(&p->table[i]);
    for (size_t i = 0; i < p->kept_count; i++)
        forget(&p->kept[i]);
    for (size_t i = 0; i < p->places; i++) {
        free(p->place[i].what);
        free(p->place[i].object);
    }
    for (size_t i = 0; i < p->processes; i++)
        probe_native_close(p->process[i].native);
    for (size_t i = 0; i < p->stuck_count; i++)
        free(p->stuck[i].name);
    probe_mutexes_free(&p->mutexes);
    free(p->stuck);
    free(p->table);
    free(p->kept);
    free(p->place);
    free(p->argument);
    free(p);
}

/* ---- threads ---- */

static size_t slot_of(const struct probe_places *p, pid_t tid) {
    size_t i = (uint32_t)tid * 2654435761u % p->table_size;
    while (p->table[i].tid && p->table[i].tid != tid)
        i = (i + 1) % p->table_size;
    return i;
}

static struct thread *thread_of(struct probe_places *p, const struct probe_event *e) {
    size_t i = slot_of(p, e->tid);
    if (p->table[i].tid)
        return &p->table[i];
    if (p->table_used * 2 >= p->table_size) {
        struct thread *old = p->table;
        size_t size = p->table_size;
        p->table_size *= 2;
        p->table = lab_alloc(p->table_size, sizeof *p->table);
        for (size_t k = 0; k < size; k++) {
            if (old[k].tid)
                p->table[slot_of(p, old[k].tid)] = old[k];
        }
        free(old);
        i = slot_of(p, e->tid);
    }
    p->table_used++;
    p->table[i].tid = e->tid;
    p->table[i].pid = e->pid;
    return &p->table[i];
}

/* Takes a thread out of the table; those behind it that belong further ahead move up. */
static void remove_thread(struct probe_places *p, struct thread *t) {
    size_t hole = (size_t)(t - p->table);
    forget(t);
    p->table_used--;
    for (size_t i = (hole + 1) % p->table_size; p->table[i].tid; i = (i + 1) % p->table_size) {
        struct thread moved = p->table[i];
        p->table[i] = (struct thread){0};
        p->table[slot_of(p, moved.tid)] = moved;
    }
}

static void add(struct probe_histogram *h, uint64_t ns) {
    unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
    h->count++;
    h->sum_ns += ns;
    h->max_ns = ns > h->max_ns ? ns : h->max_ns;
    h->bucket[bucket < PROBE_BUCKETS ? bucket : PROBE_BUCKETS - 1]++;
}

/* ---- places ---- */

static struct probe_native *native_of(struct probe_places *p, pid_t pid) {
    for (size_t i = 0; i < p->processes; i++) {
        if (p->process[i].pid == pid)
            return p->process[i].native;
    }
    if (p->processes == PROCESSES_MAX)
        return NULL;
    struct process new = {.pid = pid};
    int err = probe_native_open(pid, &new.native);
    if (err == -EPERM || err == -EACCES)
        p->counts.barred = true;
    p->process[p->processes++] = new;
    return new.native;
}

static void drop_process(struct probe_places *p, pid_t pid) {
    for (size_t i = 0; i < p->processes; i++) {
        if (p->process[i].pid == pid) {
            probe_native_close(p->process[i].native);
            p->process[i] = p->process[--p->processes];
            return;
        }
    }
}

static struct probe_place *overflow_of(struct probe_places *p) {
    size_t i = 0;
    while (i < p->places - 1 && p->place[i].call != OVERFLOW_CALL)
        i++;
    return &p->place[i];
}

/* The entry for a call and a stack; one takes all that does not fit. */
static struct probe_place *place_of(struct probe_places *p, const struct thread *t, bool seen) {
    int call = seen ? t->seen.call : -1;
    uint32_t stack = seen ? t->seen.stack : 0;
    for (size_t i = 0; i < p->places; i++) {
        struct probe_place *one = &p->place[i];
        if (one->call == call && one->stack == stack) {
            if (p->argument[i] != t->argument && !one->several) {
                one->several = true;
                one->futex = 0;
                free(one->object);
                one->object = NULL;
                char *of = one->what ? strstr(one->what, " of ") : NULL;
                if (of)
                    *of = '\0';
            }
            if (i > 0 && one->count > p->place[i - 1].count) { /* the frequent are found soon */
                struct probe_place other = p->place[i - 1];
                uint64_t argument = p->argument[i - 1];
                p->place[i - 1] = *one;
                p->argument[i - 1] = p->argument[i];
                *one = other;
                p->argument[i] = argument;
                return &p->place[i - 1];
            }
            return one;
        }
    }
    if (p->places == PLACES_MAX)
        return overflow_of(p);
    p->place = lab_grow_one(p->place, p->places, sizeof *p->place);
    p->argument = lab_grow_one(p->argument, p->places, sizeof *p->argument);
    struct probe_place *new = &p->place[p->places];
    *new = (struct probe_place){.call = call, .stack = stack};
    if (p->places == PLACES_MAX - 1) {
        new->call = OVERFLOW_CALL;
        new->stack = 0;
        new->what = lab_copy("many other places");
    } else if (seen) {
        struct probe_native *n = t->seen.futex ? native_of(p, t->pid) : NULL;
        new->what = t->what ? lab_copy(t->what) : NULL;
        new->futex = t->seen.futex;
        new->object = n ? probe_native_name(n, t->seen.futex, true) : NULL;
    }
    p->argument[p->places++] = t->argument;
    return new;
}

char *probe_places_lock_name(struct probe_places *p, pid_t pid,
                             const struct probe_mutex_wait *wait) {
    struct probe_native *n = wait->kind < PROBE_MUTEX_PYTHON ? native_of(p, pid) : NULL;
    char *name = n ? probe_native_name(n, wait->address, true) : NULL;
    if (!name || (name[0] != '[' && name[0] != '0' && strcmp(name, "anonymous memory") != 0))
        return name;
    free(name); /* a lock in allocated memory has none */
    return NULL;
}

/* A wait is over, or (`never`) the watching is. A wait that is not over by then is one like others,
 * unless it is far longer than any that was. */
static void end_mutex(struct probe_places *p, struct thread *t, uint64_t ns, bool never) {
    uint64_t length = ns > t->off_ns ? ns - t->off_ns : 0, longest = 0;
    if (!t->off || !t->mutex.kind)
        return;
    for (size_t i = 0; never && i < p->mutexes.count; i++) {
        const struct probe_mutex *m = &p->mutexes.list[i];
        if (m->pid == t->pid && m->address == t->mutex.address)
            longest = m->max_ns;
    }
    if (never && length >= stuck_ns && length / 10 >= longest) {
        p->stuck = lab_grow_one(p->stuck, p->stuck_count, sizeof *p->stuck);
        p->stuck[p->stuck_count++] = (struct probe_stuck){
            t->mutex, t->pid, length, probe_places_lock_name(p, t->pid, &t->mutex)};
        return;
    }
    struct probe_mutex *m = probe_mutexes_add(&p->mutexes, t->pid, &t->mutex, length);
    if (m && m->count == 1)
        m->name = probe_places_lock_name(p, t->pid, &t->mutex);
}

/* A span off CPU has ended. */
static void charge(struct probe_places *p, struct thread *t, uint64_t ns) {
    uint64_t length = ns > t->off_ns ? ns - t->off_ns : 0;
    bool seen = t->looked;
    t->off = t->looked = false;
    p->counts.blocked_ns += length;
    if (!seen)
        p->counts.unseen_ns += length;
    struct probe_place *place = place_of(p, t, seen);
    struct probe_tally *tally = NULL;
    struct probe_tally what = {.call = place->call, .stack = place->stack};
    bool known = false;
    if (seen) {
        what.mutex = t->mutex.kind;
        what.futex = t->mutex.kind ? t->mutex.address : t->seen.futex;
    }
    place->ns += length;
    place->count++;
    place->max_ns = length > place->max_ns ? length : place->max_ns;
    for (size_t i = 0; i < t->tallies; i++) {
        struct probe_tally *one = &t->tally[i];
        if (one->call != place->call || one->stack != place->stack)
            continue;
        known = true;
        if (!seen || (one->futex == what.futex && one->mutex == what.mutex))
            tally = one;
    }
    if (!known)
        place->threads++;
    if (!tally) {
        if (t->tallies == TALLIES_MAX) {
            tally = &t->tally[TALLIES_MAX - 1];
        } else {
            t->tally = lab_grow_one(t->tally, t->tallies, sizeof *t->tally);
            tally = &t->tally[t->tallies++];
            *tally = what;
        }
    }
    tally->ns += length;
    tally->count++;
}

/* ---- looks ---- */

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool may_read(struct probe_places *p) {
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (p->budget_at_ns == 0)
        p->budget_ns = budget_most_ns;
    else
        p->budget_ns += (int64_t)(now_ns - p->budget_at_ns) * 3 / 100;
    p->budget_at_ns = now_ns;
    if (p->budget_ns > budget_most_ns)
        p->budget_ns = budget_most_ns;
    return p->budget_ns > 0;
}

static bool same_way(const struct probe_call *a, const struct probe_call *b) {
    return a->sp == b->sp && a->pc == b->pc && a->number == b->number && a->arg[0] == b->arg[0];
}

static uint32_t read_stack(struct probe_places *p, struct thread *t,
                           const struct probe_call *call) {
    if (t->stack && same_way(call, &t->call)) {
        p->counts.reused++;
        return t->stack;
    }
    struct probe_native *n = native_of(p, t->pid);
    bool torn = false;
    uint32_t stack = n ? probe_native_stack(n, t->tid, call, p->stacks, &torn) : 0;
    p->counts.stacks += stack != 0;
    p->counts.torn += torn;
    if (stack) {
        t->stack = stack;
        t->call = *call;
    }
    return stack;
}

/* What the thread does now, if that still is what was seen. */
static void look(struct probe_places *p, struct thread *t, struct probe_event *e) {
    struct probe_call call;
    bool futex = e->doing == PROBE_ON_FUTEX;
    t->seen.stack = e->native; /* read when the look was taken, if there was time for it */
    p->counts.stacks += e->native != 0;
    if (!may_read(p)) {
        p->counts.skipped += e->native == 0;
        return;
    }
    uint64_t begun_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (probe_call_read(t->pid, t->tid, &call) == 0 && !call.runs &&
        (futex ? probe_call_futex(&call) == e->value : (uint64_t)call.number == e->value)) {
        t->seen.call = (int)call.number;
        t->argument = call.arg[0];
        t->what = probe_call_text(t->pid, &call);
        if (e->native) {
            t->stack = e->native;
            t->call = call;
        } else if (p->native) {
            t->seen.stack = e->native = read_stack(p, t, &call);
        }
    }
    p->budget_ns -= (int64_t)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun_ns);
    if (p->budget_ns < -debt_most_ns)
        p->budget_ns = -debt_most_ns;
}

/* Whether it is a lock that a thread waits for: Python's is in the event. */
static void see_mutex(struct probe_places *p, struct thread *t, const struct probe_event *e,
                      uint32_t python) {
    enum probe_mutex_kind kind = (enum probe_mutex_kind)e->mutex;
    if (!kind && t->seen.futex)
        kind = probe_mutex_of_functions(p->stacks, t->seen.stack);
    t->mutex = (struct probe_mutex_wait){.kind = (uint8_t)kind,
                                         .tid = t->tid,
                                         .futex = t->seen.futex,
                                         .address = e->mutex ? e->object : t->seen.futex,
                                         .python = python,
                                         .native = t->seen.stack};
}

static void looked(struct probe_places *p, struct probe_event *e) {
    uint32_t python = e->stack;
    e->stack = 0; /* spans show C functions */
    if (e->doing != PROBE_IN_CALL && e->doing != PROBE_ON_FUTEX)
        return;
    struct thread *t = thread_of(p, e);
    bool futex = e->doing == PROBE_ON_FUTEX;
    if (!t->off) { /* seen before it was told */
        t->off = true;
        t->off_ns = e->ns;
    } else if (t->looked) {
        if (e->native && !t->seen.stack) { /* there was no time for it before */
            t->seen.stack = e->native;
            p->counts.stacks++;
        }
        if (!t->mutex.kind && (e->native || e->mutex))
            see_mutex(p, t, e, python);
        e->stack = t->seen.stack;
        return;
    }
    p->counts.looks++;
    t->looked = true;
    free(t->what);
    t->what = NULL;
    t->argument = futex ? e->value : 0;
    t->seen = (struct probe_tally){.call = futex ? SYS_futex : (int)e->value,
                                   .futex = futex ? e->value : 0};
    look(p, t, e);
    see_mutex(p, t, e, python);
    e->stack = e->native;
}

static void ended(struct probe_places *p, const struct probe_event *e) {
    struct thread *t = thread_of(p, e);
    end_mutex(p, t, e->ns, false);
    if (t->off)
        charge(p, t, e->ns);
    if (t->born_ns) {
        add(&p->births.life, e->ns - t->born_ns);
        p->births.ended++;
    }
    if (t->tallies && p->kept_count < KEPT_MAX) {
        p->kept = lab_grow_one(p->kept, p->kept_count, sizeof *p->kept);
        p->kept[p->kept_count++] =
            (struct thread){.tid = t->tid, .pid = t->pid, .end_ns = e->ns,
                            .tally = t->tally, .tallies = t->tallies};
        t->tally = NULL;
    }
    if (e->tid == e->pid)
        drop_process(p, e->pid);
    remove_thread(p, t);
}

void probe_places_event(struct probe_places *p, struct probe_event *e) {
    struct thread *t;
    if (e->tid == 0)
        return;
    switch (e->kind) {
    case PROBE_THREAD:
        if (e->value == 0)
            return;
        thread_of(p, e)->born_ns = e->ns;
        p->births.born++;
        break;
    case PROBE_ON:
        t = thread_of(p, e);
        end_mutex(p, t, e->ns, false);
        if (t->off)
            charge(p, t, e->ns);
        if (t->born_ns && !t->ran)
            add(&p->births.first, e->ns > t->born_ns ? e->ns - t->born_ns : 0);
        t->ran = true;
        break;
    case PROBE_OFF:
        t = thread_of(p, e);
        t->ran = true;
        if (e->preempted || t->off)
            return;
        t->off = true;
        t->looked = false;
        t->mutex.kind = PROBE_MUTEX_NONE;
        t->off_ns = e->ns;
        break;
    case PROBE_LOOK:
        looked(p, e);
        break;
    case PROBE_EXEC:
        drop_process(p, e->pid);
        break;
    case PROBE_EXIT:
        ended(p, e);
        break;
    default:
        break;
    }
}

/* ---- the end ---- */

static int by_ns(const void *a, const void *b) {
    const struct probe_place *x = a, *y = b;
    if (x->ns != y->ns)
        return x->ns > y->ns ? -1 : 1;
    return (x->stack > y->stack) - (x->stack < y->stack);
}

static int tally_by_ns(const void *a, const void *b) {
    const struct probe_tally *x = a, *y = b;
    if (x->ns != y->ns)
        return x->ns > y->ns ? -1 : 1;
    return (x->stack > y->stack) - (x->stack < y->stack);
}

static void give(struct probe_timeline *t, struct thread *one) {
    for (size_t i = 0; i < t->thread_count; i++) {
        struct probe_thread *th = &t->thread[i];
        if (th->tid != one->tid || th->pid != one->pid || th->end_ns != one->end_ns)
            continue;
        free(th->blocked_on);
        th->blocked_on = one->tally;
        th->blocked_on_count = one->tallies;
        one->tally = NULL;
        qsort(th->blocked_on, th->blocked_on_count, sizeof *th->blocked_on, tally_by_ns);
        return;
    }
}

void probe_places_finish(struct probe_places *p, struct probe_timeline *t, uint64_t end_ns) {
    for (size_t i = 0; i < p->table_size; i++) {
        if (p->table[i].tid) /* before new waits make those that are over look longer */
            end_mutex(p, &p->table[i], end_ns, true);
    }
    for (size_t i = 0; i < p->table_size; i++) {
        struct thread *one = &p->table[i];
        if (!one->tid)
            continue;
        if (one->off)
            charge(p, one, end_ns);
        if (one->tallies)
            give(t, one);
    }
    for (size_t i = 0; i < p->kept_count; i++)
        give(t, &p->kept[i]);
    qsort(p->place, p->places, sizeof *p->place, by_ns);
    probe_mutexes_sort(&p->mutexes);
    for (size_t i = 0; i < p->processes; i++)
        p->counts.guessed +=
            p->process[i].native ? probe_native_counts(p->process[i].native).guessed : 0;
}

const struct probe_place *probe_places_all(const struct probe_places *p, size_t *count) {
    *count = p->places;
    return p->place;
}

const struct probe_births *probe_places_births(const struct probe_places *p) {
    return &p->births;
}

struct probe_places_counts probe_places_counts(const struct probe_places *p) {
    return p->counts;
}

const struct probe_mutexes *probe_places_mutexes(const struct probe_places *p) {
    return &p->mutexes;
}

const struct probe_stuck *probe_places_stuck(const struct probe_places *p, size_t *count) {
    *count = p->stuck_count;
    return p->stuck;
}

size_t probe_places_waits(struct probe_places *p, pid_t pid, struct probe_python *python,
                          struct probe_mutex_wait **out) {
    struct probe_mutex_wait *wait = lab_alloc(p->table_used + 1, sizeof *wait);
    size_t count = 0;
    for (size_t i = 0; i < p->table_size; i++) {
        struct thread *t = &p->table[i];
        if (!t->tid || t->pid != pid || !t->off || !t->mutex.kind)
            continue;
        t->mutex.owner = probe_mutex_owner(pid, python, (enum probe_mutex_kind)t->mutex.kind,
                                           t->mutex.address);
        wait[count++] = t->mutex;
    }
    *out = wait;
    return count;
}
