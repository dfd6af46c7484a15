/* SPDX-License-Identifier: MIT */
/* How good the figures of a GIL are, in words; and what is said where there is none. */
#include <inttypes.h>

#include "probe/verdict_inside.h"
#include "report/format.h"

bool probe_words_stopped(struct probe_verdict *k) {
    if (k->r->stopped < 0.05)
        return false;
    probe_say(
        &k->w->verdict,
        "For about %.0f %% of the time the process was stopped (by SIGSTOP, its terminal or a "
        "debugger; 'kill -CONT %d' lets it go on): nothing of it ran then, and the figures "
        "below count that time as waiting.",
        k->r->stopped * 100, (int)k->r->pid);
    return k->r->stopped > 0.5;
}

void probe_words_free_threaded(struct probe_verdict *k, bool gil) {
    if (gil) {
        probe_say(
            &k->w->verdict,
            "This is a free-threaded build, but its GIL was on (PYTHON_GIL=1, -X gil=1, or an "
            "extension module that is not made for running without).");
        probe_say(&k->w->advice,
                  "Run it with PYTHON_GIL=0 to see whether it does without the GIL; Python warns "
                  "on standard error when the import of an extension module switches it on.");
        return;
    }
    double on = 0, ready = 0;
    for (size_t i = 0; i < k->t->thread_count; i++) {
        on += (double)k->t->thread[i].state_ns[PROBE_STATE_ON];
        ready += (double)k->t->thread[i].state_ns[PROBE_STATE_RUNNABLE];
    }
    if (k->elapsed_ns <= 0)
        return;
    probe_say(&k->w->verdict,
              "This is a free-threaded build: there is no GIL to wait for. Its threads used %.2f "
              "CPUs on average; another %.2f could have run, but had none.",
              on / k->elapsed_ns, ready / k->elapsed_ns);
}

static void note_counts(struct probe_verdict *k) {
    const struct probe_watch_facts *f = k->r->facts;
    struct probe_sentences *notes = &k->w->notes;
    if (f && f->number_last > f->number_first && f->takes) {
        uint64_t own = f->number_last - f->number_first;
        double off = ((double)f->takes - (double)own) / (double)own * 100;
        probe_say(notes,
                  "Between the first and the last look at the interpreter's own count it counted "
                  "%" PRIu64 " hand-overs; we saw %" PRIu64 " (%+.2f %%).",
                  own, f->takes, off);
    }
    if (k->t->lost)
        probe_say(notes,
                  "%" PRIu64 " events were lost on the way, since they came faster than they could "
                  "be read; times near them are less sure.",
                  k->t->lost);
    if (f && f->looks_torn)
        probe_say(notes,
                  "%" PRIu64 " of %" PRIu64 " samples of stacks were given up, since the target "
                  "changed them meanwhile.",
                  f->looks_torn, f->looks);
    if (k->t->spans_dropped)
        probe_say(notes,
                  "The pictures show the newest %zu spans; %" PRIu64 " older ones were dropped. "
                  "All totals are of the whole time.",
                  k->t->span_count, k->t->spans_dropped);
    if (k->t->threads_dropped)
        probe_say(notes, "%" PRIu64 " threads are counted together, as 'other threads'.",
                  k->t->threads_dropped);
    if (k->r->stacks && probe_stacks_lost(k->r->stacks))
        probe_say(notes, "%" PRIu64 " stacks did not fit, and are shown as '[more stacks]'.",
                  probe_stacks_lost(k->r->stacks));
}

static void note_estimates(struct probe_verdict *k) {
    if (k->all.by_samples)
        probe_say(&k->w->notes,
                  "C code lets go of the GIL and takes it again too often to be seen each time: "
                  "for how long it was held is what samples say, and a single hold, in the "
                  "histogram and the pictures, looks longer than it was.");
    if (k->all.exact) {
        probe_say(&k->w->notes, "Waits are as the target itself wrote them down.");
    } else if (k->sampled && k->t->lock_count) {
        probe_say(&k->w->notes,
                  "Hand-overs were not seen one by one: who held the GIL is estimated from "
                  "samples.");
        if (k->r->python && !k->r->python->has_gil_number && !k->r->target)
            probe_say(&k->w->notes,
                      "This interpreter does not count them either. Launched by heddle gil, it is "
                      "made to write them down itself (--preload).");
    } else if (k->t->lock_count) {
        if ((double)k->all.takes > k->elapsed_ns / 1e9 * 1000)
            probe_say(&k->w->notes,
                      "The GIL changes hands more often than samples are taken: what part of the "
                      "time a thread held it, waited or blocked may be off by a third. A command "
                      "that is launched with --preload tells it exactly.");
        probe_say(&k->w->notes,
                  "Hand-overs and times on CPU are exact. Where a wait began follows from when the "
                  "thread went off its CPU; times of lines are estimated from samples.");
    }
}

static void say_pauses(struct probe_verdict *k) {
    if (k->t->pauses == 0)
        return;
    char cell[LAB_CELL];
    lab_human(cell, (double)k->t->pause_ns, "ns");
    probe_say(&k->w->verdict, "The whole interpreter stood still %" PRIu64 " times, %s in all.",
              k->t->pauses, cell);
}

void probe_words_notes(struct probe_verdict *k) {
    k->all = (struct probe_lock){0};
    for (size_t i = 0; i < k->t->lock_count; i++) {
        k->all.takes += k->t->lock[i].takes;
        k->all.exact |= k->t->lock[i].exact;
        k->all.by_samples |= k->t->lock[i].by_samples;
    }
    say_pauses(k);
    note_counts(k);
    note_estimates(k);
}
