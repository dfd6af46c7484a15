/* SPDX-License-Identifier: MIT */
/* The preempting signal; see interrupt.h. */
#include "os/interrupt.h"

#include "os/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

typedef void on_interrupt_fn(const struct hd__os_interrupted *at);

/* Written before the handler is installed. */
static struct sigaction previous;
static on_interrupt_fn *callback;
static int number; /* 0: not installed */

/* Its address marks our signals. */
static char cookie;

int hd__os_interrupt_default(void) {
    return SIGURG;
}

bool hd__os_interrupt_usable(int sig) {
    static const int taken[] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS,
                                 SIGABRT, SIGPIPE, SIGKILL, SIGSTOP, SIGCHLD };
    for (size_t i = 0; i < HD__COUNTOF(taken); i++) {
        if (sig == taken[i]) {
            return false;
        }
    }
    return sig >= 0 && sig <= SIGRTMAX;
}

static void read_context(const ucontext_t *uc, struct hd__os_interrupted *at) {
#if defined(__x86_64__)
    at->pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
    at->sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    at->pc = (uintptr_t)uc->uc_mcontext.pc;
    at->sp = (uintptr_t)uc->uc_mcontext.sp;
#elif defined(__riscv)
    at->pc = (uintptr_t)uc->uc_mcontext.__gregs[0];
    at->sp = (uintptr_t)uc->uc_mcontext.__gregs[2];
#endif
    memcpy(&at->mask, &uc->uc_sigmask, sizeof at->mask);
}

static void hand_on(int sig, siginfo_t *info, void *ucontext) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(sig, info, ucontext);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(sig);
    }
    /* Ours is a signal whose default is to be ignored, or one that the program chose. */
}

/* Calls that wait and that the kernel does not restart after a handler has run: a program would see
 * them end with EINTR for no reason of its own. They have had no effect, and their arguments are
 * still in the registers, so that stepping back over
 *
 *     b8 NN NN NN NN   mov $NUMBER, %eax
 *     0f 05            syscall
 *
 * begins them again, with the whole of a relative timeout: it becomes longer by the time until the
 * signal came, at most a time slice (monitor.c sees to those that wait for longer). This is how
 * glibc makes these calls; one that is made otherwise ends with EINTR. Elsewhere than on x86-64 the
 * result has overwritten the first argument, and nothing can be done. */
static void repeat_call(ucontext_t *uc) {
#if defined(__x86_64__)
    static const uint32_t calls[] = {
        SYS_poll,         SYS_ppoll,   SYS_select,  SYS_pselect6,   SYS_epoll_wait,
        SYS_epoll_pwait,  SYS_nanosleep, SYS_clock_nanosleep, SYS_pause, SYS_rt_sigtimedwait,
        SYS_rt_sigsuspend, SYS_semop,  SYS_semtimedop, SYS_msgrcv,  SYS_msgsnd,
        SYS_futex,        SYS_io_getevents, SYS_recvmmsg,
        /* On sockets with a time limit of their own (SO_RCVTIMEO). */
        SYS_read,         SYS_readv,   SYS_recvfrom, SYS_recvmsg,   SYS_accept,  SYS_accept4,
        SYS_write,        SYS_writev,  SYS_sendto,   SYS_sendmsg,
    };
    enum { CALL_BYTES = 7 };
    greg_t *regs = uc->uc_mcontext.gregs;
    if (regs[REG_RAX] != -EINTR) {
        return;
    }
    const unsigned char *code = (const unsigned char *)regs[REG_RIP] - CALL_BYTES;
    uint32_t nr;
    if (((uintptr_t)code ^ (uintptr_t)regs[REG_RIP]) >> 12 != 0) {
        return; /* the bytes before may be another page, that is not mapped */
    }
    memcpy(&nr, code + 1, sizeof nr);
    if (code[0] != 0xb8 || code[5] != 0x0f || code[6] != 0x05) {
        return;
    }
    for (size_t i = 0; i < HD__COUNTOF(calls); i++) {
        if (nr == calls[i]) {
            regs[REG_RIP] -= CALL_BYTES;
            return;
        }
    }
#else
    (void)uc;
#endif
}

