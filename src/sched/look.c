/* SPDX-License-Identifier: MIT */
/* Who runs at the moment; look.h. */
#include "sched/look.h"

#include "base/atomic.h"
#include "os/kthread.h"
#include "sched/dispatch.h"

#include <string.h>

static _Atomic uint64_t foreign_tokens;

/* ---- Names of foreign kernel threads ----
 *
 * What each one was called when it got its number: for messages about it, when it may have ended
 * long ago. Of as many as there are places, later ones in place of earlier ones. `of` says whose
 * name it is; 0: nobody's; CHANGES: somebody's who just writes it. It is read before and after the
 * name, which so is whole. */

enum { NAMES = 256, NAME_WORDS = 2, CHANGES = 1 };
static struct {
    _Atomic uint64_t of; /* the token */
    _Atomic uint64_t name[NAME_WORDS];
} names[NAMES];

static void keep_name(uint64_t token) {
    uint64_t words[NAME_WORDS] = {0};
    char *name = (char *)words;
    uint64_t before = hd__load_relaxed(&names[token % NAMES].of);
    hd__os_kthread_name(name, sizeof words);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ') *c = '?';
    if (before == CHANGES || before > token) return;
    if (!atomic_compare_exchange_strong_explicit(&names[token % NAMES].of, &before, CHANGES,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    atomic_thread_fence(memory_order_release); /* with name_of()'s */
    for (int i = 0; i < NAME_WORDS; i++) hd__store_relaxed(&names[token % NAMES].name[i], words[i]);
    hd__store_release(&names[token % NAMES].of, token);
}

/* False: it is not known, or empty. */
static bool name_of(uint64_t token, char name[sizeof(uint64_t[NAME_WORDS])]) {
    uint64_t words[NAME_WORDS];
    bool known = hd__load_acquire(&names[token % NAMES].of) == token;
    for (int i = 0; i < NAME_WORDS; i++) words[i] = hd__load_relaxed(&names[token % NAMES].name[i]);
    atomic_thread_fence(memory_order_acquire);
    memcpy(name, words, sizeof words);
    return known && *name && hd__load_relaxed(&names[token % NAMES].of) == token;
}

/* ---- Who calls ---- */

uint64_t hd__look_token(void) {
    uint64_t token = hd__self_token();
    if (HD__UNLIKELY(token >= HD__TOKEN_ENDED)) {
        token = HD__TOKEN_FOREIGN |
                atomic_fetch_add_explicit(&foreign_tokens, 1, memory_order_relaxed);
        hd__self_set_token(token);
        keep_name(token);
    }
    return token;
}

const char *hd__look_text(char text[HD__LOOK_TEXT], uint64_t token) {
    unsigned long long number = token & ~HD__TOKEN_FOREIGN;
    struct hd__worker *w = hd__worker_get();
    hd_thread *t = w ? current_of(w) : NULL;
    char name[sizeof(uint64_t[NAME_WORDS])];
    if (token >= HD__TOKEN_ENDED)
        hd__format(text, HD__LOOK_TEXT, "a kernel thread without a number");
    else if ((token & HD__TOKEN_FOREIGN) && name_of(token, name))
        hd__format(text, HD__LOOK_TEXT, "foreign kernel thread %llu '%s'", number, name);
    else if (token & HD__TOKEN_FOREIGN)
        hd__format(text, HD__LOOK_TEXT, "foreign kernel thread %llu", number);
    else if (t && t->id == token)
        hd__format(text, HD__LOOK_TEXT, "thread %llu '%s'", number, hd_thread_name(t));
    else
        hd__format(text, HD__LOOK_TEXT, "thread %llu", number);
    return text;
}

/* ---- Who runs ---- */

/* The descriptor may be another thread's by now: memory stays, and that is a different number. */
#ifdef HD__TSAN
__attribute__((no_sanitize_thread))
#endif
static HD__NOINLINE uint64_t number_of(const hd_thread *t) {
    const volatile struct hd_thread *v = t;
    return v->id;
}

bool hd__look_runs(struct hd__worker *w, uint64_t token) {
    const hd_thread *t = current_of(w);
    return t && number_of(t) == token;
}

struct hd__worker *hd__look_runner(uint64_t token) {
    if (token & HD__TOKEN_FOREIGN) return NULL;
    unsigned n = atomic_load_explicit(&hd__rt.active, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        if (hd__look_runs(&hd__rt.workers[i], token)) return &hd__rt.workers[i];
    return NULL;
}

bool hd__look_alone(void) {
    struct hd__worker *w = hd__worker_get();
    if (!w) return true;
    if (hd__rt.ranked) return !hd__ranked_any_own(w) && !hd__ranked_any(w);
    return hd__runq_count(&w->runq) == 0 && hd__fifo_count(&w->inbox) == 0 &&
           hd__fifo_count(&w->light) == 0 && hd__fifo_count(&hd__rt.injected) == 0;
}
