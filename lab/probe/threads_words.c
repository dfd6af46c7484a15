/* SPDX-License-Identifier: MIT */
/* What the figures of heddle threads mean, in words. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "probe/threads.h"
#include "report/format.h"
#include "text.h"

struct sums {
    double wall_ns, on_ns, runnable_ns, blocked_ns, life_ns;
    uint64_t switches, preempted, migrations;
    size_t busiest, second; /* threads by time on a CPU */
    size_t runners;         /* threads that wanted a CPU for a tenth of the time */
};

static double on_ns(const struct probe_thread *th) {
    return (double)th->state_ns[PROBE_STATE_ON] + (double)th->state_ns[PROBE_STATE_HOLDS];
}

static void sum(const struct probe_timeline *t, struct sums *s) {
    *s = (struct sums){.wall_ns = (double)(t->end_ns - t->begin_ns)};
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct probe_thread *th = &t->thread[i];
        double runnable = (double)th->state_ns[PROBE_STATE_RUNNABLE];
        s->on_ns += on_ns(th);
        s->runnable_ns += runnable;
        s->blocked_ns += (double)th->state_ns[PROBE_STATE_BLOCKED];
        s->switches += th->voluntary;
        s->preempted += th->preempted;
        s->migrations += th->migrations;
        s->runners += on_ns(th) + runnable > s->wall_ns / 10;
        if (on_ns(th) > on_ns(&t->thread[s->busiest])) {
            s->second = s->busiest;
            s->busiest = i;
        } else if (i != s->busiest && (s->second == s->busiest ||
                                       on_ns(th) > on_ns(&t->thread[s->second]))) {
            s->second = i;
        }
    }
    s->life_ns = s->on_ns + s->runnable_ns + s->blocked_ns;
}

static const char *human(char cell[LAB_CELL], double ns) {
    lab_human(cell, ns, "ns");
    return cell;
}

static void say_cpus(const struct probe_timeline *t, const struct sums *s,
                     const struct probe_threads *x, struct probe_words *w) {
    double busy = s->wall_ns > 0 ? s->on_ns / s->wall_ns : 0;
    char threads[40];
    snprintf(threads, sizeof threads, t->thread_count == 1 ? "one thread" : "%zu threads",
             t->thread_count);
    char *title = t->thread_count ? probe_thread_title(t, s->busiest) : lab_copy("");
    double top = t->thread_count && s->on_ns > 0 ? on_ns(&t->thread[s->busiest]) / s->on_ns : 0;
    if (busy < 0.05) {
        probe_say(&w->verdict, "The program hardly computes: its %s used %.1f %% of a CPU "
                  "together, and waited the rest of the time.", threads, busy * 100);
    } else {
        probe_say(&w->verdict, "The program's %s kept %.2f of %d CPUs busy.", threads, busy,
                  x->cpus);
        /* Unless others wait for a CPU meanwhile. */
        if (top > 0.9 && busy > 0.5 && t->thread_count > 1 && x->cpus > 1 &&
            s->runnable_ns < 0.1 * s->on_ns) {
            probe_say(&w->verdict, "Of that, %.0f %% was thread %s alone: the program is serial, "
                      "and more CPUs would not help it.", top * 100, title);
            probe_say(&w->advice, "Give work of %s to other threads; its own share bounds what "
                      "more CPUs can gain.", title);
        }
    }
    free(title);
}

static void say_runnable(const struct probe_timeline *t, const struct sums *s,
                         const struct probe_threads *x, struct probe_words *w) {
    double wanted = s->on_ns + s->runnable_ns;
    double share = wanted > 0 ? s->runnable_ns / wanted : 0;
    double busy = s->wall_ns > 0 ? s->on_ns / s->wall_ns : 0;
    (void)t;
    if (share < 0.1 || wanted < s->wall_ns * 0.3)
        return;
    probe_say(&w->verdict, "Threads that wanted to run had no CPU for %.0f %% of the time in which "
              "they did; %zu wanted one often, and there are %d.", share * 100, s->runners,
              x->cpus);
    if (busy < 0.85 * x->cpus) {
        probe_say(&w->advice, "The CPUs were not all this program's: other processes, a quota of "
                  "the control group (cpu.max), or threads bound to too few CPUs keep its threads "
                  "waiting. 'heddle machine' tells of the first two.");
    } else {
        probe_say(&w->advice, "There are more threads that compute than CPUs: as many as CPUs "
                  "would do the same work with less switching.");
    }
}

