/* SPDX-License-Identifier: MIT */
/* Threads that wait for each other in a circle; mutex.h.
 *
 * Threads are looked at one after the other, so that owners and waits that were seen may never have
 * been at the same time. So each is looked at twice: one that waits on the same futex both times,
 * and by the kernel's books has not run in between, has waited all the time; and all of a circle
 * did so at the moment between the two rounds. */
#include <stdlib.h>
#include <string.h>

#include "probe/books.h"
#include "probe/calls.h"
#include "probe/mutex.h"
#include "text.h"

static size_t index_of(const struct probe_mutex_wait *wait, size_t count, pid_t tid) {
    size_t i = 0;
    while (i < count && wait[i].tid != tid)
        i++;
    return i;
}

size_t probe_mutex_circles(const struct probe_mutex_wait *wait, size_t count, size_t *circle) {
    size_t circles = 0;
    /* On whose walk a thread was met first; a walk that comes back to itself closes a circle. */
    size_t *met = lab_alloc(count + 1, sizeof(*met));
    for (size_t i = 0; i < count; i++)
        circle[i] = 0;
    for (size_t start = 0; start < count; start++) {
        size_t at = start;
        while (at < count && !met[at]) {
            met[at] = start + 1;
            at = wait[at].owner ? index_of(wait, count, wait[at].owner) : count;
        }
        if (at == count || met[at] != start + 1)
            continue;
        circles++;
        for (size_t i = at; !circle[i]; i = index_of(wait, count, wait[i].owner))
            circle[i] = circles;
    }
    free(met);
    return circles;
}

/* What a thread was seen to do, and how often it has run. */
struct seen {
    bool waits;
    pid_t owner;
    uint64_t sp, ran_ns, slices;
};

static struct seen look(pid_t pid, struct probe_python *python, const struct probe_mutex_wait *w,
                        bool *limited) {
    struct probe_call call;
    struct probe_book book;
    struct seen s = {0};
    if (probe_book_read(pid, w->tid, &book) != 0 || !book.exact ||
        probe_call_read(pid, w->tid, &call) != 0 || call.runs ||
        probe_call_futex(&call) != w->futex)
        return s;
    *limited = call.arg[3] != 0;
    return (struct seen){true, probe_mutex_owner(pid, python, (enum probe_mutex_kind)w->kind,
                                                 w->address),
                         call.sp, book.run_ns, book.slices};
}

/* Orders the threads of each circle by who waits for whom, and drops all others. */
static size_t keep_circles(struct probe_mutex_wait *wait, size_t count) {
    size_t *circle = lab_alloc(count + 1, sizeof(*circle)), kept = 0;
    struct probe_mutex_wait *out = lab_alloc(count + 1, sizeof(*out));
    size_t circles = probe_mutex_circles(wait, count, circle);
    for (size_t c = 1; c <= circles; c++) {
        size_t first = 0;
        while (circle[first] != c)
            first++;
        for (size_t i = first; circle[i] == c; i = index_of(wait, count, wait[i].owner)) {
            out[kept++] = wait[i];
            circle[i] = 0;
        }
    }
    memcpy(wait, out, kept * sizeof(*wait));
    free(circle);
    free(out);
    return kept;
}

static int by_tid(const void *a, const void *b) {
    const struct probe_mutex_wait *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* In the order of threads, however they were met: what is said is the same each time. */
size_t probe_mutex_prove(pid_t pid, struct probe_python *python, struct probe_mutex_wait *wait,
                         size_t count) {
    struct seen *first = lab_alloc(count + 1, sizeof(*first));
    size_t still = 0;
    qsort(wait, count, sizeof(*wait), by_tid);
    for (size_t i = 0; i < count; i++) {
        first[i] = look(pid, python, &wait[i], &wait[i].limited);
        wait[i].owner = first[i].waits ? first[i].owner : 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct seen again = look(pid, python, &wait[i], &wait[i].limited);
        if (first[i].waits && again.waits && wait[i].owner && again.owner == first[i].owner &&
            again.sp == first[i].sp && again.ran_ns == first[i].ran_ns &&
            again.slices == first[i].slices)
            wait[still++] = wait[i];
    }
    free(first);
    return keep_circles(wait, still);
}

static void say_one(struct lab_text *text, const struct probe_mutex_wait *w,
                    const struct probe_stacks *stacks, char *waiter, char *what, char *owner) {
    char *line = probe_mutex_line(stacks, w->python, w->native);
    lab_text_printf(text, " %s waits for %s%s%s%s, which %s has%s;", waiter, what,
                    *line ? " (" : "", line, *line ? ")" : "",
                    strcmp(waiter, owner) == 0 ? "it" : owner,
                    w->limited ? " (with a time limit)" : "");
    free(line);
    free(waiter);
    free(what);
    free(owner);
}

char *probe_mutex_circle_text(const struct probe_mutex_wait *wait, size_t count,
                              const struct probe_stacks *stacks,
                              char *(*name)(void *arg, pid_t tid),
                              char *(*what)(void *arg, const struct probe_mutex_wait *wait),
                              void *arg) {
    struct lab_text text = {0};
    for (size_t from = 0, n; from < count; from += n) {
        bool limited = false;
        for (n = 1; wait[from + n - 1].owner != wait[from].tid; n++)
            ;
        lab_text_printf(&text, "%s%s", from ? " " : "", n > 1 ? "Threads " : "Thread ");
        for (size_t i = 0; i < n; i++) {
            char *own = name(arg, wait[from + i].tid);
            lab_text_printf(&text, "%s%s", i == 0 ? "" : i == n - 1 ? " and " : ", ", own);
            limited |= wait[from + i].limited;
            free(own);
        }
        lab_text_printf(&text, n > 1 ? " wait for each other in a circle, so that none of them "
                                       "can go on:"
                                     : " waits for a lock that it has itself, so that it cannot "
                                       "go on:");
        for (size_t i = from; i < from + n; i++)
            say_one(&text, &wait[i], stacks, name(arg, wait[i].tid), what(arg, &wait[i]),
                    name(arg, wait[i].owner));
        text.data[text.length - 1] = '.';
        if (limited)
            lab_text_printf(&text, " A time limit may end that.");
    }
    return text.data;
}
