/* SPDX-License-Identifier: MIT */
/* When nothing can run any more and nothing can change that.
 *
 * Certain only if no kernel thread of the process is left that could still act: every worker is
 * parked with no timer armed, and every other kernel thread waits on one of our objects without a
 * deadline. So the kernel is asked how many threads the process has. A program with threads of its
 * own that do other things is never reported, since one of them could still post a semaphore. */
#include <string.h>

#include "base/check.h"
#include "os/cpu.h"
#include "os/symbol.h"
#include "sched/carrier.h"
#include "sched/monitor.h"

/* TSan runs a kernel thread of its own. */
#ifdef HD__TSAN
enum { TOOL_KTHREADS = 1 };
#else
enum { TOOL_KTHREADS = 0 };
#endif

/* The function if its name is known, else what addr2line needs. */
static void print_site(const void *site) {
    struct hd__os_symbol symbol;
    if (!hd__os_symbol_find(site, &symbol))
        hd__print_fd2(", at %p", site);
    else if (symbol.name)
        hd__print_fd2(", in %s+0x%zx (%s)", symbol.name, symbol.offset, symbol.file);
    else
        hd__print_fd2(", at %s+0x%zx", symbol.file, symbol.file_offset);
}

void (*hd__deadlock_describe)(char *text, size_t size, const char *what, const void *object);

static void print_thread(hd_thread *t, void *arg) {
    unsigned long long *n = arg;
    /* Not by WAITING: one that was moved from a condition to its mutex is claimed and waits on. */
    const struct hd__wait *w = t->wait;
    if (!w || atomic_load_explicit(&t->ended, memory_order_acquire)) return;
    hd__print_fd2("  thread %llu '%s' waits for %s", (unsigned long long)t->id, hd_thread_name(t),
                  w->what);
    if (w->object && strcmp(w->what, "join") == 0) {
        const hd_thread *other = w->object;
        hd__print_fd2(" of thread %llu '%s'", (unsigned long long)other->id,
                      hd_thread_name(other));
    } else if (w->object) {
        char more[160] = "";
        if (hd__deadlock_describe) hd__deadlock_describe(more, sizeof more, w->what, w->object);
        hd__print_fd2(" %p%s", w->object, more);
    }
    if (w->site) print_site(w->site);
    hd__print_fd2("\n");
    ++*n;
}

void hd__deadlock_check(void) {
    if (hd__rt.deadlock == HD_DEADLOCK_IGNORE ||
        atomic_load_explicit(&hd__rt.stopping, memory_order_seq_cst))
        return;
    int kthreads = hd__os_kthread_count();
    unsigned foreign = atomic_load_explicit(&hd__rt.foreign_parked, memory_order_seq_cst);
    /* Each of ours counts itself only while it certainly exists. */
    unsigned own = atomic_load_explicit(&hd__rt.kthreads, memory_order_seq_cst) +
                   atomic_load_explicit(&hd__poller.kthreads, memory_order_seq_cst);
    if (kthreads < 0 || (unsigned)kthreads != own + foreign + TOOL_KTHREADS) return;
    if (atomic_load_explicit(&hd__carriers.held, memory_order_seq_cst) != 0) return;
    /* The monitor may have taken somebody from the timers, and not have made it runnable yet: the
     * caller saw no timer before. If it has done so since, that is seen now. */
    if (atomic_load_explicit(&hd__monitor.awake, memory_order_seq_cst)) return;
    /* Looked at again: a foreign thread that was counted may have waited only since the caller's
     * look, and have made something runnable before. */
    if (!hd__idle_all_parked() ||
        foreign != atomic_load_explicit(&hd__rt.foreign_parked, memory_order_seq_cst))
        return;
    unsigned long long waiting = 0;
    if (atomic_exchange(&hd__rt.deadlock_reported, true)) return; /* several may watch */
    hd__print_fd2("heddle: deadlock: no thread can run, and nothing is left that could wake one. "
                  "The threads:\n");
    hd__thread_each(print_thread, &waiting);
    if (foreign) hd__print_fd2("  and %u kernel threads of the host program\n", foreign);
    static const char advice[] = "Look up addresses with addr2line -e FILE OFFSET; "
                                 "hd_config.deadlock changes what happens here";
    if (hd__rt.deadlock == HD_DEADLOCK_ABORT) hd__fatal("%llu threads wait. %s", waiting, advice);
    hd__print_fd2("heddle: %llu threads wait. %s\n", waiting, advice);
}
