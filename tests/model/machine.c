/* SPDX-License-Identifier: MIT */
/* The machine on which a model program runs, again and again: coroutines for its threads, memory
 * that is put back, and the operations that a program may ask the checker for.
 *
 * A coroutine has a kernel thread of its own that never runs: for its thread-local variables. The
 * checker points the CPU's register for them there while the coroutine runs. */
#include "core.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

struct checker *model__c;

extern char __data_start[], _end[];

/* ---- Thread-local variables ---- */

#ifdef __x86_64__
static uintptr_t tls_pointer(void) {
    uintptr_t at;
    __asm__ volatile("movq %%fs:0, %0" : "=r"(at));
    return at;
}

static void tls_use(uintptr_t at) {
    __asm__ volatile("wrfsbase %0" : : "r"(at) : "memory");
}

static bool tls_may_be_switched(void) {
    return __builtin_cpu_supports("sse2") && (getauxval(26 /* AT_HWCAP2 */) & 2 /* FSGSBASE */);
}
#else
static uintptr_t tls_pointer(void) {
    return 0;
}

static void tls_use(uintptr_t at) {
    (void)at;
}

static bool tls_may_be_switched(void) {
    return false;
}
#endif

static pthread_barrier_t tls_ready;

static void *tls_holder(void *out) {
    *(uintptr_t *)out = tls_pointer();
    pthread_barrier_wait(&tls_ready);
    for (;;) pause();
    return NULL;
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_TLS || !info->dlpi_tls_data) continue;
        model__c->tls_bytes = info->dlpi_phdr[i].p_memsz;
        model__c->tls_at = (char *)info->dlpi_tls_data - (char *)tls_pointer();
    }
    return 1; /* the program comes first */
}

static void make_tls(void) {
    struct checker *c = model__c;
    dl_iterate_phdr(find_tls, NULL);
    if (c->tls_bytes == 0 || !tls_may_be_switched()) return;
    c->tls_copy = malloc(c->tls_bytes);
    memcpy(c->tls_copy, (char *)tls_pointer() + c->tls_at, c->tls_bytes);
    pthread_barrier_init(&tls_ready, NULL, 2);
    for (int t = 0; t <= MODEL_THREADS; t++) {
        pthread_t id;
        if (pthread_create(&id, NULL, tls_holder, &c->thread[t].tls) != 0) abort();
        pthread_barrier_wait(&tls_ready);
    }
}

/* ---- Switching ---- */

void model__resume(unsigned t) {
    struct checker *c = model__c;
    uintptr_t own = c->thread[t].tls ? tls_pointer() : 0;
    c->current = t;
    c->thread[t].state = RUNNABLE;
    if (own) tls_use(c->thread[t].tls);
    hd__arch_switch(&c->scheduler, &c->thread[t].context, NULL);
    if (own) tls_use(own);
}

static void leave(enum state state) {
    struct checker *c = model__c;
    struct thread *t = &c->thread[c->current];
    t->state = state;
    hd__arch_switch(&t->context, &c->scheduler, NULL);
}

_Noreturn void model__end_thread(void) {
    for (;;) leave(ENDED);
}

static void run_handlers(struct thread *t) {
    if (!t->handler || t->in_handler) return;
    t->in_handler = true;
    if (model_choose(2)) {
        void (*handler)(void) = t->handler;
        t->handler = NULL;
        handler();
    }
    t->in_handler = false;
}

uint64_t model__perform(struct op *op) {
    struct checker *c = model__c;
    struct thread *t = &c->thread[c->current];
    /* Before and after: between the two are plain accesses, which an interruption may come before
     * or follow. */
    if (op->kind < OP_CHOICE) run_handlers(t);
    t->op = *op;
    leave(PENDING);
    uint64_t result = t->op.result;
    if (op->kind < OP_CHOICE) run_handlers(t);
    return result;
}

static void thread_main(void *pass, void *arg) {
    struct checker *c = model__c;
    (void)pass;
    ((void (*)(void))arg)();
    run_handlers(&c->thread[c->current]);
    model__end_thread();
}

