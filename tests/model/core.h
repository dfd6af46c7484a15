/* SPDX-License-Identifier: MIT */
/* What the parts of the checker share: the execution that is being built, as a graph. */
#ifndef HEDDLE_MODEL_CORE_H
#define HEDDLE_MODEL_CORE_H

#include <stdatomic.h>

#include "arch/arch.h"
#include "model.h"

enum {
    STEPS_MAX = 120,      /* of one thread, where the model says nothing else */
    EVENTS = 512,         /* of one execution */
    LOCATIONS = 256,      /* words that are accessed atomically */
    WRITES = 128,         /* to one of them */
    SITES = 2048,         /* places in the code with an atomic operation */
    NAMES = 64,
    STACK_BYTES = 64 * 1024,
    ARENA_BYTES = 64 * 1024, /* of each thread's memory, and of setup()'s */
    CELLS = 1 << 14,      /* words that are accessed at all; a power of two */
};

enum kind { READ, WRITE, FENCE, CHOICE };

/* An event. A read-modify-write is two: a READ with `half` set, and its thread's next, a WRITE. */
struct event {
    uint8_t kind, thread;
    bool half;
    bool done;      /* executed in this run */
    bool aside;     /* of a handler */
    bool related;   /* c->after[] knows it as it is */
    uint8_t order;
    uint8_t bytes;
    uint16_t pos;   /* in its thread, from 1 */
    int16_t loc;
    int16_t rf;     /* READ: the write that it reads from; -1: what setup() left */
    int16_t index;  /* WRITE: its place in the modification order, from 1 */
    uint32_t choice;
    uint64_t value;
    const void *pc;
    /* How many events of each thread come before, itself included: by happens-before; by program
     * order and reads-from; by what an acquire that reads this write gets. */
    uint16_t hb[MODEL_THREADS], porf[MODEL_THREADS], rel[MODEL_THREADS];
};

/* What an event is told by when its program is run again. */
struct step {
    uint8_t kind, thread;
    int16_t rf, index;
    uint32_t choice;
};

struct work {
    struct work *next;
    unsigned n;
    struct step steps[];
};

struct location {
    uintptr_t addr;
    uint8_t bytes;
    uint64_t first; /* what setup() left there, or a plain write */
    int n;
    int16_t order[WRITES]; /* the modification order, without the first */
    int reads;
    int16_t read[EVENTS];
    bool gone; /* a plain write has made it another one */
};

enum op_kind { OP_LOAD, OP_STORE, OP_RMW, OP_CAS, OP_FENCE, OP_CHOICE, OP_STUCK };
enum rmw { RMW_SET, RMW_ADD, RMW_SUB, RMW_AND, RMW_OR, RMW_XOR, RMW_NAND };

struct op {
    enum op_kind kind;
    enum rmw rmw;
    bool second;   /* of an RMW: the read is done, the write follows */
    bool given_up; /* STUCK: by model_give_up() */
    bool plain;    /* a plain access to a word that is used atomically, too */
    uint8_t order, fail_order;
    uint8_t bytes;
    uintptr_t addr;
    uint64_t operand, expected, result;
    const void *pc;
};

enum state { RUNNABLE, PENDING, STUCK, CUT, ENDED };

struct thread {
    struct hd__arch_context context;
    enum state state;
    struct op op;
    unsigned pos;
    int16_t ids[EVENTS];
    unsigned replayed; /* how many events of it the graph had at first */
    uint16_t hb[MODEL_THREADS], porf[MODEL_THREADS];
    uint16_t pending[MODEL_THREADS]; /* for an acquire fence */
    uint16_t released[MODEL_THREADS]; /* at the last release fence */
    void (*handler)(void);
    bool in_handler;
    char *stack, *arena;
    size_t used;
    uintptr_t tls; /* 0: it shares the checker's */
};

struct cell {
    uintptr_t addr; /* 0: free */
    bool freed;
    /* By byte and thread: when it was last accessed; 0 never. */
    uint16_t write[8][MODEL_THREADS], read[8][MODEL_THREADS];
    uint16_t atomic_write[MODEL_THREADS], atomic_read[MODEL_THREADS];
    uint8_t atomic_from, atomic_bytes;
};

struct site {
    const void *pc;
    uint8_t kind, role, order;
    uint8_t instead; /* the order that a mutant has there */
    uint64_t seen;
};

enum phase { OUTSIDE, SETUP, THREADS, AFTER };

/* All that changes, in one mapping: the program's own variables are put back again and again. */
struct checker {
    const struct model *model;
    enum phase phase;
    unsigned threads, current;
    struct hd__arch_context scheduler;
    struct thread thread[MODEL_THREADS + 1]; /* the last one: setup() and after() */
    struct event event[EVENTS];
    int n;
    uint64_t after[EVENTS][EVENTS / 64]; /* which events follow one in scb (graph.c) */
    struct location location[LOCATIONS];
    int locations;
    struct cell cell[CELLS];
    uint16_t touched[CELLS];
    int cells;
    struct site site[SITES];
    int sites;
    struct { uintptr_t addr; size_t bytes; const char *name; } name[NAMES];
    int names;

    bool failing, found, replaying;
    bool dropped;   /* this execution is not one, or of no interest */
    char message[400];
    const void *failed_pc;
    char *best_trace, *best_replay;
    unsigned best_steps;
    uint64_t after_failure;

    struct work *work;
    struct model_result result;
    char *outcome[64];
    int outcomes;

    char *data, *data_copy, *tls_copy;
    size_t data_bytes, tls_bytes;
    ptrdiff_t tls_at; /* from the kernel thread's pointer */
    size_t arena_page;
};
extern struct checker *model__c;

/* machine.c: the threads, and their memory */
void model__machine_init(void);
void model__machine_reset(void);
void model__resume(unsigned thread);     /* until it waits for its next operation */
uint64_t model__perform(struct op *op);  /* by a thread */
_Noreturn void model__end_thread(void);  /* this execution of it */
void model__run_alone(void (*fn)(void), enum phase phase);
void model__failed(const void *pc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* graph.c: what is consistent */
struct location *model__location(uintptr_t addr, unsigned bytes);
int model__read_index(const struct event *r);
int model__seen_index(const struct location *l, const uint16_t *hb);
int model__insert(struct location *l, int id, int index);
void model__remove_last(int id);
bool model__consistent(void);
bool model__still_consistent(int id);

/* explore.c */
void model__explore(void);

/* race.c */
void model__access(uintptr_t addr, unsigned bytes, bool write, const void *pc);
void model__atomic_access(uintptr_t addr, unsigned bytes, bool write, const void *pc);
void model__forget_cells(void);
struct cell *model__cell(uintptr_t addr);

/* trace.c */
void model__note_failure(void);
char *model__replay_string(void);
struct work *model__replay_parse(const char *text);
struct model__source { char function[80], file[160]; unsigned line; };
void model__symbolize(const void *const *pcs, int n, struct model__source *out);
const char *model__op_name(unsigned kind, unsigned role);
const char *model__order_name(unsigned order);
enum { ORDER_NONE = 6 }; /* a fence that is not there */

#endif
