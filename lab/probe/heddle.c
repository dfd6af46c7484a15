/* SPDX-License-Identifier: MIT */
/* Finding the table of a program that uses heddle, and walking what it tells of; heddle.h. */
#include "probe/heddle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "probe/maps.h"
#include "text.h"

/* The table as the library has it; its order is the format, see there (src/api/debug.h). */
struct table {
    char magic[8];
    uint32_t version, size;
    uint64_t runtime;
    uint64_t rt_state, rt_state_on, rt_workers, rt_worker_count, rt_active;
    uint64_t worker_size, worker_current, worker_carrier;
    uint64_t carriers, carrier_next, carrier_tid, carrier_held;
    uint64_t slabs, slab_threads, slab_first;
    uint64_t thread_size, thread_sp, thread_pc, thread_fp, thread_fn, thread_stack, thread_park;
    uint64_t thread_flags, thread_ended, thread_wait, thread_ext, thread_id;
    uint64_t flag_live, flag_bound, park_waiting;
    uint64_t ext_name, name_size;
    uint64_t stack_owner, stack_low, stack_size, stack_top;
    uint64_t wait_what, wait_object, wait_site, wait_queued;
    uint64_t mutex_word, mutex_shift;
    uint64_t locks, lock_next, lock_object, lock_name;
};

enum {
    VERSION = 1,
    THREADS_MAX = 1 << 20,
    WORKERS_MAX = 4096,
    LIST_MAX = 1 << 16, /* of any list: one that is changed while it is read may have no end */
    NAME_MAX_BYTES = 64,
    WAIT_MAX = 512,     /* bytes of a wait record that are read */
    STEPS = 512,        /* so many places are read by one call */
    WORDS = 64,         /* kinds of things to wait for */
};

struct probe_heddle {
    pid_t pid;
    struct table t;
    struct {
        uint64_t address;
        char *text;
    } word[WORDS];
    size_t words;
    struct named {
        uint64_t object;
        char *name;
    } *lock;
    size_t locks;
};

const char *probe_heddle_word(enum probe_heddle_state s) {
    static const char *const words[PROBE_HEDDLE_STATES] = {
        "runs", "in a call", "ready", "preempted", "begins", "waits", "ended",
    };
    return words[s];
}

/* ---- memory ---- */

static int get(pid_t pid, uint64_t address, void *out, size_t size) {
    struct iovec here = {out, size}, there = {(void *)(uintptr_t)address, size};
    ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (n < 0)
        return -errno;
    return (size_t)n == size ? 0 : -EFAULT;
}

static uint64_t get_word(const struct probe_heddle *h, uint64_t address) {
    uint64_t word = 0;
    return get(h->pid, address, &word, sizeof word) == 0 ? word : 0;
}

/* Reads `size` bytes at each of n places, which may be 0; those that cannot be read become zero. */
static void get_many(const struct probe_heddle *h, const uint64_t *place, size_t n, size_t size,
                     void *out) {
    struct iovec here[STEPS], there[STEPS];
    memset(out, 0, n * size);
    for (size_t i = 0; i < n;) {
        size_t count = 0, at[STEPS], failed;
        for (; i < n && count < STEPS; i++) {
            if (!place[i])
                continue;
            at[count] = i;
            here[count] = (struct iovec){(char *)out + i * size, size};
            there[count++] = (struct iovec){(void *)(uintptr_t)place[i], size};
        }
        /* A place that cannot be read ends the call: the rest is for the next. */
        ssize_t got = count ? process_vm_readv(h->pid, here, count, there, count, 0) : 0;
        failed = got < 0 ? 0 : (size_t)got / size;
        if (failed < count) {
            memset((char *)out + at[failed] * size, 0, size);
            i = at[failed] + 1;
        }
    }
}

static uint64_t word_at(const void *bytes, uint64_t offset) {
    uint64_t word;
    memcpy(&word, (const char *)bytes + offset, sizeof word);
    return word;
}

static uint32_t half_at(const void *bytes, uint64_t offset) {
    uint32_t half;
    memcpy(&half, (const char *)bytes + offset, sizeof half);
    return half;
}