static void say_births(const struct sums *s, const struct probe_threads *x,
                       struct probe_words *w) {
    const struct probe_births *b = probe_places_births(x->places);
    char life[LAB_CELL], first[LAB_CELL];
    double a_second = s->wall_ns > 0 ? (double)b->born / (s->wall_ns * 1e-9) : 0;
    if (!x->births || b->born < 20 || b->life.count == 0)
        return;
    double median = (double)probe_histogram_quantile(&b->life, 0.5);
    double wait = (double)probe_histogram_quantile(&b->first, 0.5);
    probe_say(&w->verdict, "%" PRIu64 " threads were made, %.0f a second; half of them lived less "
              "than %s, and ran first %s after they were made.", b->born, a_second,
              human(life, median), human(first, wait));
    if (median < 20e6 && a_second > 50)
        probe_say(&w->advice, "Threads that live so briefly cost more than they do: keep some, and "
                  "give them the work (a pool).");
}

static void say_kernel(const struct sums *s, const struct probe_threads *x,
                       struct probe_words *w) {
    double all = (double)x->user_ns + (double)x->system_ns;
    double share = all > 0 ? (double)x->system_ns / all : 0;
    if (all < 2e8 || all < s->wall_ns / 20 || share < 0.3)
        return;
    probe_say(&w->verdict, "%.0f %% of its CPU time was spent in the kernel.", share * 100);
    if ((double)s->switches / (all * 1e-9) > 20000)
        probe_say(&w->advice, "Threads wait %.0f times for each second of CPU time: pass more at a "
                  "time between them.", (double)s->switches / (all * 1e-9));
}

static void say_moves(const struct sums *s, struct probe_words *w) {
    double a_second = s->on_ns > 0 ? (double)s->migrations / (s->on_ns * 1e-9) : 0;
    if (a_second > 1000 && s->migrations > 1000)
        probe_say(&w->verdict, "Threads moved to another CPU %.0f times in a second of CPU time, "
                  "with cold caches each time.", a_second);
}

static void say_green(const struct probe_threads *x, struct probe_words *w) {
    const struct probe_green_view *v = x->green;
    double looks, ready, runs, begin;
    if (!v || v->count_most == 0)
        return;
    looks = (double)v->looks;
    runs = (double)(v->state[PROBE_HEDDLE_RUNS] + v->state[PROBE_HEDDLE_IN_CALL]) / looks;
    begin = (double)v->state[PROBE_HEDDLE_BEGINS] / looks;
    ready = (double)(v->state[PROBE_HEDDLE_READY] + v->state[PROBE_HEDDLE_PREEMPTED]) / looks;
    probe_say(&w->verdict, "It uses heddle: %" PRIu64 " threads of its own at most, of which %.1f "
              "ran, %.1f were ready, %.1f had not begun yet and the others waited, on the average "
              "of %" PRIu64 " look%s.", v->count_most, runs, ready, begin, v->looks,
              v->looks == 1 ? "" : "s");
    if (v->looks >= 10 && ready > 8 * (double)v->workers)
        probe_say(&w->advice, "%.0f of heddle's threads are ready for each worker: the CPUs are "
                  "what is short.", ready / (double)(v->workers ? v->workers : 1));
}

static bool is_python(const struct probe_report *r) {
    if (r->python)
        return true;
    const char *slash = r->program ? strrchr(r->program, '/') : NULL;
    return slash && lab_starts_with(slash + 1, "python");
}

