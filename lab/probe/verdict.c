/* SPDX-License-Identifier: MIT */
/* What the figures of a GIL mean, in words. Each function below looks for one thing, and says it
 * where it is there; the first ones are the most important. */
#include "probe/verdict_inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"

enum { NAMED_MAX = 4 }; /* threads that a sentence names */

void probe_say(struct probe_sentences *s, const char *fmt, ...) {
    va_list args;
    char *text;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        lab_out_of_memory();
    va_end(args);
    for (size_t i = 0; i < s->count; i++) { /* two processes may have the same trouble */
        if (strcmp(s->text[i], text) == 0) {
            free(text);
            return;
        }
    }
    s->text = lab_grow_one(s->text, s->count, sizeof(*s->text));
    s->text[s->count++] = text;
}

static void forget(struct probe_sentences *s) {
    for (size_t i = 0; i < s->count; i++)
        free(s->text[i]);
    free(s->text);
}

void probe_words_free(struct probe_words *w) {
    forget(&w->verdict);
    forget(&w->advice);
    forget(&w->notes);
    *w = (struct probe_words){0};
}

/* ---- figures that several sentences need ---- */

void probe_verdict_say(struct probe_verdict *k, const char *fmt, ...) {
    va_list args;
    char *text;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        lab_out_of_memory();
    va_end(args);
    probe_say(&k->w->verdict, "%s%s", k->prefix, text);
    free(text);
}

bool probe_verdict_has(const struct probe_verdict *k, size_t i) {
    return k->pid == 0 || k->t->thread[i].pid == k->pid;
}

static double life_ns(const struct probe_thread *th) {
    double sum = 0;
    for (int s = 0; s < PROBE_STATES; s++)
        sum += s == PROBE_STATE_NONE ? 0 : (double)th->state_ns[s];
    return sum;
}

static double share(const struct probe_thread *th, enum probe_state state) {
    double life = life_ns(th);
    return life > 0 ? (double)th->state_ns[state] / life * 100 : 0;
}

static uint64_t held_ns(const struct probe_thread *th) {
    return th->state_ns[PROBE_STATE_HOLDS] + th->state_ns[PROBE_STATE_HOLDS_OFF];
}

static double held_share(const struct probe_thread *th) {
    return share(th, PROBE_STATE_HOLDS) + share(th, PROBE_STATE_HOLDS_OFF);
}

static const char *number_word(size_t n, char cell[LAB_CELL]) {
    static const char *const words[] = {"no",  "one",   "two",   "three", "four", "five",
                                        "six", "seven", "eight", "nine",  "ten"};
    if (n < sizeof(words) / sizeof(words[0]))
        return words[n];
    snprintf(cell, LAB_CELL, "%zu", n);
    return cell;
}

/* "`a`, `b` and 3 more". The caller frees. */
static char *names_of(const struct probe_timeline *t, const size_t *index, size_t count) {
    struct lab_text text = {0};
    size_t shown = count <= NAMED_MAX ? count : NAMED_MAX - 1;
    for (size_t i = 0; i < shown; i++) {
        char *title = probe_thread_title(t, index[i]);
        lab_text_printf(&text, "%s`%s`", i == 0 ? "" : i + 1 == count ? " and " : ", ", title);
        free(title);
    }
    if (count > shown)
        lab_text_printf(&text, " and %zu more", count - shown);
    return text.data;
}

char *probe_main_line(const struct probe_report *r, const struct probe_tally *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!list[i].stack || !r->stacks)
            continue;
        const struct probe_frame *f = probe_stacks_frame(r->stacks, list[i].stack);
        if (!f || !f->file || f->op < 0)
            continue;
        const char *base = strrchr(f->file, '/');
        return lab_format("%s:%d (%s)", base ? base + 1 : f->file, f->line, f->function);
    }
    return NULL;
}

/* ---- threads that compute ---- */