/* A text of the target's, which may end anywhere. */
static char *get_text(const struct probe_heddle *h, uint64_t address, size_t max) {
    char text[NAME_MAX_BYTES + 1];
    size_t n = 0, room = 4096 - address % 4096; /* a page at a time: the next may not be there */
    if (max > NAME_MAX_BYTES)
        max = NAME_MAX_BYTES;
    if (get(h->pid, address, text, max < room ? max : room) == 0) {
        n = max < room ? max : room;
        if (n < max && get(h->pid, address + n, text + n, max - n) == 0)
            n = max;
    }
    text[n] = '\0';
    lab_make_printable(text);
    return lab_copy(text);
}

/* ---- opening ---- */

static bool sane(const struct table *t) {
    return t->thread_size >= 64 && t->thread_size <= 4096 && t->slab_threads >= 1 &&
           t->slab_threads <= 65536 && t->slab_first <= 65536 &&
           t->thread_id + 8 <= t->thread_size &&
           t->thread_sp + 8 <= t->thread_size && t->thread_pc + 8 <= t->thread_size &&
           t->thread_fp + 8 <= t->thread_size && t->thread_fn + 8 <= t->thread_size &&
           t->thread_stack + 8 <= t->thread_size && t->thread_park + 8 <= t->thread_size &&
           t->thread_flags + 4 <= t->thread_size && t->thread_ended + 1 <= t->thread_size &&
           t->thread_wait + 8 <= t->thread_size && t->thread_ext + 8 <= t->thread_size &&
           t->wait_what + 8 <= WAIT_MAX && t->wait_object + 8 <= WAIT_MAX &&
           t->wait_site + 8 <= WAIT_MAX && t->wait_queued + 1 <= WAIT_MAX && t->mutex_shift < 64;
}

static int read_table(struct probe_heddle *h, uint64_t address, char **why) {
    int err = get(h->pid, address, &h->t, sizeof h->t);
    if (err == -ESRCH)
        return err;
    if (err) {
        *why = lab_format("the memory of process %d may not be read: %s; be its user, or root",
                          (int)h->pid, strerror(-err));
        return err;
    }
    if (memcmp(h->t.magic, "heddle-d", 8) != 0)
        return -ENOENT;
    if (h->t.version != VERSION || h->t.size < sizeof h->t || !sane(&h->t)) {
        *why = lab_format("process %d uses a heddle whose table has version %u; this command "
                          "reads %d: use the command that came with its library",
                          (int)h->pid, h->t.version, VERSION);
        return -ENOTSUP;
    }
    return 0;
}

/* Looks at one file that is mapped. */
static int try_file(struct probe_heddle *h, const struct probe_maps *maps,
                    const struct probe_map *map, char **why) {
    struct probe_image_place place;
    char *path = probe_maps_file(maps, map);
    int err = -ENOENT;
    if (path && probe_image_section(path, ".heddle", &place))
        err = read_table(h, map->begin - place.first + place.address, why);
    free(path);
    return err;
}

int probe_heddle_open(pid_t pid, struct probe_heddle **out, char **why) {
    struct probe_heddle *h = lab_alloc(1, sizeof *h);
    struct probe_maps maps = {0};
    h->pid = pid;
    *why = NULL;
    int err = probe_maps_read(&maps, pid);
    if (err) {
        *why = lab_format("the memory map of process %d may not be read: %s", (int)pid,
                          strerror(-err));
    } else {
        err = -ENOENT;
    }
    for (size_t i = 0; err == -ENOENT && i < maps.count; i++) {
        const struct probe_map *map = &maps.map[i];
        if (map->offset == 0 && map->path[0] == '/' && map->inode)
            err = try_file(h, &maps, map, why);
    }
    probe_maps_free(&maps);
    if (err) {
        probe_heddle_close(h);
        return err;
    }
    *out = h;
    return 0;
}

static void forget_locks(struct probe_heddle *h) {
    for (size_t i = 0; i < h->locks; i++)
        free(h->lock[i].name);
    h->locks = 0;
}