/* The kernel counts by itself how long threads waited for a CPU: it should agree. */
static void say_delay(const struct probe_report *r, struct probe_words *w) {
    double books = 0, records = 0;
    char cell[2][LAB_CELL];
    for (size_t i = 0; r->books && i < r->timeline->thread_count; i++) {
        if (!r->books[i].known)
            continue;
        books += (double)r->books[i].delay_ns;
        records += (double)r->timeline->thread[i].state_ns[PROBE_STATE_RUNNABLE];
    }
    if (books > 200e6 && (records < 0.8 * books || records > 1.2 * books))
        probe_say(&w->notes, "By the kernel's own count, threads waited %s for a CPU; by its "
                  "records, %s.", human(cell[0], books), human(cell[1], records));
}

static void notes(const struct probe_report *r, const struct probe_threads *x,
                  struct probe_words *w) {
    struct probe_places_counts c = probe_places_counts(x->places);
    const struct probe_timeline *t = r->timeline;
    if (c.blocked_ns && (double)c.unseen_ns > 0.01 * (double)c.blocked_ns)
        probe_say(&w->notes, "Of the time in which threads were blocked, %.0f %% was in waits that "
                  "nobody looked at: they were too short, or too many.",
                  100.0 * (double)c.unseen_ns / (double)c.blocked_ns);
    if (c.looks)
        probe_say(&w->notes, "How long threads were blocked is %s; where, was seen by looks: "
                  "%" PRIu64 ". In %" PRIu64 " there was a stack; %" PRIu64 " had none, to stay "
                  "within 3 %% of a CPU; the rest came too late.",
                  x->records ? "exact" : "estimated", c.looks, c.stacks + c.reused,
                  c.skipped);
    if (c.barred)
        probe_say(&w->notes, "The memory of the process may not be read, so there are no stacks: "
                  "be its user, or root; kernel.yama.ptrace_scope and security modules bar it, "
                  "too.");
    if (x->records)
        say_delay(r, w);
    else
        probe_say(&w->notes, "Without the kernel's records of context switches, when threads ran "
                  "and waited for a CPU is from its books, what they waited for from samples, and "
                  "threads that lived between two of these are missing.");
    if (t->lost)
        probe_say(&w->notes, "%" PRIu64 " events were lost: threads may seem to have gone on with "
                  "what they did before.", t->lost);
    if (t->threads_dropped)
        probe_say(&w->notes, "%" PRIu64 " threads are counted together: %zu are kept one by one.",
                  t->threads_dropped, t->thread_count - 1);
    if (t->spans_dropped)
        probe_say(&w->notes, "The oldest %" PRIu64 " spans of the timeline were dropped; totals "
                  "are complete.", t->spans_dropped);
    if (r->books)
        probe_say(&w->notes, "Kernel time is counted by the kernel in steps of some milliseconds; "
                  "a '-' stands where there was none, and of threads that have ended the last "
                  "moments are missing.");
    if (x->green && x->green->looks)
        probe_say(&w->notes, "What heddle's own threads did is from %" PRIu64 " looks; nothing is "
                  "known of the time between.", x->green->looks);
}

void probe_words_threads(const struct probe_report *r, const struct probe_threads *x,
                         struct probe_words *out) {
    struct sums s;
    sum(r->timeline, &s);
    if (r->stopped >= 0.05)
        probe_say(&out->verdict, "For about %.0f %% of the time the process was stopped (by "
                  "SIGSTOP, its terminal or a debugger): what its threads waited for then is not "
                  "what keeps them. 'kill -CONT %d' lets it go on.", r->stopped * 100, (int)r->pid);
    if (r->stopped > 0.5) {
        notes(r, x, out);
        return;
    }
    probe_words_stuck(r, x, out);
    say_cpus(r->timeline, &s, x, out);
    say_runnable(r->timeline, &s, x, out);
    probe_words_locks(r, x, s.on_ns + s.runnable_ns, out);
    say_births(&s, x, out);
    say_kernel(&s, x, out);
    say_moves(&s, out);
    say_green(x, out);
    if (is_python(r))
        probe_say(&out->advice, "This is Python: 'heddle gil' tells of the lock that its threads "
                  "take turns with.");
    notes(r, x, out);
}
