/* SPDX-License-Identifier: MIT */
/* Biased reference counts: mem/ref.c and mem/ref_owner.c. An object is freed once, by nobody while
 * somebody else still looks at it, and not before the last reference is given back. */
#include "absent.h"
#include "test.h"

#include "mem/ref.c"
#include "mem/ref_owner.c"
#include "os/spin.c"

struct object {
    hd_ref ref;
    int by[MODEL_THREADS]; /* written by each thread that has a reference; the destructor reads */
};

static struct object *_Atomic given; /* to the others */
static struct object *object;
static int freed, finished;
static void *own[MODEL_THREADS]; /* what ref_owner.c keeps for each thread */
static hd_thread party[MODEL_THREADS];
static int written;

__thread uint64_t hd__thread_token;
__thread int64_t hd__counter_slot;
void (*_Atomic hd__tls_own_ends)(hd_thread *t, void *own, bool discarded);

/* ---- What it needs ---- */

struct hd__worker *hd__self_enter(void) { return (struct hd__worker *)(uintptr_t)64; }
struct hd__worker *hd__sched_enter_slow(struct hd__worker *w) { return w; }
void hd__sched_leave(void) {}
hd_thread *hd__wait_self(void) { return &party[model_self()]; }
uint64_t hd__self_token(void) { return hd__thread_token; }
uint64_t hd__look_token(void) { return hd__thread_token; }
void hd__self_set_token(uint64_t token) { hd__thread_token = token; }
void *hd__tls_own(const hd_thread *t) { return own[t - party]; }
int hd__tls_own_set(hd_thread *t, void *refs) { own[t - party] = refs; return 0; }
int hd__tls_prepare(hd_thread *t, void (*end)(void *t)) { (void)t, (void)end; return 0; }
void hd__sched_end_values(void *t) { (void)t; }
void *hd__os_calloc(size_t n, size_t size) { return model_alloc(n * size); }
void hd__os_free(void *p) { if (p) model_free(p); }
void hd__counter_add(hd_counter *c, int64_t n) { (void)c, (void)n; }

/* ---- The parties ---- */

static void begin(void) { hd__thread_token = model_self() + 1; }

static void end(void) {
    if (own[model_self()]) ends(&party[model_self()], own[model_self()], false);
    hd__thread_token = HD__TOKEN_NONE;
}

/* What everybody did to the object happens before its destructor. */
static void use(struct object *o) { o->by[model_self()]++; }

static void read_all(struct object *o) {
    for (int i = 0; i < MODEL_THREADS; i++) written += o->by[i];
}

static void free_object(hd_ref *r) {
    struct object *o = HD_REF_OBJECT(r, struct object, ref);
    read_all(o);
    freed++;
    model_free(o);
}

static void finish_object(hd_ref *r) {
    read_all(HD_REF_OBJECT(r, struct object, ref));
    finished++;
}

static void free_memory(hd_ref *r) {
    freed++;
    model_free(HD_REF_OBJECT(r, struct object, ref));
}

static struct object *make(int gives, bool weak) {
    struct object *o = model_alloc(sizeof *o);
    model_name(o, sizeof *o, "object");
    if (weak)
        hd_ref_init_weak(&o->ref, finish_object, free_memory);
    else
        hd_ref_init(&o->ref, free_object);
    for (int i = 0; i < gives; i++) hd_ref_get(&o->ref);
    if (weak) hd_ref_weak_get(&o->ref);
    use(o);
    atomic_store_explicit(&given, o, memory_order_release);
    return o;
}

static struct object *take(void) {
    struct object *o = atomic_load_explicit(&given, memory_order_acquire);
    if (!o) model_spin();
    return o;
}

static void owner_of(int gives, bool weak, bool shares) {
    begin();
    struct object *o = make(gives, weak);
    use(o);
    if (shares) hd_ref_share(&o->ref);
    hd_ref_put(&o->ref);
    end();
}

static void owner_gives_one(void) { owner_of(1, false, false); }
static void owner_gives_two(void) { owner_of(2, false, false); }
static void owner_shares(void) { owner_of(1, false, true); }
static void owner_weak(void) { owner_of(0, true, false); }

static void other_puts(void) {
    begin();
    struct object *o = take();
    use(o);
    hd_ref_put(&o->ref);
    end();
}

