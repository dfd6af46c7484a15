/* SPDX-License-Identifier: MIT */
/* The preempting signal; see interrupt.h. */
#include "os/interrupt.h"

#include "os/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

typedef bool on_interrupt_fn(const struct hd__os_interrupted *at);

/* Written before the handler is installed. */
static struct sigaction previous;
static on_interrupt_fn *callback;
static int number; /* 0: not installed */

/* Their addresses mark our signals. */
static char cookies[HD__OS_SOURCES];

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
    /* Between the two kinds lie those that the C library keeps for itself. */
    return sig >= 0 && (sig < __SIGRTMIN || sig >= SIGRTMIN) && sig <= SIGRTMAX;
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

#if defined(__x86_64__)
/* The bytes before "syscall" that are looked at, and "mov $NUMBER, %eax" among them. */
enum { CALL_BYTES = 2, MOVE_BYTES = 5, LOOK_BYTES = 32 };

static bool is_repeated(uint32_t nr) {
    static const uint32_t calls[] = {
        SYS_poll,         SYS_ppoll,   SYS_select,  SYS_pselect6,   SYS_epoll_wait,
        SYS_epoll_pwait,  SYS_nanosleep, SYS_clock_nanosleep, SYS_pause, SYS_rt_sigtimedwait,
        SYS_rt_sigsuspend, SYS_semop,  SYS_semtimedop, SYS_msgrcv,  SYS_msgsnd,
        SYS_futex,        SYS_io_getevents, SYS_recvmmsg,   SYS_sendmmsg, SYS_epoll_pwait2,
        /* On sockets with a time limit of their own (SO_RCVTIMEO). */
        SYS_read,         SYS_readv,   SYS_recvfrom, SYS_recvmsg,   SYS_accept,  SYS_accept4,
        SYS_write,        SYS_writev,  SYS_sendto,   SYS_sendmsg,
    };
    for (size_t i = 0; i < HD__COUNTOF(calls); i++) {
        if (nr == calls[i]) {
            return true;
        }
    }
    return false;
}

/* The number of the call whose instruction is at `call`, if it is one of ours; else -1. No byte of
 * another page is looked at, which may be unmapped. */
static int number_before(const unsigned char *call) {
    size_t before = (uintptr_t)call & 0xfff;
    uint32_t nr;
    if (before >= 2 && call[-2] == 0x31 && call[-1] == 0xc0) {
        return SYS_read;
    }
    for (size_t i = MOVE_BYTES; i <= before && i <= LOOK_BYTES; i++) {
        memcpy(&nr, call - i + 1, sizeof nr);
        if (call[-(ptrdiff_t)i] == 0xb8 && is_repeated(nr)) {
            return (int)nr;
        }
    }
    return -1;
}
#endif

/* Calls that wait and that the kernel does not restart after a handler has run: a program would see
 * them end with EINTR for no reason of its own. They have had no effect, and their arguments are
 * still in the registers, all but the number, which stands before the call:
 *
 *     b8 NN NN NN NN   mov $NUMBER, %eax        (31 c0  xor %eax, %eax  for read(): it is 0)
 *     ...              perhaps something else
 *     0f 05            syscall
 *
 * So it is put back, and stepping back over the instruction begins the call again, with the whole
 * of a relative timeout: it becomes longer by the time until the signal came, at most a time slice
 * (alarm.c and monitor.c see to those that wait for longer). This is how glibc makes these calls;
 * one that is made otherwise, by syscall() say, ends with EINTR. Elsewhere than on x86-64 the
 * result has overwritten the first argument, and nothing can be done.
 *
 * The thread was in a call that blocked, too, if the kernel begins the call again: it has stepped
 * back itself then. One that was about to call looks the same. */