static bool computes(const struct probe_verdict *k, size_t i) {
    const struct probe_thread *th = &k->t->thread[i];
    double life = life_ns(th);
    if (th->tid == 0 || !probe_verdict_has(k, i) || life < 20e6 || life < k->elapsed_ns / 50 ||
        th->takes == 0)
        return false;
    for (size_t c = 0; c < k->t->convoy_count; c++) {
        if (k->t->convoy[c].waiter == i)
            return false;
    }
    double held = held_share(th), waits = share(th, PROBE_STATE_WAITS);
    bool busy = (double)k->all.held_ns >= k->gil_ns * 0.8;
    if (k->sampled) /* short waits are not seen then */
        return busy && held >= 20;
    /* Without enough CPUs who would wait for the GIL waits for a CPU instead. */
    if (busy && held >= 20 && held + waits + share(th, PROBE_STATE_RUNNABLE) >= 70)
        return true;
    if (held + waits < 70 || waits < 5)
        return false;
    uint64_t interval_ns = k->all.interval_us * 1000;
    return interval_ns ? probe_thread_median_hold(k->t, i) >= interval_ns / 4 : held >= 5;
}

static void find_turns(struct probe_verdict *k) {
    for (size_t i = 0; i < k->t->thread_count; i++) {
        if (computes(k, i))
            k->turns[k->turn_count++] = i;
    }
    double held = 0; /* threads that sleep nearly always may look like that, too */
    for (size_t i = 0; i < k->turn_count; i++)
        held += (double)held_ns(&k->t->thread[k->turns[i]]);
    if (k->turn_count < 2 || held < k->gil_ns / 2)
        k->turn_count = 0;
}

static void say_turns(struct probe_verdict *k) {
    if (k->turn_count == 0)
        return;
    double hold = 0, held = 0, waited = 0, ready = 0;
    for (size_t i = 0; i < k->turn_count; i++) {
        const struct probe_thread *th = &k->t->thread[k->turns[i]];
        hold += (double)probe_thread_median_hold(k->t, k->turns[i]) / (double)k->turn_count;
        held += held_share(th) / (double)k->turn_count;
        waited += share(th, PROBE_STATE_WAITS) / (double)k->turn_count;
        ready += share(th, PROBE_STATE_RUNNABLE) / (double)k->turn_count;
        k->named[k->turns[i]] = true;
    }
    char cell[LAB_CELL], count[LAB_CELL], *names = names_of(k->t, k->turns, k->turn_count);
    lab_human(cell, hold, "ns");
    const char *word = number_word(k->turn_count, count);
    char *cpu =
        ready < 10 ? lab_copy("") : lab_format(" (and, without it, for a CPU %.0f %%)", ready);
    probe_verdict_say(
        k,
        "%c%s CPU-bound threads (%s) take turns%s%s: each had the GIL %s%.0f %% of its time and "
        "waited for it %.0f %%%s. They use one CPU together, not %zu.",
        word[0] >= 'a' && word[0] <= 'z' ? word[0] - 'a' + 'A' : word[0], word + 1, names,
        k->sampled ? "" : " every ", k->sampled ? "" : cell, k->sampled ? "about " : "", held,
        waited, cpu, k->turn_count);
    free(cpu);
    free(names);
    k->said++;
    probe_say(&k->w->advice,
              "Threads that compute in Python cannot run at once with a GIL. What can: processes "
              "(multiprocessing, concurrent.futures.ProcessPoolExecutor), a free-threaded build "
              "(3.13 and later), interpreters with a GIL of their own (3.12 and later), and C code "
              "that lets go of the GIL while it works.");
}

/* ---- short waiters behind long holders ---- */

/* Whether a thread holds it for much longer than the interpreter lets Python code do. */
static bool keeps_it(const struct probe_verdict *k, size_t holder) {
    const struct probe_thread *th = &k->t->thread[holder];
    return probe_thread_median_hold(k->t, holder) > 4000 * k->all.interval_us &&
           th->held_preempted_ns * 2 < held_ns(th);
}

