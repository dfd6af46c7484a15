/* SPDX-License-Identifier: MIT */
/* Fault handlers and alternate signal stacks; see signal.h. */
#include "os/signal.h"

#include "base/atomic.h"
#include "os/fault.h"
#include "os/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* What our own handler, and one that it chains to, may use beyond the signal frame. */
#define HANDLER_BYTES (16 * 1024u)
/* The frame on kernels that do not say: enough for AVX-512 (2.7 KiB) and SVE at 512 bits. */
#define FRAME_BYTES_FALLBACK (8 * 1024u)

typedef bool on_fault_fn(void *addr, void *ucontext);

static const int fault_signals[] = { SIGSEGV, SIGBUS };
#define FAULT_SIGNALS HD__COUNTOF(fault_signals)

/* Written before the handler is installed and never cleared after it was, since a handler that
 * chains to ours may call it at any time later. */
static struct sigaction previous[FAULT_SIGNALS];
static _Atomic(on_fault_fn *) callback; /* NULL: hand everything on */
static bool installed;                  /* guarded by the caller: install and restore */

size_t hd__os_signal_frame_bytes(void) {
    size_t frame = (size_t)getauxval(AT_MINSIGSTKSZ);
    return frame != 0 ? frame : FRAME_BYTES_FALLBACK;
}

/* Does what would have happened without us. */
static void hand_on(const struct sigaction *old, int sig, siginfo_t *info, void *ucontext) {
    bool from_kernel = info->si_code > 0;
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, ucontext);
        return;
    }
    if (old->sa_handler == SIG_IGN && !from_kernel) {
        return;
    }
    if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
        return;
    }
    /* The default is to die. With the default disposition back, a fault happens again as soon as we
     * return, so a core dump shows the faulting instruction; a signal that was sent is sent again,
     * and is delivered when the handler's mask is gone. */
    struct sigaction dfl = { .sa_handler = SIG_DFL };
    sigaction(sig, &dfl, NULL);
    if (!from_kernel) {
        raise(sig);
    }
}

static void on_signal(int sig, siginfo_t *info, void *ucontext) {
    int saved_errno = errno;
    on_fault_fn *fn = hd__load_acquire(&callback);
    /* Only a fault has an address; what kill() and the like send has a si_code of 0 or below. */
    if (fn == NULL || info->si_code <= 0 || !fn(info->si_addr, ucontext)) {
        hand_on(&previous[sig == SIGSEGV ? 0 : 1], sig, info, ucontext);
    }
    errno = saved_errno;
}

int hd__os_fault_handler_install(on_fault_fn *on_fault) {
    if (installed) {
        return -EBUSY;
    }
    struct sigaction action = { .sa_sigaction = on_signal,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FAULT_SIGNALS; i++) {
        struct sigaction now;
        if (HD__FAULT("sigaction") || sigaction(fault_signals[i], NULL, &now) != 0) {
            hd__os_fault_handler_restore();
            return -EINVAL;
        }
        /* After a restore that had to leave ours in place, it must not be its own predecessor. */
        if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_signal) {
            continue;
        }
        previous[i] = now;
        sigaction(fault_signals[i], &action, NULL);
    }
    hd__store_release(&callback, on_fault);
    installed = true;
    return 0;
}

void hd__os_fault_handler_restore(void) {
    hd__store_release(&callback, NULL);
    installed = false;
    for (size_t i = 0; i < FAULT_SIGNALS; i++) {
        struct sigaction now;
        if (sigaction(fault_signals[i], NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
            now.sa_sigaction == on_signal) {
            sigaction(fault_signals[i], &previous[i], NULL);
        }
    }
}

int hd__os_altstack_init(struct hd__os_altstack *a) {
    stack_t now;
    *a = (struct hd__os_altstack){ NULL, 0 };
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE)) {
        return 0;
    }
    size_t page = hd__os_page_size();
    size_t usable = HD__ROUND_UP(hd__os_signal_frame_bytes() + HANDLER_BYTES, page);
    char *map = hd__os_map(usable + page);
    if (map == NULL) {
        return -ENOMEM;
    }
    /* Without the guard an overflow of the handler's stack is not caught, but all else works. */
    if (hd__os_guard(map, page) != 0) {
        (void)hd__os_protect_none(map, page);
    }
    stack_t ours = { .ss_sp = map + page, .ss_size = usable, .ss_flags = 0 };
    if (HD__FAULT("sigaltstack") || sigaltstack(&ours, NULL) != 0) {
        hd__os_unmap(map, usable + page);
        return -ENOMEM;
    }
    a->map = map;
    a->bytes = usable + page;
    return 0;
}

void hd__os_altstack_finish(struct hd__os_altstack *a) {
    if (a->map == NULL) {
        return;
    }
    stack_t now;
    /* Somebody may have put another in the place of ours since. */
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE) &&
        now.ss_sp == (char *)a->map + hd__os_page_size()) {
        stack_t none = { .ss_flags = SS_DISABLE };
        sigaltstack(&none, NULL);
    }
    hd__os_unmap(a->map, a->bytes);
    *a = (struct hd__os_altstack){ NULL, 0 };
}
