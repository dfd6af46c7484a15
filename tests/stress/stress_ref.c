/* SPDX-License-Identifier: MIT */
/* Reference counts under everything at once: threads, preempted every 100 microseconds, and foreign
 * kernel threads take references from a table, keep them for a while, give them back on other
 * threads than took them; owners end, objects move, weak references are revived. Each object knows
 * whether it was freed; at the end none is left.
 *
 * Light threads may not wait for locks of the C library. So where there are some, objects come from
 * a list of our own; else from malloc(), whose misuse the sanitizers see. */
#include "crew.h"

#include <string.h>

enum { PLACES = 32, KEPT = 8, ALIVE = 0x600df00d, FINISHED = 0xf1f1, DEAD = 0xdead };

struct object {
    hd_ref ref;
    _Atomic uint32_t state;
    bool weakly;
    struct object *also; /* put by the destructor; guarded by having the last reference */
    struct object *next; /* link: unused ones; their lock */
};

/* A place holds one reference to what is in it. */
struct place {
    hd_mutex lock;
    struct object *object;
    struct object *weak; /* a weak reference; objects of hd_ref_init_weak() only */
};

static struct {
    struct place places[PLACES];
    _Atomic int64_t alive;
    _Atomic uint64_t made, revived, missed;
    bool light;
    hd_mutex unused_lock;
    struct object *unused; /* guarded by unused_lock */
} all;

static struct object *object_alloc(void) {
    struct object *o = NULL;
    if (all.light) {
        hd_mutex_lock(&all.unused_lock);
        o = all.unused;
        if (o)
            all.unused = o->next;
        hd_mutex_unlock(&all.unused_lock);
    }
    return o ? o : malloc(sizeof *o);
}

static void object_give(struct object *o) {
    if (!all.light) {
        free(o);
        return;
    }
    hd_mutex_lock(&all.unused_lock);
    o->next = all.unused;
    all.unused = o;
    hd_mutex_unlock(&all.unused_lock);
}

/* More than are ever in use at once, or nearly. */
static void prepare_objects(void) {
    enum { MANY = 20000 };
    struct object *o = calloc(MANY, sizeof *o);
    CHECK(o != NULL);
    for (int i = 0; i < MANY; i++)
        object_give(&o[i]);
}

static void check_alive(struct object *o) {
    CHECK_EQ(atomic_load_explicit(&o->state, memory_order_relaxed), ALIVE);
}

static void put(struct object *o) {
    check_alive(o);
    hd_ref_put(&o->ref);
}

static void get(struct object *o) {
    check_alive(o);
    hd_ref_get(&o->ref);
}

static void release(struct object *o) {
    if (o->also)
        put(o->also);
}

static void object_finish(hd_ref *r) {
    struct object *o = HD_REF_OBJECT(r, struct object, ref);
    CHECK_EQ(atomic_exchange(&o->state, FINISHED), ALIVE);
    release(o);
    o->also = NULL;
}

static void object_free(hd_ref *r) {
    struct object *o = HD_REF_OBJECT(r, struct object, ref);
    CHECK_EQ(atomic_exchange(&o->state, DEAD), o->weakly ? FINISHED : ALIVE);
    atomic_fetch_sub(&all.alive, 1);
    release(o);
    object_give(o);
}

static struct object *make(struct crew_member *m) {
    struct object *o = object_alloc();
    CHECK(o != NULL);
    atomic_init(&o->state, ALIVE);
    o->also = NULL;
    o->weakly = crew_chance(m, 2);
    atomic_fetch_add(&all.alive, 1);
    atomic_fetch_add(&all.made, 1);
    if (o->weakly)
        hd_ref_init_weak(&o->ref, object_finish, object_free);
    else
        hd_ref_init(&o->ref, object_free);
    if (crew_chance(m, 8))
        hd_ref_share(&o->ref);
    return o;
}

static struct place *some_place(struct crew_member *m) {
    return &all.places[test_rng_below(&m->rng, PLACES)];
}

/* Takes a reference to what is in a place; NULL: nothing is. */
static struct object *take_from(struct place *p) {
    hd_mutex_lock(&p->lock);
    struct object *o = p->object;
    if (o)
        get(o);
    hd_mutex_unlock(&p->lock);
    return o;
}

/* Gives the caller's reference to a place, in exchange for the one that is there. */
static struct object *exchange(struct place *p, struct object *o) {
    hd_mutex_lock(&p->lock);
    struct object *before = p->object;
    p->object = o;
    hd_mutex_unlock(&p->lock);
    return before;
}

static void leave_weak(struct place *p, struct object *o) {
    if (!o->weakly)
        return;
    hd_ref_weak_get(&o->ref);
    hd_mutex_lock(&p->lock);
    struct object *before = p->weak;
    p->weak = o;
    hd_mutex_unlock(&p->lock);
    if (before)
        hd_ref_weak_put(&before->ref);
}

static struct object *revive(struct place *p) {
    hd_mutex_lock(&p->lock);
    struct object *o = p->weak;
    bool got = o && hd_ref_tryget(&o->ref);
    if (got)
        check_alive(o);
    hd_mutex_unlock(&p->lock);
    if (o)
        atomic_fetch_add(got ? &all.revived : &all.missed, 1);
    return got ? o : NULL;
}

static void use(struct crew_member *m, struct object *o) {
    uint64_t times = 1 + test_rng_below(&m->rng, crew_chance(m, 20) ? 200 : 5);
    for (uint64_t i = 0; i < times; i++) {
        get(o);
        if (crew_chance(m, 50))
            crew_pause(m);
        put(o);
    }
}