bool hd__os_interrupt_repeat_call(const struct hd__os_interrupted *by) {
#if defined(__x86_64__)
    static const unsigned char instruction[CALL_BYTES] = { 0x0f, 0x05 };
    greg_t *regs = ((ucontext_t *)by->context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)regs[REG_RIP];
    uintptr_t offset = (uintptr_t)at & 0xfff;
    if (regs[REG_RAX] != -EINTR) {
        return offset <= 0x1000 - CALL_BYTES && memcmp(at, instruction, CALL_BYTES) == 0;
    }
    if (offset < CALL_BYTES || memcmp(at - CALL_BYTES, instruction, CALL_BYTES) != 0) {
        return false;
    }
    int nr = number_before(at - CALL_BYTES);
    if (nr >= 0) {
        regs[REG_RAX] = nr;
        regs[REG_RIP] -= CALL_BYTES;
    }
    return nr >= 0;
#else
    (void)by;
    return false;
#endif
}

/* HD__OS_SOURCES: not ours. Where no more signals can be queued (RLIMIT_SIGPENDING), the kernel
 * delivers them all the same, and forgets who sent them: a sender of 0 is nobody of this
 * namespace. */
static enum hd__os_source source_of(const siginfo_t *info) {
    if (info->si_code == SI_USER && info->si_pid == 0 && info->si_uid == 0) {
        return HD__OS_UNMARKED;
    }
    uintptr_t cookie = (uintptr_t)info->si_value.sival_ptr - (uintptr_t)cookies;
    if ((info->si_code == SI_QUEUE && cookie == HD__OS_SENT) ||
        (info->si_code == SI_TIMER && (cookie == HD__OS_ALARM || cookie == HD__OS_SLICE))) {
        return (enum hd__os_source)cookie;
    }
    return HD__OS_SOURCES;
}

static void on_signal(int sig, siginfo_t *info, void *ucontext) {
    enum hd__os_source source = source_of(info);
    if (source == HD__OS_SOURCES) {
        hand_on(sig, info, ucontext);
        return;
    }
    int saved_errno = errno;
    struct hd__os_interrupted at;
    read_context(ucontext, &at);
    at.source = (uint8_t)source;
    at.context = ucontext;
    bool ours = callback(&at);
    errno = saved_errno;
    if (!ours) {
        hand_on(sig, info, ucontext);
    }
}

int hd__os_interrupt_install(int sig, bool (*fn)(const struct hd__os_interrupted *at)) {
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
    info.si_value.sival_ptr = &cookies[HD__OS_SENT];
    if (HD__FAULT("rt_tgsigqueueinfo")) {
        return -EAGAIN;
    }
    return syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, number, &info) == 0 ? 0 : -errno;
}

/* Each timer takes one of the signals that may be queued, of the user's that is: a fourth of them
 * at most is for ours. */
static _Atomic unsigned timer_count;

static bool may_make_timer(void) {
    struct rlimit limit;
    unsigned count = atomic_load_explicit(&timer_count, memory_order_relaxed);
    return getrlimit(RLIMIT_SIGPENDING, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           count < limit.rlim_cur / 4;
}

static int timer_make(enum hd__os_source source, int tid) {
    struct sigevent event;
    int id;
    if (!may_make_timer()) {
        return -EAGAIN;
    }
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = number;
    event.sigev_value.sival_ptr = &cookies[source];
    event._sigev_un._tid = tid;
    /* Not through the C library, which may take a lock for it. */
    if (HD__FAULT("timer_create") || syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) != 0) {
        return -EAGAIN;
    }
    atomic_fetch_add_explicit(&timer_count, 1, memory_order_relaxed);
    return id;
}

bool hd__os_alarm_set(struct hd__os_alarm *alarm, enum hd__os_source source, int tid,
                      uint64_t deadline_ns) {
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
                                             .tv_nsec = (long)(deadline_ns % 1000000000u) } };
    if (alarm->refused) {
        return false;
    }
    if (alarm->id_plus_1 == 0) {
        int id = timer_make(source, tid);
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
        atomic_fetch_sub_explicit(&timer_count, 1, memory_order_relaxed);
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

void hd__os_signal_block_all(void) {
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < HD__COUNTOF(faults); i++) {
        sigdelset(&set, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

uint64_t hd__os_interrupt_bit(void) {
    return number == 0 ? 0 : 1ull << (number - 1);
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