static void advise_convoy(struct probe_verdict *k, const struct probe_convoy *c) {
    char *holder = probe_thread_title(k->t, c->holder);
    const struct probe_thread *th = &k->t->thread[c->holder];
    char *line = probe_main_line(k->r, th->held, th->held_count);
    probe_say(&k->w->advice,
              "Take the work of `%s`%s%s out of this process, or into C code that lets go of the "
              "GIL: then those behind it wait for nothing.",
              holder, line ? ", which holds the GIL most at " : "", line ? line : "");
    const struct probe_python_facts *p = k->r->python;
    char hold[LAB_CELL], interval_text[LAB_CELL];
    if (k->all.interval_us && keeps_it(k, c->holder)) {
        lab_human(hold, (double)probe_thread_median_hold(k->t, c->holder), "ns");
        lab_human(interval_text, (double)k->all.interval_us, "us");
        probe_say(&k->w->advice,
                  "`%s` keeps the GIL for %s at a time though it is asked for it after %s: C code "
                  "that it calls does not look at the request. A shorter switch interval would "
                  "change nothing; give that code less to do at a time, or let it run in a process "
                  "of its own.",
                  holder, hold, interval_text);
    } else if (p && p->switch_interval_us && p->major >= 3) {
        double interval = (double)p->switch_interval_us / 1e6;
        probe_say(&k->w->advice,
                  "sys.setswitchinterval(%g), a tenth of the present %g s, makes these waits about "
                  "ten times shorter; the GIL then changes hands more often, which costs `%s` "
                  "some of its speed. Try it: it is one line.",
                  interval / 10, interval, holder);
    }
    free(line);
    free(holder);
}

static void say_convoys(struct probe_verdict *k) {
    enum { SHOWN = 3 };
    size_t ours = 0;
    for (size_t i = 0; i < k->t->convoy_count; i++) {
        const struct probe_convoy *c = &k->t->convoy[i];
        if (!probe_verdict_has(k, c->waiter) || ours++ >= SHOWN)
            continue;
        const struct probe_thread *th = &k->t->thread[c->waiter];
        char need[LAB_CELL], wait[LAB_CELL];
        const char *most = k->sampled ? "at most " : "";
        char *waiter = probe_thread_title(k->t, c->waiter);
        char *holder = probe_thread_title(k->t, c->holder);
        lab_human(need, (double)c->need_ns, "ns");
        lab_human(wait, (double)c->wait_ns, "ns");
        probe_verdict_say(
            k,
            "Thread `%s` waited %.0f %% of the time behind `%s`, a convoy: it needs the GIL "
            "for %s%s at a time, and waits %s%s for it (medians%s; %" PRIu64 " times%s).",
            waiter, share(th, PROBE_STATE_WAITS), holder, most, need, most, wait,
            k->sampled ? " of what samples can tell" : "", c->times, k->sampled ? " or more" : "");
        k->named[c->waiter] = true;
        free(waiter);
        free(holder);
        k->said++;
        if (ours == 1)
            advise_convoy(k, c);
    }
    if (ours > SHOWN)
        probe_verdict_say(k, "%zu more threads wait in the same way.", ours - SHOWN);
    for (size_t i = 0; i < k->t->convoy_count; i++) {
        if (!probe_verdict_has(k, k->t->convoy[i].waiter))
            continue;
        size_t holder = k->t->convoy[i].holder;
        k->named[k->t->convoy[i].waiter] = true;
        if (share(&k->t->thread[holder], PROBE_STATE_WAITS) < 20)
            k->named[holder] = true; /* its waiting is not the trouble */
    }
}

/* ---- other waiting ---- */

static const struct probe_pair *behind(const struct probe_timeline *t, size_t waiter) {
    for (size_t i = 0; i < t->pair_count; i++) { /* sorted: the first is the most */
        if (t->pair[i].waiter == waiter && t->pair[i].holder != waiter)
            return &t->pair[i];
    }
    return NULL;
}

static void advise_waiter(struct probe_verdict *k, size_t index, const char *holder) {
    const struct probe_thread *th = &k->t->thread[index];
    char *line = probe_main_line(k->r, th->held, th->held_count);
    if (line)
        probe_say(&k->w->advice,
                  "Look at what `%s` does with the GIL, most of the time at %s: whether it can do "
                  "less, do it in another process, or in C code that lets go of the GIL.",
                  holder, line);
    free(line);
}