struct bag {
    struct object *kept[KEPT];
};

static void one_turn(struct crew_member *m, struct bag *bag) {
    struct object **mine = &bag->kept[test_rng_below(&m->rng, KEPT)], *o;
    switch (test_rng_below(&m->rng, 9)) {
    case 0:
        o = make(m);
        if (*mine && crew_chance(m, 3)) {
            o->also = *mine; /* a chain */
            *mine = NULL;
        }
        o = exchange(some_place(m), o);
        if (o)
            put(o);
        break;
    case 1:
    case 2:
        if (*mine)
            put(*mine);
        *mine = take_from(some_place(m));
        break;
    case 3:
        if (*mine)
            *mine = exchange(some_place(m), *mine);
        break;
    case 4:
        if (*mine)
            leave_weak(some_place(m), *mine);
        break;
    case 5:
        o = revive(some_place(m));
        if (*mine)
            put(*mine);
        *mine = o;
        break;
    case 6:
        if (*mine && crew_chance(m, 30))
            hd_ref_share(&(*mine)->ref);
        if (crew_chance(m, 4))
            hd_ref_drain();
        break;
    default:
        if (*mine)
            use(m, *mine);
    }
}

static void empty(struct bag *bag) {
    for (int i = 0; i < KEPT; i++)
        if (bag->kept[i])
            put(bag->kept[i]);
    memset(bag, 0, sizeof *bag);
}

/* ---- threads that end early, and leave what they own behind ---- */

struct visit {
    struct crew_member member; /* random choices of its own */
    struct bag bag;
};

static void *short_life(void *arg) {
    struct visit *v = arg;
    uint64_t turns = test_rng_below(&v->member.rng, 60);
    for (uint64_t i = 0; i < turns; i++)
        one_turn(&v->member, &v->bag);
    return NULL; /* its bag goes to whoever joins it */
}

static void visit(struct crew_member *m, struct bag *bag) {
    struct visit v = {*m, {{NULL}}};
    v.member.rng.state = test_rng_next(&m->rng);
    v.member.foreign = m->foreign && crew_chance(m, 2);
    if (v.member.foreign) {
        pthread_t p;
        CHECK_EQ(pthread_create(&p, NULL, short_life, &v), 0);
        CHECK_EQ(pthread_join(p, NULL), 0);
    } else {
        hd_thread *t;
        bool light = all.light && crew_chance(m, 2);
        int err, kind = light ? HD_PREEMPT_LIGHT : HD_PREEMPT_CARRIER;
        CHECK_OK(hd_spawn(&t, HD_ATTR(.preempt = kind), short_life, &v));
        do {
            err = hd_join(t, NULL);
        } while (err == -EINTR);
        CHECK_OK(err);
    }
    empty(bag);
    *bag = v.bag;
}

static void live(struct crew_member *m) {
    struct bag bag = {{NULL}};
    while (crew_goes_on(m)) {
        if (crew_chance(m, 40))
            visit(m, &bag);
        else
            one_turn(m, &bag);
        if (crew_chance(m, 16))
            crew_pause(m);
    }
    empty(&bag);
}

static void clear_places(void) {
    for (int i = 0; i < PLACES; i++) {
        struct object *o = exchange(&all.places[i], NULL), *weak = all.places[i].weak;
        if (o)
            put(o);
        all.places[i].weak = NULL;
        if (weak)
            hd_ref_weak_put(&weak->ref);
    }
}

static int everything(void *arg) {
    unsigned threads = *(unsigned *)arg;
    crew_run(live, NULL, threads, threads / 4, crew_time_ns(4), true);
    clear_places();
    while (hd_ref_drain() > 0)
        continue;
    struct hd_ref_stats s = HD_REF_STATS_INIT;
    CHECK_OK(hd_ref_stats_get(&s));
    test_note("%llu made, %llu revived, %llu missed; queued %llu, orphaned %llu, merged %llu, "
              "switched %llu", (unsigned long long)all.made, (unsigned long long)all.revived,
              (unsigned long long)all.missed, (unsigned long long)s.queued,
              (unsigned long long)s.orphaned, (unsigned long long)s.merges,
              (unsigned long long)s.bias_switches);
    CHECK_EQ(atomic_load(&all.alive), 0);
    CHECK_GT(atomic_load(&all.made), 0);
    return 0;
}

static void run_all(unsigned workers, unsigned threads, int preempt) {
    all.light = preempt == HD_PREEMPT_LIGHT;
    if (all.light)
        prepare_objects();
    CHECK_OK(hd_run(HD_CONFIG(.workers = workers, .slice_us = 100, .preempt = preempt), everything,
                    &threads));
}

TEST_WITHIN(preempted_with_their_kernel_threads, 120) {
    run_all(2, 16, HD_PREEMPT_CARRIER);
}

TEST_WITHIN(preempted_the_light_way, 120) {
    run_all(2, 16, HD_PREEMPT_LIGHT);
}

TEST_WITHIN(one_worker, 120) {
    run_all(1, 24, HD_PREEMPT_LIGHT);
}

TEST_WITHIN(with_counters, 120) {
    hd_ref_stats_enable(true);
    run_all(3, 12, HD_PREEMPT_CARRIER);
    struct hd_ref_stats s = HD_REF_STATS_INIT;
    CHECK_OK(hd_ref_stats_get(&s));
    CHECK_GT(s.queued, 0);
    CHECK_GT(s.orphaned, 0);
    CHECK_GE(s.merges, s.orphaned);
    CHECK_GE(s.bias_switches, s.migrations);
}