void probe_heddle_close(struct probe_heddle *h) {
    if (!h)
        return;
    for (size_t i = 0; i < h->words; i++)
        free(h->word[i].text);
    forget_locks(h);
    free(h->lock);
    free(h);
}

/* ---- a look ---- */

/* What threads wait for are constants of the library: few, and each is read once. */
static const char *word_of(struct probe_heddle *h, uint64_t address) {
    for (size_t i = 0; i < h->words; i++) {
        if (h->word[i].address == address)
            return h->word[i].text;
    }
    if (h->words == WORDS)
        return "something";
    h->word[h->words].address = address;
    h->word[h->words].text = get_text(h, address, NAME_MAX_BYTES);
    return h->word[h->words++].text;
}

static void look_at_locks(struct probe_heddle *h) {
    uint64_t head = get_word(h, h->t.locks);
    uint64_t at = head ? get_word(h, head) : 0;
    forget_locks(h);
    for (size_t n = 0; at && n < LIST_MAX; n++, at = get_word(h, at + h->t.lock_next)) {
        char *name = get_text(h, at + h->t.lock_name, h->t.name_size);
        if (name[0]) {
            h->lock = lab_grow_one(h->lock, h->locks, sizeof *h->lock);
            h->lock[h->locks++] = (struct named){get_word(h, at + h->t.lock_object), name};
        } else {
            free(name);
        }
    }
}

struct running { /* who is on which kernel thread */
    uint64_t thread;
    int worker;
    pid_t tid;
};

struct look {
    struct probe_heddle *h;
    struct probe_heddle_view *v;
    struct running *running;
    size_t running_count;
    uint64_t *wait, *ext, *stack; /* addresses, for each thread */
    size_t room;
};

static void note_running(struct look *l, uint64_t thread, int worker, pid_t tid) {
    l->running = lab_grow_one(l->running, l->running_count, sizeof *l->running);
    l->running[l->running_count++] = (struct running){thread, worker, tid};
}

static int look_at_workers(struct look *l) {
    struct probe_heddle *h = l->h;
    const struct table *t = &h->t;
    uint32_t head[3];
    uint64_t workers;
    if (get(h->pid, t->runtime + t->rt_state, &head[0], 4) != 0 ||
        get(h->pid, t->runtime + t->rt_worker_count, &head[1], 4) != 0 ||
        get(h->pid, t->runtime + t->rt_active, &head[2], 4) != 0 ||
        get(h->pid, t->runtime + t->rt_workers, &workers, sizeof workers) != 0)
        return -ESRCH;
    if (head[0] == 0 || !workers || head[1] > WORKERS_MAX)
        return -EAGAIN;
    l->v->worker_count = head[2] < head[1] ? head[2] : head[1];
    l->v->worker = lab_alloc(head[1] + 1, sizeof *l->v->worker);
    for (uint32_t i = 0; i < head[1]; i++) {
        uint64_t at = workers + i * t->worker_size;
        uint64_t carrier = get_word(h, at + t->worker_carrier);
        uint64_t current = get_word(h, at + t->worker_current);
        pid_t tid = 0;
        if (carrier)
            (void)get(h->pid, carrier + t->carrier_tid, &tid, sizeof tid);
        l->v->worker[i].tid = tid;
        if (current) {
            l->v->worker[i].current = get_word(h, current + t->thread_id);
            note_running(l, current, (int)i, tid);
        }
    }
    uint64_t c = get_word(h, t->carriers);
    for (size_t n = 0; c && n < LIST_MAX; n++, c = get_word(h, c + t->carrier_next)) {
        uint64_t held = get_word(h, c + t->carrier_held);
        pid_t tid = 0;
        l->v->carrier_count++;
        if (held && get(h->pid, c + t->carrier_tid, &tid, sizeof tid) == 0)
            note_running(l, held, -1, tid);
    }
    return 0;
}