static bool is_waiter(const struct probe_verdict *k, size_t i) {
    const struct probe_thread *th = &k->t->thread[i];
    double ns = (double)th->state_ns[PROBE_STATE_WAITS];
    return !k->named[i] && probe_verdict_has(k, i) && th->tid != 0 && ns >= 20e6 &&
           ns >= k->elapsed_ns / 50 && share(th, PROBE_STATE_WAITS) >= 10;
}

static void say_many_waiters(struct probe_verdict *k, size_t count) {
    double sum = 0;
    uint64_t worst_ns = 0;
    char worst[LAB_CELL];
    for (size_t i = 0; i < k->t->thread_count; i++) {
        const struct probe_thread *th = &k->t->thread[i];
        if (!is_waiter(k, i))
            continue;
        sum += share(th, PROBE_STATE_WAITS);
        worst_ns = th->worst_wait_ns > worst_ns ? th->worst_wait_ns : worst_ns;
    }
    lab_human(worst, (double)worst_ns, "ns");
    probe_verdict_say(k,
                      "%zu threads waited for the GIL for more than 10 %% of their time each, "
                      "%.0f %% on average; the longest wait took %s.",
                      count, sum / (double)count, worst);
    k->said += count;
}

static void say_waiters(struct probe_verdict *k) {
    enum { FEW = 4 };
    size_t count = 0;
    for (size_t i = 0; i < k->t->thread_count; i++)
        count += is_waiter(k, i);
    if (count > FEW) {
        say_many_waiters(k, count);
        return;
    }
    for (size_t i = 0; i < k->t->thread_count; i++) {
        const struct probe_thread *th = &k->t->thread[i];
        if (!is_waiter(k, i))
            continue;
        char worst[LAB_CELL], *waiter = probe_thread_title(k->t, i);
        const struct probe_pair *p = behind(k->t, i);
        char *holder = p ? probe_thread_title(k->t, p->holder) : NULL;
        lab_human(worst, (double)th->worst_wait_ns, "ns");
        probe_verdict_say(
            k,
            "Thread `%s` waited for the GIL %s%.0f %% of its time%s%s%s; the longest wait "
            "took %s.",
            waiter, k->sampled ? "about " : "", share(th, PROBE_STATE_WAITS),
            holder ? ", mostly behind `" : "", holder ? holder : "", holder ? "`" : "", worst);
        if (p && k->w->advice.count == 0)
            advise_waiter(k, p->holder, holder);
        k->said++;
        free(waiter);
        free(holder);
    }
}

/* ---- a holder that is off its CPU ---- */

/* A holder that is off its CPU costs those that wait meanwhile: none, or so few that it cannot be
 * the trouble. */
static bool nobody_waited(const struct probe_verdict *k, double off) {
    double waiters = (double)k->all.waiters_ns / k->gil_ns;
    return waiters < 0.05 || waiters < off / 2;
}

static void say_preempted(struct probe_verdict *k, double off, const char *title) {
    if (nobody_waited(k, off)) {
        probe_say(&k->w->notes,
                  "`%s` had no CPU for %.0f %% of the time, though it could have run: the machine "
                  "was busy, or the process may use few CPUs.",
                  title, off * 100);
        return;
    }
    probe_verdict_say(
        k,
        "For %.0f %% of the time whoever had the GIL (most often `%s`) was preempted: "
        "those behind it waited for nothing.",
        off * 100, title);
    probe_say(&k->w->advice,
              "Something else wants the CPUs of `%s`: give the process more CPUs, or the rest "
              "fewer (heddle machine says what is there).",
              title);
    k->said++;
}

static void say_blocked_with_it(struct probe_verdict *k, double off, const struct probe_thread *th,
                                const char *title) {
    if (nobody_waited(k, off)) {
        probe_say(&k->w->notes,
                  "For %.0f %% of the time `%s` was off its CPU with the GIL, in calls of C code "
                  "that does not let go of it. Nobody waited for it meanwhile.",
                  off * 100, title);
        return;
    }
    char *line = probe_main_line(k->r, th->held, th->held_count);
    probe_verdict_say(
        k,
        "For %.0f %% of the time the GIL was held by a thread that was off its CPU (most of "
        "it `%s`): it blocked without letting go of the GIL.",
        off * 100, title);
    probe_say(&k->w->advice,
              "Find out which C code `%s` blocks in with the GIL%s%s: it should let go of it "
              "around the call (Py_BEGIN_ALLOW_THREADS).",
              title, line ? "; often at " : "", line ? line : "");
    free(line);
    k->said++;
}