static void on_signal(int sig, siginfo_t *info, void *ucontext) {
    bool ours = (info->si_code == SI_QUEUE || info->si_code == SI_TIMER) &&
                info->si_value.sival_ptr == &cookie;
    if (!ours) {
        hand_on(sig, info, ucontext);
        return;
    }
    int saved_errno = errno;
    struct hd__os_interrupted at;
    read_context(ucontext, &at);
    at.alarm = info->si_code == SI_TIMER;
    repeat_call(ucontext);
    callback(&at);
    errno = saved_errno;
}

int hd__os_interrupt_install(int sig, void (*fn)(const struct hd__os_interrupted *at)) {
    struct sigaction action = { .sa_sigaction = on_signal,
                                .sa_flags = SA_SIGINFO | SA_RESTART };
    struct sigaction now;
    sigemptyset(&action.sa_mask);
    if (HD__FAULT("sigaction")) {
        return -EAGAIN;
    }
    if (sig < 1 || sigaction(sig, NULL, &now) != 0) {
        return -EINVAL;
    }
    /* A handler that was installed over ours, and chains to it, keeps ours in use. */
    if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_signal) {
        previous = now;
    }
    callback = fn;
    number = sig;
    return sigaction(sig, &action, NULL) == 0 ? 0 : -EINVAL;
}

void hd__os_interrupt_restore(void) {
    struct sigaction now;
    if (number != 0 && sigaction(number, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == on_signal) {
        sigaction(number, &previous, NULL);
    }
    number = 0;
}

int hd__os_interrupt_send(int tid) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = number;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = &cookie;
    if (HD__FAULT("rt_tgsigqueueinfo")) {
        return -EAGAIN;
    }
    return syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, number, &info) == 0 ? 0 : -errno;
}

static int timer_make(int tid) {
    struct sigevent event;
    int id;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = number;
    event.sigev_value.sival_ptr = &cookie;
    event._sigev_un._tid = tid;
    /* Not through the C library, which may take a lock for it. */
    if (HD__FAULT("timer_create") || syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) != 0) {
        return -EAGAIN;
    }
    return id;
}

bool hd__os_alarm_set(struct hd__os_alarm *alarm, int tid, uint64_t deadline_ns) {
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
                                             .tv_nsec = (long)(deadline_ns % 1000000000u) } };
    if (alarm->refused) {
        return false;
    }
    if (alarm->id_plus_1 == 0) {
        int id = timer_make(tid);
        alarm->refused = id < 0;
        if (id < 0) {
            return false;
        }
        alarm->id_plus_1 = id + 1;
    }
    return syscall(SYS_timer_settime, alarm->id_plus_1 - 1, TIMER_ABSTIME, &when, NULL) == 0;
}

void hd__os_alarm_delete(struct hd__os_alarm *alarm) {
    if (alarm->id_plus_1 != 0) {
        syscall(SYS_timer_delete, alarm->id_plus_1 - 1);
    }
    *alarm = (struct hd__os_alarm){ 0, false };
}

bool hd__os_interrupt_unblock(void) {
    sigset_t set, before;
    if (number == 0) {
        return false;
    }
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);
    return sigismember(&before, number) == 1;
}

void hd__os_interrupt_block(void) {
    sigset_t set;
    if (number == 0) {
        return;
    }
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

uint64_t hd__os_signal_mask(void) {
    sigset_t now;
    uint64_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    memcpy(&mask, &now, sizeof mask);
    return mask;
}

void hd__os_signal_set_mask(uint64_t mask) {
    sigset_t set;
    sigemptyset(&set);
    memcpy(&set, &mask, sizeof mask);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

HD__NOINLINE int hd__os_errno_get(void) {
    return errno;
}

HD__NOINLINE void hd__os_errno_set(int value) {
    errno = value;
}

int hd__os_at_fork(void (*fn)(void)) {
    return HD__FAULT("pthread_atfork") ? -ENOMEM : -pthread_atfork(NULL, NULL, fn);
}