static void add_thread(struct look *l, uint64_t address, const char *d) {
    const struct table *t = &l->h->t;
    struct probe_heddle_view *v = l->v;
    if (v->count == THREADS_MAX) {
        v->dropped++;
        return;
    }
    if (v->count == l->room) {
        l->room = l->room ? 2 * l->room : 1024;
        v->thread = lab_grow(v->thread, l->room, sizeof *v->thread);
        l->wait = lab_grow(l->wait, l->room, sizeof *l->wait);
        l->ext = lab_grow(l->ext, l->room, sizeof *l->ext);
        l->stack = lab_grow(l->stack, l->room, sizeof *l->stack);
    }
    struct probe_heddle_thread *one = &v->thread[v->count];
    *one = (struct probe_heddle_thread){
        .id = word_at(d, t->thread_id), .worker = -1, .fn = word_at(d, t->thread_fn),
        .sp = word_at(d, t->thread_sp), .pc = word_at(d, t->thread_pc),
        .fp = word_at(d, t->thread_fp),
    };
    uint64_t stack = word_at(d, t->thread_stack), wait = word_at(d, t->thread_wait);
    bool bound = half_at(d, t->thread_flags) & t->flag_bound;
    one->state = d[t->thread_ended] ? PROBE_HEDDLE_ENDED
                 : wait             ? PROBE_HEDDLE_WAITS
                 : !stack           ? PROBE_HEDDLE_BEGINS
                 : bound            ? PROBE_HEDDLE_PREEMPTED
                                    : PROBE_HEDDLE_READY;
    /* Woken, and in a queue again; unless it went over to another object's (see join()). */
    l->wait[v->count] = one->state == PROBE_HEDDLE_WAITS ? wait : 0;
    if (one->state == PROBE_HEDDLE_WAITS && !(word_at(d, t->thread_park) & t->park_waiting))
        one->owner = 1; /* a mark for join() */
    for (size_t i = 0; i < l->running_count && one->state != PROBE_HEDDLE_ENDED; i++) {
        if (l->running[i].thread != address)
            continue;
        one->state = l->running[i].worker < 0 ? PROBE_HEDDLE_IN_CALL : PROBE_HEDDLE_RUNS;
        one->worker = l->running[i].worker;
        one->tid = l->running[i].tid;
        l->wait[v->count] = 0;
    }
    l->ext[v->count] = word_at(d, t->thread_ext);
    l->stack[v->count] = one->state == PROBE_HEDDLE_PREEMPTED ? stack + t->stack_owner : 0;
    v->count++;
}

static void look_at_threads(struct look *l) {
    const struct table *t = &l->h->t;
    uint64_t head = get_word(l->h, t->slabs);
    size_t size = t->slab_first + t->slab_threads * t->thread_size;
    char *copy = lab_alloc(1, size);
    uint64_t slab = head ? get_word(l->h, head) : 0;
    for (size_t n = 0; slab && n < LIST_MAX; n++, slab = word_at(copy, 0)) {
        if (get(l->h->pid, slab, copy, size) != 0)
            break;
        for (uint64_t i = 0; i < t->slab_threads; i++) {
            uint64_t offset = t->slab_first + i * t->thread_size;
            if (half_at(copy + offset, t->thread_flags) & t->flag_live)
                add_thread(l, slab + offset, copy + offset);
        }
    }
    free(copy);
}

static void join(struct look *l) {
    const struct table *t = &l->h->t;
    struct probe_heddle *h = l->h;
    struct probe_heddle_view *v = l->v;
    size_t size = (t->wait_what > t->wait_site ? t->wait_what : t->wait_site) + 8;
    if (t->wait_queued >= size)
        size = t->wait_queued + 1;
    if (t->wait_object + 8 > size)
        size = t->wait_object + 8;
    char *waits = lab_alloc(v->count + 1, size);
    get_many(h, l->wait, v->count, size, waits);
    for (size_t i = 0; i < v->count; i++) {
        struct probe_heddle_thread *one = &v->thread[i];
        const char *w = waits + i * size;
        bool woken = one->owner == 1;
        one->owner = 0;
        if (one->state != PROBE_HEDDLE_WAITS)
            continue;
        if (!word_at(w, t->wait_what) || (woken && !w[t->wait_queued])) {
            one->state = PROBE_HEDDLE_READY;
            continue;
        }
        one->what = word_of(h, word_at(w, t->wait_what));
        one->object = word_at(w, t->wait_object);
        one->site = word_at(w, t->wait_site);
        for (size_t n = 0; n < h->locks && one->object; n++) {
            if (h->lock[n].object == one->object)
                one->object_name = h->lock[n].name;
        }
    }
    free(waits);
}

