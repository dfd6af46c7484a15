/* SPDX-License-Identifier: MIT */
/* The reader of what the preloaded library writes (probe/preload/shared.h): puts the threads' rings
 * into one order. What is younger than the horizon stays where it is, since a thread notes the time
 * a little before it writes; a thread that lost its CPU just there is late by that, and its events
 * then get the time of the last one that was handed over. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "subject/subject.h"
#include "text.h"

#include "probe/preload.h"
#include "probe/preload/shared.h"

enum { GILS = 64 };
#define GONE_EVERY_NS 1000000000

/* What is known of a ring beside what is in it. */
struct reading {
    uint64_t dropped;  /* number of the release that was taken from its `drop`; 0: none */
    bool told;         /* the thread, by PROBE_THREAD */
};

struct next {
    uint64_t ns, what;
    unsigned ring;
    uint64_t standing; /* the moment in ticks of a release that is in no record; 0: a record */
};

struct probe_preload {
    struct preload_shared *memory;
    int fd;
    char *library, *where;         /* for the environment */
    char *old_preload, *old_where; /* what was there before; NULL: nothing */
    struct reading reading[PRELOAD_RINGS];
    struct next heap[PRELOAD_RINGS];
    unsigned heap_count;
    uint64_t limit_ns;            /* nothing younger is handed over */
    uint64_t now_ns, now_ticks;   /* one moment by both clocks */
    uint64_t past_ns, past_ticks; /* one of at least some seconds ago; and one after that */
    uint64_t later_ns, later_ticks;
    uint64_t last_ns;             /* of what was handed over */
    uint64_t lost_told;
    uint64_t gone_looked_ns;
    uint64_t ended_gots, ended_shorts, ended_short_ticks, ended_full; /* of rings given back */
    double tick_ns;
    /* The process whose GILs are told, and these; -1: not called yet. */
    pid_t pid;
    int gil_count;
    struct probe_gil gil[GILS];
    int32_t holder[PRELOAD_LOCKS];       /* who took it last */
    unsigned holder_ring[PRELOAD_LOCKS]; /* the ring of who has it, plus 1; 0: nobody */
    uint64_t takes[PRELOAD_LOCKS];
};

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

uint64_t probe_preload_horizon(void) {
    return preload_now_ns() - PRELOAD_LATE_NS;
}

/* ---- opening ---- */

static bool has_steady_counter(void) {
    bool steady = false;
#ifdef __x86_64__
    char *info = NULL;
    size_t size = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && getline(&info, &size, f) > 0) {
        if (strncmp(info, "flags", 5) != 0)
            continue;
        steady = strstr(info, " constant_tsc") && strstr(info, " nonstop_tsc");
        break;
    }
    free(info);
    if (f)
        fclose(f);
#endif
    return steady;
}

/* The library beside the command, as in a build tree, or in libexec. */
static char *find_library(void) {
    char own[4096];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *found = NULL;
    if (n > 0) {
        own[n] = '\0';
        char *slash = strrchr(own, '/');
        found = lab_format("%.*s/" PRELOAD_LIBRARY, (int)(slash ? slash - own : 0), own);
        if (access(found, R_OK) == 0)
            return found;
    }
    struct lab_places places;
    lab_places_find(&places);
    char *at = NULL;
    for (char **dir = places.libexec; *dir && !at; dir++) {
        at = lab_format("%s/" PRELOAD_LIBRARY, *dir);
        if (access(at, R_OK) != 0) {
            free(at);
            at = NULL;
        }
    }
    lab_places_free(&places);
    free(found);
    return at;
}