static void other_gets_and_puts(void) {
    begin();
    struct object *o = take();
    hd_ref_get(&o->ref);
    use(o);
    hd_ref_put(&o->ref);
    use(o);
    hd_ref_put(&o->ref);
    end();
}

static void other_revives(void) {
    begin();
    struct object *o = take();
    if (hd_ref_tryget(&o->ref)) {
        MODEL_ASSERT(!finished);
        use(o);
        hd_ref_put(&o->ref);
    }
    hd_ref_weak_put(&o->ref);
    end();
}

static void freed_once(void) {
    MODEL_ASSERT(freed == 1 && hd__ref_queued == 0);
    MODEL_ASSERT(written >= 1);
}

static void finished_once(void) {
    freed_once();
    MODEL_ASSERT(finished == 1);
}

/* ---- The vote: an object that nobody owns, and whose next put by thread 0 wins ---- */

static void setup_votes(unsigned references) {
    struct object *o = object = model_alloc(sizeof *o);
    struct hd__ref *r = ref_of(&o->ref);
    uint64_t token = 1, votes = LEAD - 1;
    uint64_t candidate = (token * UINT64_C(0x9e3779b97f4a7c15)) >> 56 << 24;
    *r = (struct hd__ref){.owner = HD__REF_LAST | 9, .free = free_object};
    r->shared = references * ONE | MERGED | candidate | votes * SCORE_ONE;
    model_name(o, sizeof *o, "object");
}

static void setup_vote(void) { setup_votes(3); }
static void setup_vote_of_two(void) { setup_votes(2); }

static void wins(void) {
    begin();
    use(object);
    hd_ref_put(&object->ref);
    end();
}

static void puts_one(void) {
    begin();
    use(object);
    hd_ref_put(&object->ref);
    end();
}

static void wins_and_goes_on(void) {
    begin();
    hd_ref_get(&object->ref);
    use(object);
    hd_ref_put(&object->ref);
    use(object);
    hd_ref_put(&object->ref);
    end();
}

#define PROGRAM(name_, setup_, after_, ...)                                              \
    static const struct model name_ = {.name = #name_, .setup = setup_, .after = after_, \
                                       .steps_max = 300, .threads = {__VA_ARGS__}};      \
    TEST(ref_##name_) { model_must_hold(&name_); }

PROGRAM(one_other, NULL, freed_once, owner_gives_one, other_puts)
PROGRAM(other_counts, NULL, freed_once, owner_gives_one, other_gets_and_puts)
PROGRAM(two_others, NULL, freed_once, owner_gives_two, other_puts, other_puts)
PROGRAM(shared, NULL, freed_once, owner_shares, other_puts)
PROGRAM(weak, NULL, finished_once, owner_weak, other_revives)
PROGRAM(claimed, setup_vote, freed_once, wins, puts_one, puts_one)
PROGRAM(claimed_of_two, setup_vote_of_two, freed_once, wins_and_goes_on, puts_one)
PROGRAM(claimed_and_used, setup_vote, freed_once, wins_and_goes_on, puts_one, puts_one)

#define TWICE "the look before and the compare-and-swap acquire the same: either will do"
#define MERGED_SEEN "who claims has acquired MERGED from `shared`, which is stored later"
#define KEEPS "who shares or revives has a reference of its own, whose put orders"
static const struct model_spared spared[] = {
    {"make_mine store release->relaxed", "it is the same function each time"},
    {"put_special load acquire->relaxed", TWICE},
    {"put_special cas acq_rel->release", TWICE},
    {"put_special failed-cas acquire->relaxed", TWICE},
    {"merge store#2 release->relaxed", MERGED_SEEN},
    {"merge failed-cas acquire->relaxed", "the next try acquires"},
    {"hd_ref_share *cas acq*", KEEPS},
    {"emptied cas acq_rel->acquire", "who comes later finds the object dead"},
    {"emptied cas acq_rel->release", TWICE},
    {"hd_ref_tryget *", KEEPS},
    {"claim cas acquire->relaxed", MERGED_SEEN},
    {"claim cas#2 acq_rel->release", TWICE},
    {"claim failed-cas#2 *", TWICE},
    {"claim store#3 release->relaxed", MERGED_SEEN},
    {NULL, NULL},
};

TEST(ref_mutants) {
    static const struct model *const programs[] = {
        &one_other, &other_counts, &shared, &weak, &claimed_of_two, &claimed, &two_others,
        NULL};
    model_mutants_must_fail(programs, "src/mem/*", spared);
}
