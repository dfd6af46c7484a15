/* SPDX-License-Identifier: MIT */
/* Locks other than the GIL, as far as a verdict on the GIL names them: Python's own, which the
 * samples know; where Python's code cannot be read, a futex that several threads wait on. */
#include <stdlib.h>

#include "probe/mutex.h"
#include "probe/verdict_inside.h"
#include "report/format.h"
#include "text.h"

static void add_waits(const struct probe_verdict *k, struct probe_mutexes *sums) {
    bool known = k->r->python && k->r->python->stacks;
    for (size_t i = 0; i < k->t->thread_count; i++) {
        const struct probe_thread *th = &k->t->thread[i];
        for (size_t n = 0; probe_verdict_has(k, i) && n < th->blocked_on_count; n++) {
            const struct probe_tally *y = &th->blocked_on[n];
            struct probe_mutex_wait wait = {.kind = y->mutex,
                                            .tid = th->tid,
                                            .address = y->futex,
                                            .python = y->stack};
            if (y->futex && (y->mutex || !known))
                probe_mutexes_add(sums, th->pid, &wait, y->ns);
        }
    }
    probe_mutexes_sort(sums);
}

/* A lock of the program's own, behind which threads wait. */
void probe_words_other_lock(struct probe_verdict *k) {
    struct probe_mutexes sums = {0};
    const struct probe_mutex *worst = NULL;
    add_waits(k, &sums);
    for (size_t i = 0; i < sums.count && !worst; i++) {
        if (sums.list[i].kind || sums.list[i].threads > 1) /* a thread may wait for work alone */
            worst = &sums.list[i];
    }
    if (worst && (double)worst->ns >= k->elapsed_ns / (worst->kind ? 5 : 2)) {
        const struct probe_mutex_way *way = probe_mutex_main_way(worst);
        char *line = k->r->stacks ? probe_mutex_line(k->r->stacks, way->python, 0) : lab_copy("");
        char *lock = worst->kind ? probe_mutex_text((enum probe_mutex_kind)worst->kind,
                                                    worst->address, NULL)
                                 : lab_copy("one lock (a threading.Lock, a queue)");
        char cell[LAB_CELL];
        lab_human(cell, (double)worst->ns, "ns");
        probe_verdict_say(k,
                          "Not the GIL, but %s is what %zu thread%s waited for: %s in all, %.1f "
                          "threads on average%s%s.",
                          lock, worst->threads, worst->threads == 1 ? "" : "s", cell,
                          (double)worst->ns / k->elapsed_ns, *line ? ", most often at " : "", line);
        if (worst->kind)
            probe_say(&k->w->advice,
                      "Hold %s for a shorter time, or split it: what it guards is done by one "
                      "thread at a time, whatever becomes of the GIL.", lock);
        probe_say(&k->w->advice, "'heddle threads' tells more of locks other than the GIL.");
        free(line);
        free(lock);
    }
    probe_mutexes_free(&sums);
}