/* Names, who has the mutexes that are waited for, and which kernel thread waits with a thread that
 * was preempted. */
static void look_around(struct look *l) {
    const struct table *t = &l->h->t;
    struct probe_heddle *h = l->h;
    struct probe_heddle_view *v = l->v;
    size_t size = t->name_size < NAME_MAX_BYTES ? t->name_size : NAME_MAX_BYTES;
    char *names = lab_alloc(v->count + 1, size);
    uint64_t *words = lab_alloc(v->count + 1, sizeof *words);
    for (size_t i = 0; i < v->count; i++)
        l->ext[i] += l->ext[i] ? t->ext_name : 0;
    get_many(h, l->ext, v->count, size, names);
    get_many(h, l->stack, v->count, sizeof *words, words);
    for (size_t i = 0; i < v->count; i++) {
        struct probe_heddle_thread *one = &v->thread[i];
        if (names[i * size]) {
            one->name = lab_copy_n(names + i * size, strnlen(names + i * size, size));
            lab_make_printable(one->name);
        }
        if (words[i])
            (void)get(h->pid, words[i] + t->carrier_tid, &one->tid, sizeof one->tid);
        bool mutex = one->what && strcmp(one->what, "mutex") == 0 && one->object;
        l->wait[i] = mutex ? one->object + t->mutex_word : 0;
    }
    get_many(h, l->wait, v->count, sizeof *words, words);
    for (size_t i = 0; i < v->count; i++) {
        v->thread[i].owner = words[i] >> t->mutex_shift;
        v->state[v->thread[i].state]++;
    }
    free(names);
    free(words);
}

int probe_heddle_look(struct probe_heddle *h, struct probe_heddle_view *out) {
    struct look l = {.h = h, .v = out};
    *out = (struct probe_heddle_view){0};
    int err = look_at_workers(&l);
    if (!err) {
        look_at_locks(h);
        look_at_threads(&l);
        join(&l);
        look_around(&l);
    }
    free(l.running);
    free(l.wait);
    free(l.ext);
    free(l.stack);
    if (err)
        probe_heddle_view_free(out);
    return err;
}

void probe_heddle_view_free(struct probe_heddle_view *v) {
    for (size_t i = 0; i < v->count; i++)
        free(v->thread[i].name);
    free(v->thread);
    free(v->worker);
    *v = (struct probe_heddle_view){0};
}

/* ---- groups ---- */

static int by_kind(const void *a, const void *b) {
    const struct probe_heddle_group *x = a, *y = b;
    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    if (x->what != y->what)
        return x->what < y->what ? -1 : 1;
    if (x->site != y->site)
        return x->site < y->site ? -1 : 1;
    if (x->fn != y->fn)
        return x->fn < y->fn ? -1 : 1;
    return (x->example > y->example) - (x->example < y->example);
}

static int by_count(const void *a, const void *b) {
    const struct probe_heddle_group *x = a, *y = b;
    return x->count != y->count ? (x->count > y->count ? -1 : 1) : by_kind(a, b);
}

struct probe_heddle_group *probe_heddle_groups(const struct probe_heddle_view *v, size_t *count) {
    struct probe_heddle_group *g = lab_alloc(v->count + 1, sizeof *g);
    size_t kept = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct probe_heddle_thread *t = &v->thread[i];
        g[i] = (struct probe_heddle_group){t->state, t->what, t->site, t->fn, 1, i};
    }
    qsort(g, v->count, sizeof *g, by_kind);
    for (size_t i = 0; i < v->count; i++) {
        struct probe_heddle_group *last = kept ? &g[kept - 1] : NULL;
        if (last && last->state == g[i].state && last->what == g[i].what &&
            last->site == g[i].site && last->fn == g[i].fn) {
            last->count++;
        } else {
            g[kept++] = g[i];
        }
    }
    qsort(g, kept, sizeof *g, by_count);
    *count = kept;
    return g;
}