static void say_holder_off(struct probe_verdict *k) {
    double off = 0, preempted = 0;
    uint64_t most = 0;
    size_t who = 0;
    for (size_t i = 0; i < k->t->thread_count; i++) {
        const struct probe_thread *th = &k->t->thread[i];
        if (!probe_verdict_has(k, i))
            continue;
        off += (double)th->state_ns[PROBE_STATE_HOLDS_OFF];
        preempted += (double)th->held_preempted_ns;
        if (th->tid && th->state_ns[PROBE_STATE_HOLDS_OFF] >= most) { /* not all others together */
            most = th->state_ns[PROBE_STATE_HOLDS_OFF];
            who = i;
        }
    }
    if (k->sampled || k->gil_ns <= 0 || off / k->gil_ns < 0.05)
        return;
    const struct probe_thread *th = &k->t->thread[who];
    char *title = probe_thread_title(k->t, who);
    if (preempted * 2 > off) {
        say_preempted(k, off / k->gil_ns, title);
    } else {
        say_blocked_with_it(k, off / k->gil_ns, th, title);
    }
    free(title);
}

/* ---- the lock as a whole ---- */

static void say_thrashing(struct probe_verdict *k) {
    double rate = (double)k->all.takes / (k->elapsed_ns / 1e9);
    if (k->elapsed_ns <= 0 || rate < 2000)
        return;
    char cell[LAB_CELL];
    lab_human(cell, rate, "per_s");
    probe_verdict_say(
        k,
        "The GIL changes hands %s: each time a thread is woken and another one goes to "
        "sleep, which costs more than most of what is done in between.",
        cell);
    k->said++;
    if (k->r->python && k->r->python->major == 2)
        probe_say(&k->w->advice,
                  "Python 2 lets go of the GIL every 100 instructions: sys.setcheckinterval(10000) "
                  "makes that rarer. Python 3.2 and later have a better GIL.");
    else
        probe_say(&k->w->advice,
                  "Let threads that exchange small things do more at a time (batches, larger "
                  "reads and writes), so that they let go of the GIL less often.");
}

static void say_whole(struct probe_verdict *k) {
    if (k->gil_ns <= 0)
        return;
    double held = (double)k->all.held_ns / k->gil_ns * 100;
    const struct probe_python_facts *p = k->r->python;
    /* Before 3.12 there is one; several came one after the other then, by exec. */
    bool several = k->locks > 1 && (!p || p->major > 3 || (p->major == 3 && p->minor >= 12));
    double waiting = (double)k->all.waiters_ns / k->gil_ns * (several ? (double)k->locks : 1);
    const char *which = k->said || waiting >= 0.2 ? "the GIL was held" : "it was held";
    size_t users = 0, last = 0;
    for (size_t i = 0; i < k->t->thread_count; i++) {
        if (probe_verdict_has(k, i) && held_share(&k->t->thread[i]) > 0) {
            users++;
            last = i;
        }
    }
    if (k->said == 0 && users == 1) {
        char *title = probe_thread_title(k->t, last);
        probe_verdict_say(
            k,
            "Only thread `%s` used the GIL; nobody waited for it. The GIL costs this program "
            "nothing.",
            title);
        free(title);
    } else if (several) {
        probe_verdict_say(
            k,
            "It has %zu GILs (interpreters with one of their own): each was held for "
            "%.0f to %.0f %% of the time, and on average %.2f threads waited for one.",
            k->locks, k->least_held, k->most_held, waiting);
    } else if (k->said == 0 && waiting < 0.2) {
        probe_verdict_say(
            k, "%s: %s %.0f %% of the time, and on average %.2f threads waited for it.",
            held < 50 ? "The GIL is not in the way" : "Hardly anybody waited for the GIL", which,
            held, waiting);
    } else {
        probe_verdict_say(
            k, "In all, %s %.0f %% of the time, and on average %.2f threads waited for it.", which,
            held, waiting);
    }
}

