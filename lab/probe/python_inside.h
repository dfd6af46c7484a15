/* SPDX-License-Identifier: MIT */
/* What the parts of probe/python.h share. */
#ifndef HEDDLE_LAB_PROBE_PYTHON_INSIDE_H
#define HEDDLE_LAB_PROBE_PYTHON_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/elf.h"
#include "probe/python.h"
#include "probe/python_layout.h"
#include "probe/read.h"

struct python_line {
    uint32_t from; /* first byte of the code that it is for */
    int32_t line;  /* 0: none */
};

/* Bytes of the target that stay as they are as long as a code object is the same one. */
struct python_guard {
    uint64_t address;
    uint32_t size;
    unsigned char bytes[48];
};

enum { PYTHON_GUARDS = 4 };

/* What is known of a code object. `key` is what it was read from, and the guards are of its names:
 * when one has changed, its place is another object's. */
struct python_code {
    uint64_t address;
    unsigned char *key;
    struct python_guard guard[PYTHON_GUARDS];
    int guards;
    char *function, *file;
    uint64_t bytes; /* where its instructions begin, and how many bytes there are */
    uint32_t size;
    int first_line;
    struct python_line *lines;
    size_t line_count;
    uint64_t seen_ns; /* when it was last found to be what is said here */
    uint32_t number;          /* counts the objects that were read, from 1 */
    struct python_code *next; /* of those that were replaced */
};

struct python_codes {
    struct python_code **slots;
    size_t capacity, count;
    uint32_t read; /* how many were read */
    struct python_code *replaced; /* until the next walk */
};

enum { PYTHON_WAITED = 64 };

struct probe_python {
    pid_t pid;
    struct python_layout layout;
    struct probe_python_facts facts;
    char *file, *how; /* of facts */

    /* In the target. */
    uint64_t runtime, runtime_size; /* _PyRuntime; 0: before 3.7 */
    uint64_t head;                  /* the pointer to the first interpreter */
    uint64_t code_type;             /* PyCode_Type, 0: unknown */
    uint64_t current;               /* before 3.7: the pointer to the thread that runs */
    uint64_t lock;                  /* 2.7: the pointer to its GIL, a semaphore */
    uint64_t gil_begin, gil_size;   /* 3.6: what a futex of its GIL is in */
    int gil_own;                    /* of a structure that was found by its look, else -1 */

    /* From what the C library or the kernel in the target's namespace calls a thread to its number
     * here. */
    bool other_namespace;
    int tid_offset; /* in the C library's structure, -1: not found out yet */
    struct python_tid {
        uint64_t raw;
        pid_t tid;
    } *tids;
    size_t tid_count;
    uint64_t tids_ns; /* when they were read */

    /* The last holder of a GIL: what was read of it, so that the next look takes one call. */
    uint64_t holder, holder_raw;

    /* Futexes that threads waited on, and the lock object that each belongs to (0: to none). */
    struct python_waited {
        uint64_t futex, object, ns;
    } waited[PYTHON_WAITED];

    uint64_t name_key; /* the text that instances of threading.Thread have their name under */

    struct python_codes codes;
    unsigned char *window; /* of frames */
};

/* ---- finding ---- */

/* Where things are in 3.13 and later, by their own table at the beginning of the runtime. 0;
 * -ENOENT: it is not there (yet); -EPROTO: a version that is not known, in *version. */
int python_layout_debug(pid_t pid, uint64_t runtime, struct python_layout *out, uint64_t *version);

/* The layout of an earlier version; NULL: none. */
const struct python_layout *python_layout_find(int major, int minor);

/* The version of an interpreter, from its file and its variables; parts that are not known are
 * -1. */
void python_version_find(pid_t pid, const struct probe_elf *e, const char *path, int *major,
                         int *minor, int *micro);

/* The address of the first variable that a function reads; 0: it cannot be seen. For variables that
 * have no name in a stripped file. */
uint64_t python_address_in(const struct probe_elf *e, const char *function);

/* ---- threads ---- */

/* What the target calls a thread, at its state. */
int python_raw_offset(const struct probe_python *p);

/* The number here of a thread that the target calls `raw`; 0: there is none. */
pid_t python_tid(struct probe_python *p, uint64_t raw);

/* That which the interpreter itself calls `ident` (threading.get_ident()); 0: none. */
pid_t python_tid_of(struct probe_python *p, uint64_t ident);

/* Finds out where the C library keeps a thread's number. False: it could not (yet). */
bool python_tid_calibrate(struct probe_python *p);

/* Calls `use` for each interpreter, newest first, until it returns not 0; returns that, or -errno
 * of what could not be read. */
int python_each_interpreter(struct probe_python *p,
                            int (*use)(struct probe_python *p, uint64_t interp, uint64_t number,
                                       void *arg),
                            void *arg);

/* ---- code and frames ---- */

/* One frame of a stack, innermost first. */
struct python_place {
    const struct python_code *code; /* until the next walk */
    int op;                         /* the instruction's offset in bytes */
    int copy;                       /* which copy of the code, of a free-threaded build */
    uint64_t frame;
};

/* Where the instructions begin that a thread runs: those of its own copy of the code; 0: it cannot
 * be read. */
uint64_t python_code_begin(struct probe_python *p, const struct python_code *c, int copy);

enum {
    PYTHON_FRAMES = 256,
    PYTHON_CODES = 1 << 16, /* with more, all are forgotten, and read anew as they come */
};

/* Reads a thread's stack. Returns how many frames, at most `most` and PYTHON_FRAMES (*deeper: there
 * were more); *torn: it made no sense. */
int python_walk(struct probe_python *p, const struct probe_python_thread *t,
                struct python_place *out, int most, bool *deeper, bool *torn);

/* The code object at an address, of which `head` bytes have been read; `same`: the guards of the
 * one that was there before are as they were. NULL: it makes no sense. */
const struct python_code *python_code_find(struct probe_python *p, uint64_t address,
                                           const unsigned char *head, bool same, uint64_t now_ns);
/* That which was last found there; NULL: none. */
const struct python_code *python_code_known(const struct probe_python *p, uint64_t address);
/* How many bytes that is. */
size_t python_code_head(const struct probe_python *p);
void python_codes_free(struct python_codes *c);
/* A new walk: forgets what the last one's results may still have pointed to. */
void python_codes_tidy(struct python_codes *c);

int python_line_at(const struct python_code *c, int op);

/* The lines of a code object from its table, in the form of its version. */
void python_lines_read(const struct python_layout *l, const unsigned char *table, size_t size,
                       struct python_code *c);

/* A text object as UTF-8, allocated; NULL: it is none. At most `most` characters of it. */
char *python_text(struct probe_python *p, uint64_t address, size_t most);
/* An object of bytes, allocated; NULL: it is none, or larger than most. */
unsigned char *python_bytes(struct probe_python *p, uint64_t address, size_t most, size_t *size);

/* A field in what was read of a structure. */
static inline uint64_t python_u64(const unsigned char *from, int offset) {
    uint64_t value;
    __builtin_memcpy(&value, from + offset, sizeof(value));
    return value;
}

static inline int32_t python_i32(const unsigned char *from, int offset) {
    int32_t value;
    __builtin_memcpy(&value, from + offset, sizeof(value));
    return value;
}

#endif