static int make_memory(struct probe_preload *p, bool follow) {
    p->fd = memfd_create("heddle-preload", MFD_CLOEXEC);
    if (p->fd < 0 || ftruncate(p->fd, sizeof(*p->memory)) < 0)
        return -errno;
    void *memory = mmap(NULL, sizeof(*p->memory), PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    p->memory = memory;
    p->memory->version = PRELOAD_VERSION;
    p->memory->bytes = sizeof(*p->memory);
    p->memory->follow = follow;
    p->memory->tsc = has_steady_counter();
    if (getrandom(&p->memory->cookie, sizeof(p->memory->cookie), 0) < 0)
        p->memory->cookie = preload_now_ns();
    return 0;
}

int probe_preload_open(bool follow, struct probe_preload **out, char **why) {
    struct probe_preload *p = lab_alloc(1, sizeof(*p));
    p->fd = -1;
    p->gil_count = -1;
    p->library = find_library();
    int rc = 0;
    if (!p->library) {
        *why = lab_format("the library " PRELOAD_LIBRARY " is neither beside the command nor in "
                          "libexec/heddle (HEDDLE_LIBEXEC says where else)");
        rc = -ENOENT;
    } else if (strpbrk(p->library, ": ")) {
        *why = lab_format("the dynamic linker takes no colon or blank in the name of '%s'; install "
                          "it elsewhere", p->library);
        rc = -EINVAL;
    } else if ((rc = make_memory(p, follow)) < 0) {
        *why = lab_format("no memory to share with the command: %s", strerror(-rc));
    }
    if (rc < 0) {
        probe_preload_close(p);
        return rc;
    }
    p->where = lab_format("%llx:/proc/%d/fd/%d", (unsigned long long)p->memory->cookie,
                          (int)getpid(), p->fd);
    preload_both(p->memory->tsc, &p->past_ticks, &p->past_ns);
    p->now_ns = p->later_ns = p->past_ns;
    p->now_ticks = p->later_ticks = p->past_ticks;
    p->tick_ns = 1;
    *out = p;
    return 0;
}

void probe_preload_close(struct probe_preload *p) {
    if (!p)
        return;
    if (p->memory)
        munmap(p->memory, sizeof(*p->memory));
    if (p->fd >= 0)
        close(p->fd);
    free(p->library);
    free(p->where);
    free(p->old_preload);
    free(p->old_where);
    free(p);
}

void probe_preload_setenv(struct probe_preload *p) {
    const char *preload = getenv("LD_PRELOAD"), *where = getenv(PRELOAD_ENVIRONMENT);
    p->old_preload = preload ? lab_copy(preload) : NULL;
    p->old_where = where ? lab_copy(where) : NULL;
    char *both = lab_format("%s%s%s", p->library, preload && *preload ? ":" : "",
                            preload ? preload : "");
    setenv("LD_PRELOAD", both, 1);
    setenv(PRELOAD_ENVIRONMENT, p->where, 1);
    free(both);
}

static void put_back(const char *name, char **old) {
    if (*old)
        setenv(name, *old, 1);
    else
        unsetenv(name);
    free(*old);
    *old = NULL;
}

void probe_preload_restore(struct probe_preload *p) {
    put_back("LD_PRELOAD", &p->old_preload);
    put_back(PRELOAD_ENVIRONMENT, &p->old_where);
}

void probe_preload_launched(struct probe_preload *p, pid_t pid) {
    atomic_store(&p->memory->launched, pid);
}

void probe_preload_gils(struct probe_preload *p, pid_t pid, const struct probe_gil *gil,
                        int count) {
    p->pid = pid;
    p->gil_count = count < GILS ? count : GILS;
    for (int i = 0; i < p->gil_count; i++)
        p->gil[i] = gil[i];
}

/* ---- the next event of a ring ---- */

/* A release that stands in `drop` alone. The number is read between two readings of the moment: it
 * changes only while that is 0. */
static bool standing_release(struct probe_preload *p, unsigned at, struct next *out) {
    struct preload_ring *r = &p->memory->ring[at];
    uint64_t ticks = atomic_load(&r->drop_ticks);
    if (!ticks || (ticks & PRELOAD_CLAIMED))
        return false;
    uint64_t number = atomic_load(&r->drop_number);
    unsigned lock = atomic_load(&r->drop_lock);
    if (atomic_load(&r->drop_ticks) != ticks || p->reading[at].dropped == number)
        return false;
    uint64_t ns = preload_moment(ticks, p->past_ticks, p->past_ns, p->now_ticks, p->now_ns);
    *out = (struct next){ns, preload_pack(PRELOAD_DROP, lock, number), at, ticks};
    return true;
}

/* The oldest event of a ring; it stays where it is. */
static bool peek(struct probe_preload *p, unsigned at, struct next *out) {
    struct preload_ring *r = &p->memory->ring[at];
    /* Pairs with the thread's release of `head`. */
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    for (uint64_t tail = GET(r->tail); tail != head; tail++) {
        const struct preload_record *record = &r->record[tail % PRELOAD_RECORDS];
        if (record->what >> 56 == PRELOAD_DROP && p->reading[at].dropped
            && (record->what & 0xffffffffffff) == p->reading[at].dropped) {
            atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
            continue;
        }
        *out = (struct next){record->ns, record->what, at, 0};
        return true;
    }
    return standing_release(p, at, out);
}

/* Takes away what peek() gave. False: it was a release that has become a record, or a short one,
 * meanwhile. A release may stand in `drop` a moment longer than its record is there. */
static bool consume(struct probe_preload *p, const struct next *n) {
    struct preload_ring *r = &p->memory->ring[n->ring];
    uint64_t ticks = n->standing;
    if (ticks && !atomic_compare_exchange_strong(&r->drop_ticks, &ticks, ticks | PRELOAD_CLAIMED))
        return false;
    if (n->what >> 56 == PRELOAD_DROP)
        p->reading[n->ring].dropped = n->what & 0xffffffffffff;
    if (!n->standing) /* pairs with the thread's acquire of `tail` */
        atomic_store_explicit(&r->tail, GET(r->tail) + 1, memory_order_release);
    return true;
}

/* ---- all rings in one order: a heap of their next events ---- */

static bool before(const struct next *a, const struct next *b) {
    return a->ns != b->ns ? a->ns < b->ns : a->ring < b->ring;
}

static void sift_down(struct probe_preload *p, unsigned at) {
    struct next *heap = p->heap, moved = heap[at];
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= p->heap_count)
            break;
        if (child + 1 < p->heap_count && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void fill_heap(struct probe_preload *p, unsigned rings) {
    p->heap_count = 0;
    for (unsigned i = 0; i < rings; i++) {
        struct preload_ring *r = &p->memory->ring[i];
        if (atomic_load_explicit(&r->use, memory_order_acquire) == PRELOAD_FREE
            || !atomic_load_explicit(&r->tid, memory_order_acquire))
            continue;
        struct next *n = &p->heap[p->heap_count];
        if (peek(p, i, n) && n->ns <= p->limit_ns)
            p->heap_count++;
    }
    for (unsigned i = p->heap_count / 2; i-- > 0;)
        sift_down(p, i);
}

/* ---- handing over ---- */

struct out {
    struct probe_preload *p;
    bool takes, threads;
    probe_sink *sink;
    void *arg;
    long count;
};

static void hand(struct out *o, struct probe_event e) {
    if (e.ns < o->p->last_ns)
        e.ns = o->p->last_ns;
    o->p->last_ns = e.ns;
    e.cpu = -1;
    o->sink(o->arg, &e);
    o->count++;
}

/* The number of a lock among the target's, or PROBE_NO_LOCK for what is none of its GILs. */
static int lock_index(struct probe_preload *p, unsigned number) {
    struct preload_shared *m = p->memory;
    unsigned locks = GET(m->locks);
    if (number >= PRELOAD_LOCKS || number >= locks)
        return PROBE_NO_LOCK;
    pid_t pid = atomic_load_explicit(&m->lock[number].pid, memory_order_acquire);
    if (!p->pid)
        p->pid = pid; /* the first process that uses one */
    if (pid != p->pid)
        return PROBE_NO_LOCK;
    uint64_t address = GET(m->lock[number].address), other = GET(m->lock[number].other);
    for (int i = 0; i < p->gil_count; i++) {
        const struct probe_gil *g = &p->gil[i];
        if ((address >= g->address && address - g->address < g->size)
            || (other >= g->address && other - g->address < g->size))
            return i;
    }
    if (p->gil_count > 0)
        return PROBE_NO_LOCK;
    int index = 0;
    for (unsigned i = 0; i < number; i++)
        index += GET(m->lock[i].pid) == pid;
    return index;
}

static void tell_thread(struct out *o, unsigned ring, uint64_t ns, uint64_t parent) {
    struct preload_ring *r = &o->p->memory->ring[ring];
    if (o->p->reading[ring].told)
        return;
    o->p->reading[ring].told = true;
    if (o->threads)
        hand(o, (struct probe_event){.ns = ns, .kind = PROBE_THREAD, .tid = GET(r->tid),
                                     .pid = GET(r->pid), .lock = PROBE_NO_LOCK, .value = parent});
}

static void hand_record(struct out *o, const struct next *n);

/* Who has a lock now, and what the taking was. */
static void hand_got(struct out *o, struct probe_event e, unsigned number, unsigned ring) {
    struct probe_preload *p = o->p;
    struct next release;
    unsigned had = p->holder_ring[number];
    /* The release before it, which may be noted with a later time, or be young. */
    if (had && had - 1 != ring && peek(p, had - 1, &release)
        && release.what >> 48 == (PRELOAD_DROP << 8 | number)) {
        release.ns = release.ns < e.ns ? release.ns : e.ns;
        if (consume(p, &release) || (peek(p, had - 1, &release) && consume(p, &release)))
            hand_record(o, &release);
    }
    p->holder_ring[number] = ring + 1;
    if (p->holder[number] != e.tid) {
        p->holder[number] = e.tid;
        p->takes[number]++;
        if (o->takes) {
            e.kind = PROBE_TAKE;
            e.value = p->takes[number];
            hand(o, e);
        }
    }
    e.kind = PROBE_GOT;
    e.value = 0;
    hand(o, e);
}

static void hand_record(struct out *o, const struct next *n) {
    static const uint8_t kinds[] = {[PRELOAD_WANT] = PROBE_WANT, [PRELOAD_GOT] = PROBE_GOT,
                                    [PRELOAD_DROP] = PROBE_DROP, [PRELOAD_FORCE] = PROBE_FORCE};
    struct preload_ring *r = &o->p->memory->ring[n->ring];
    unsigned kind = (unsigned)(n->what >> 56), number = n->what >> 48 & 255;
    uint64_t value = n->what & 0xffffffffffff;
    struct probe_event e = {.ns = n->ns, .tid = GET(r->tid), .pid = GET(r->pid),
                            .lock = PROBE_NO_LOCK};
    tell_thread(o, n->ring, n->ns, kind == PRELOAD_BORN ? value : 0);
    if (kind == PRELOAD_ENDED) {
        e.kind = PROBE_EXIT;
        if (o->threads)
            hand(o, e);
        return;
    }
    if (kind >= sizeof(kinds) / sizeof(kinds[0]))
        return;
    e.lock = (int16_t)lock_index(o->p, number);
    if (e.lock == PROBE_NO_LOCK)
        return;
    e.kind = kinds[kind];
    if (kind == PRELOAD_GOT) {
        hand_got(o, e, number, n->ring);
        return;
    }
    if (kind == PRELOAD_DROP) {
        /* Of a taking that nobody told: it was before the lock was known for one, or is lost. */
        if (o->p->holder_ring[number] != n->ring + 1)
            return;
        o->p->holder_ring[number] = 0;
    }
    e.value = kind == PRELOAD_WANT ? value : 0;
    hand(o, e);
}

/* Frees rings: of threads that have left, after the last record; of those that ended without a word
 * (the process was killed, or became another program), which is looked. */
static void give_back(struct out *o, unsigned rings, bool look_for_gone) {
    struct probe_preload *p = o->p;
    for (unsigned i = 0; i < rings; i++) {
        struct preload_ring *r = &p->memory->ring[i];
        uint32_t use = atomic_load_explicit(&r->use, memory_order_acquire);
        if (use == PRELOAD_FREE || !GET(r->tid))
            continue;
        bool gone = look_for_gone && use == PRELOAD_USED
                    && syscall(SYS_tgkill, GET(r->pid), GET(r->tid), 0) < 0 && errno == ESRCH;
        struct next n;
        if ((use != PRELOAD_LEFT && !gone) || GET(r->tail) != atomic_load(&r->head)
            || peek(p, i, &n))
            continue;
        if (gone && o->threads && p->reading[i].told)
            hand(o, (struct probe_event){.ns = p->limit_ns, .kind = PROBE_EXIT, .tid = GET(r->tid),
                                         .pid = GET(r->pid), .lock = PROBE_NO_LOCK});
        p->ended_gots += GET(r->gots);
        p->ended_shorts += GET(r->shorts);
        p->ended_short_ticks += GET(r->short_ticks);
        p->ended_full += GET(r->full);
        p->reading[i] = (struct reading){0};
        memset(r, 0, offsetof(struct preload_ring, record));
        /* Pairs with the acquire of who takes it next. */
        atomic_store_explicit(&r->use, PRELOAD_FREE, memory_order_release);
    }
}

static uint64_t lost_so_far(const struct probe_preload *p) {
    const struct preload_shared *m = p->memory;
    unsigned rings = GET(m->rings);
    uint64_t lost = GET(m->ringless) + p->ended_full;
    for (unsigned i = 0; i < rings && i < PRELOAD_RINGS; i++)
        lost += GET(m->ring[i].full);
    return lost;
}

static long hand_over(struct out *o) {
    struct probe_preload *p = o->p;
    unsigned rings = GET(p->memory->rings);
    if (rings > PRELOAD_RINGS)
        rings = PRELOAD_RINGS;
    for (fill_heap(p, rings); p->heap_count > 0; sift_down(p, 0)) {
        /* What is at the top may be gone, or have become a record with another time. */
        struct next *top = &p->heap[0], n = *top;
        if (peek(p, n.ring, top) && top->ns <= p->limit_ns) {
            if (top->ns != n.ns || top->what != n.what || !consume(p, top))
                continue;
            n = *top;
            hand_record(o, &n);
            if (peek(p, n.ring, top) && top->ns <= p->limit_ns)
                continue;
        }
        *top = p->heap[--p->heap_count];
    }
    uint64_t lost = lost_so_far(p);
    if (lost > p->lost_told)
        hand(o, (struct probe_event){.ns = p->limit_ns, .kind = PROBE_LOST,
                                     .lock = PROBE_NO_LOCK, .value = lost - p->lost_told});
    p->lost_told = lost;
    bool look_for_gone = p->now_ns - p->gone_looked_ns > GONE_EVERY_NS;
    if (look_for_gone)
        p->gone_looked_ns = p->now_ns;
    give_back(o, rings, look_for_gone);
    return o->count;
}

/* Takes the time by both clocks. A release that stands in `drop` is converted between this moment
 * and one of some seconds ago: far enough to have been before it, near enough for clocks that run
 * unequally. */
static void take_time(struct probe_preload *p) {
    if (p->now_ns - p->later_ns > 4 * (uint64_t)GONE_EVERY_NS) {
        p->past_ns = p->later_ns;
        p->past_ticks = p->later_ticks;
        p->later_ns = p->now_ns;
        p->later_ticks = p->now_ticks;
    }
    preload_both(p->memory->tsc, &p->now_ticks, &p->now_ns);
    if (p->now_ticks > p->past_ticks)
        p->tick_ns = (double)(p->now_ns - p->past_ns) / (double)(p->now_ticks - p->past_ticks);
}

static long step(struct probe_preload *p, uint64_t late_ns, struct out o) {
    take_time(p);
    p->limit_ns = p->now_ns - late_ns;
    return hand_over(&o);
}

long probe_preload_step(struct probe_preload *p, bool takes, bool threads, probe_sink *sink,
                        void *arg) {
    return step(p, PRELOAD_LATE_NS, (struct out){p, takes, threads, sink, arg, 0});
}

long probe_preload_finish(struct probe_preload *p, bool takes, bool threads, probe_sink *sink,
                          void *arg) {
    return step(p, 0, (struct out){p, takes, threads, sink, arg, 0});
}

void probe_preload_facts(const struct probe_preload *p, struct probe_preload_facts *out) {
    const struct preload_shared *m = p->memory;
    unsigned rings = GET(m->rings);
    uint64_t ticks = p->ended_short_ticks;
    *out = (struct probe_preload_facts){
        .processes = GET(m->processes), .locks = GET(m->locks), .gots = p->ended_gots,
        .shorts = p->ended_shorts, .lost = lost_so_far(p)};
    for (unsigned i = 0; i < rings && i < PRELOAD_RINGS; i++) {
        out->gots += GET(m->ring[i].gots);
        out->shorts += GET(m->ring[i].shorts);
        ticks += GET(m->ring[i].short_ticks);
    }
    out->short_ns = (uint64_t)((double)ticks * p->tick_ns);
}