/* ---- all of it ---- */

static void words_of_process(struct probe_verdict *k) {
    k->turn_count = k->said = k->locks = 0;
    k->gil_ns = 0;
    k->all = (struct probe_lock){0};
    for (size_t i = 0; i < k->t->lock_count; i++) {
        const struct probe_lock *l = &k->t->lock[i];
        if (l->pid != k->pid || l->held_ns == 0)
            continue;
        double held = (double)l->held_ns / ((double)l->held_ns + (double)l->free_ns) * 100;
        k->least_held = k->locks == 0 || held < k->least_held ? held : k->least_held;
        k->most_held = k->locks == 0 || held > k->most_held ? held : k->most_held;
        k->locks++;
        k->all.takes += l->takes;
        k->all.held_ns += l->held_ns;
        k->gil_ns += (double)l->held_ns + (double)l->free_ns;
        k->all.waiters_ns += l->waiters_ns;
        k->all.exact |= l->exact;
        k->all.by_samples |= l->by_samples;
        k->all.interval_us = l->interval_us;
    }
    k->sampled = k->r->means && !k->r->means[PROBE_MEANS_WATCHPOINT].used && !k->all.exact;
    find_turns(k);
    say_turns(k);
    say_convoys(k);
    say_waiters(k);
    say_holder_off(k);
    say_thrashing(k);
    say_whole(k);
    probe_words_other_lock(k);
}

struct process {
    pid_t pid;
    uint64_t used_ns;
};

static int by_use(const void *a, const void *b) {
    const struct process *x = a, *y = b;
    return x->used_ns == y->used_ns ? 0 : x->used_ns < y->used_ns ? 1 : -1;
}

/* The processes that have a GIL which somebody used, those first that used theirs most. */
static struct process *processes_of(const struct probe_timeline *t, size_t *count) {
    struct process *list = NULL;
    *count = 0;
    for (size_t i = 0; i < t->lock_count; i++) {
        const struct probe_lock *l = &t->lock[i];
        size_t n = 0;
        if (l->pid == 0 || l->held_ns + l->waiters_ns == 0)
            continue;
        while (n < *count && list[n].pid != l->pid)
            n++;
        if (n == *count) {
            list = lab_grow_one(list, *count, sizeof(*list));
            list[(*count)++] = (struct process){.pid = l->pid};
        }
        list[n].used_ns += l->held_ns + l->waiters_ns;
    }
    if (*count > 1)
        qsort(list, *count, sizeof(*list), by_use);
    return list;
}

/* A GIL is a process's own: threads of one never wait for that of another. */
static void words_of_processes(struct probe_verdict *k, const struct process *list, size_t count) {
    enum { SHOWN = 4 };
    if (count > 1)
        probe_say(&k->w->verdict,
                  "%zu processes were seen, each with a GIL of its own: they do not wait for each "
                  "other's.",
                  count);
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        k->pid = list[i].pid;
        k->prefix = count > 1 ? lab_format("Process %d: ", (int)k->pid) : lab_copy("");
        words_of_process(k);
        free(k->prefix);
    }
    if (count > SHOWN)
        probe_say(&k->w->verdict,
                  "%zu more processes used theirs less; their figures are below and in the files.",
                  count - SHOWN);
}

void probe_words_gil(const struct probe_report *r, struct probe_words *out) {
    struct probe_verdict k = {.r = r, .t = r->timeline, .w = out};
    size_t count;
    struct process *list = processes_of(k.t, &count);
    k.elapsed_ns = (double)(k.t->end_ns - k.t->begin_ns);
    k.named = lab_alloc(k.t->thread_count + 1, sizeof(*k.named));
    k.turns = lab_alloc(k.t->thread_count + 1, sizeof(*k.turns));
    if (probe_words_stopped(&k))
        count = 0;
    if (count) /* a free-threaded build may have a GIL, too: an extension module switches it on */
        words_of_processes(&k, list, count);
    if (r->python && r->python->free_threaded)
        probe_words_free_threaded(&k, count > 0);
    probe_words_notes(&k);
    free(list);
    free(k.named);
    free(k.turns);
}