static void on_fault(int sig, siginfo_t *info, void *context) {
    (void)context;
    if (model__c->phase == OUTSIDE) {
        signal(sig, SIG_DFL);
        return;
    }
    /* The handler's own frame is on the alternate stack, which nobody else uses: it may be left. */
    model__failed(NULL, "fault: signal %d at address %p", sig, info->si_addr);
    model__end_thread();
}

/* ---- Memory ---- */

void model__machine_init(void) {
    size_t bytes = HD__ROUND_UP(sizeof *model__c, 4096);
    static stack_t alt;
    struct sigaction act = {.sa_sigaction = on_fault,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    if (!model__c) {
        model__c = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (model__c == MAP_FAILED) abort();
        struct checker *c = model__c;
        for (int t = 0; t <= MODEL_THREADS; t++) {
            size_t size = STACK_BYTES + ARENA_BYTES;
            c->thread[t].stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (c->thread[t].stack == MAP_FAILED) abort();
            c->thread[t].arena = c->thread[t].stack + STACK_BYTES;
        }
        make_tls();
        alt.ss_size = 64 * 1024;
        alt.ss_sp = malloc(alt.ss_size);
        sigaltstack(&alt, NULL);
        sigaction(SIGSEGV, &act, NULL);
        sigaction(SIGBUS, &act, NULL);
        c->data = __data_start;
        c->data_bytes = (size_t)(_end - __data_start);
        c->data_copy = malloc(c->data_bytes);
        memcpy(c->data_copy, c->data, c->data_bytes);
    }
}

static void begin(struct thread *t, void (*fn)(void)) {
    t->state = RUNNABLE;
    t->context = (struct hd__arch_context){0};
    hd__arch_state(&t->context, 0);
    hd__arch_make(&t->context, t->stack + STACK_BYTES - 64, thread_main, (void *)fn);
}

void model__machine_reset(void) {
    struct checker *c = model__c;
    memcpy(c->data, c->data_copy, c->data_bytes);
    for (int i = 0; i <= MODEL_THREADS; i++) {
        struct thread *t = &c->thread[i];
        memset(t->arena, 0, t->used);
        t->used = t->pos = t->replayed = 0;
        t->handler = NULL;
        t->in_handler = false;
        memset(t->hb, 0, sizeof t->hb);
        memset(t->porf, 0, sizeof t->porf);
        memset(t->pending, 0, sizeof t->pending);
        memset(t->released, 0, sizeof t->released);
        if (t->tls) memcpy((char *)t->tls + c->tls_at, c->tls_copy, c->tls_bytes);
        begin(t, i < MODEL_THREADS ? c->model->threads[i] : NULL);
    }
    c->locations = 0;
    c->names = 0;
    c->failing = c->dropped = false;
    model__forget_cells();
}

/* setup() and after(): natively, nobody else runs. */
void model__run_alone(void (*fn)(void), enum phase phase) {
    struct checker *c = model__c;
    if (!fn) return;
    begin(&c->thread[MODEL_THREADS], fn);
    c->phase = phase;
    model__resume(MODEL_THREADS);
    c->phase = OUTSIDE;
}

/* ---- What programs call ---- */

void model__failed(const void *pc, const char *fmt, ...) {
    struct checker *c = model__c;
    va_list args;
    if (c->failing) return;
    va_start(args, fmt);
    vsnprintf(c->message, sizeof c->message, fmt, args);
    va_end(args);
    c->failing = true;
    c->failed_pc = pc;
}

_Noreturn void model_fail(const char *fmt, ...) {
    struct checker *c = model__c;
    va_list args;
    char text[sizeof c->message];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    model__failed(__builtin_return_address(0), "%s", text);
    model__end_thread();
}

/* reads: how many of the last reads it waits for to change; 0: all since the last write. */
static _Noreturn void stuck(unsigned reads, bool given_up, const void *pc) {
    struct op op = {.kind = OP_STUCK, .operand = reads, .given_up = given_up, .pc = pc};
    for (;;) (void)model__perform(&op);
}

_Noreturn void model_spin(void) {
    stuck(0, false, __builtin_return_address(0));
}

_Noreturn void model_give_up(void) {
    stuck(0, true, __builtin_return_address(0));
}

unsigned model_choose(unsigned n) {
    struct op op = {.kind = OP_CHOICE, .operand = n, .pc = __builtin_return_address(0)};
    return n <= 1 ? 0 : (unsigned)model__perform(&op);
}

unsigned model_self(void) {
    return model__c->current;
}

void *model_alloc(size_t bytes) {
    struct checker *c = model__c;
    struct thread *t = &c->thread[c->current];
    char *p = t->arena + t->used;
    t->used += HD__ROUND_UP(bytes, 64) + 64;
    if (t->used > ARENA_BYTES) model_fail("the model's memory is used up");
    *(size_t *)(void *)p = bytes;
    return p + 64;
}

void model_free(void *p) {
    size_t bytes = *(size_t *)(void *)((char *)p - 64);
    if (model__c->phase != THREADS) return;
    for (size_t i = 0; i < bytes; i += 8) {
        uintptr_t at = (uintptr_t)p + i;
        model__access(at, 8, true, __builtin_return_address(0));
        model__cell(at)->freed = true;
    }
}

void model_name(const volatile void *p, size_t bytes, const char *name) {
    struct checker *c = model__c;
    if (c->names == NAMES) return;
    c->name[c->names].addr = (uintptr_t)p;
    c->name[c->names].bytes = bytes;
    c->name[c->names++].name = name;
}

void model_on_interrupt(void (*handler)(void)) {
    model__c->thread[model__c->current].handler = handler;
}

/* ---- The kernel ---- */

/* Words of the checker's own: no address of the program's has these bits. */
static uintptr_t hidden(uintptr_t of, unsigned what) {
    return of | (uintptr_t)(1 + what) << 60;
}

static uint64_t ask(enum op_kind kind, uintptr_t addr, uint64_t operand, int order) {
    unsigned bytes = addr >> 60 ? 8 : 4;
    struct op op = {.kind = kind, .rmw = RMW_ADD, .addr = addr, .bytes = (uint8_t)bytes,
                    .operand = operand,
                    .order = (uint8_t)order, .fail_order = memory_order_relaxed,
                    .pc = __builtin_return_address(0)};
    return model__c->phase == THREADS ? model__perform(&op) : 0;
}

/* The kernel queues a waiter, and looks for some to be woken, under a lock: the two are additions
 * to one word, so they are ordered; and the look at `word` comes after the waiter's. */
bool model_futex_wait(_Atomic uint32_t *word, uint32_t expect) {
    uintptr_t queue = hidden((uintptr_t)word, 0);
    uint64_t wakes = ask(OP_RMW, queue, 0, memory_order_acq_rel);
    if (ask(OP_LOAD, (uintptr_t)word, 0, memory_order_relaxed) != expect) return false;
    if (ask(OP_LOAD, queue, 0, memory_order_acquire) == wakes)
        stuck(1, false, __builtin_return_address(0));
    return true;
}

void model_futex_wake(_Atomic uint32_t *word) {
    ask(OP_RMW, hidden((uintptr_t)word, 0), 1, memory_order_acq_rel);
}

static void take_barrier(void) {
    struct checker *c = model__c;
    if (!ask(OP_LOAD, hidden(0, 1), 0, memory_order_acquire)) model_give_up();
    ask(OP_FENCE, 0, 0, memory_order_seq_cst);
    ask(OP_STORE, hidden(8 * (c->current + 1), 1), 1, memory_order_release);
}

void model_take_barriers(void) {
    model_on_interrupt(take_barrier);
}

void model_membarrier(unsigned thread) {
    ask(OP_FENCE, 0, 0, memory_order_seq_cst);
    ask(OP_STORE, hidden(0, 1), 1, memory_order_release);
    if (!ask(OP_LOAD, hidden(8 * (thread + 1), 1), 0, memory_order_acquire)) model_give_up();
    ask(OP_FENCE, 0, 0, memory_order_seq_cst);
}
