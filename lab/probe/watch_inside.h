/* SPDX-License-Identifier: MIT */
/* A watch, for the files that it consists of (watch.c, watch_*.c) and their tests. */
#ifndef HEDDLE_LAB_PROBE_WATCH_INSIDE_H
#define HEDDLE_LAB_PROBE_WATCH_INSIDE_H

#include "probe/calls.h"
#include "probe/means.h"
#include "probe/mutex.h"
#include "probe/native.h"
#include "probe/order.h"
#include "probe/perf.h"
#include "probe/preload.h"
#include "probe/target.h"
#include "probe/tasks.h"
#include "probe/watch.h"

/* Events of one kind: their files, and how far they reach. */
struct probe_kind_files {
    int *fd;
    size_t count;
    size_t missed; /* threads that have none */
    int error;     /* why */
};

/* A process that is watched: the target itself and, where they are followed, its children. */
struct probe_process {
    pid_t pid;
    struct probe_python *python;
    struct probe_native *native; /* NULL: not wanted, or not yet */
    uint64_t next_ns, since_ns; /* when to look for an interpreter again; when the program began */
    uint64_t stack; /* of the program, where samples alone tell of an exec; 0: not seen */
    uint64_t gils_ns, threads_ns; /* last looked for */
    uint64_t threads_cost_ns;     /* how long that took */
};

/* What belongs to a GIL of the same index. */
struct probe_watched {
    pid_t pid;
    int kind; /* of its watchpoint, among those of its process; 0: none */
    bool gone;
    struct probe_kind_files files;
    /* Takes are counted between two readings of the number, both in the order of time. */
    bool counts;
    uint64_t first, last, takes, takes_now;
};

/* How a GIL is read where there is no interpreter (tests). */
typedef int probe_gil_reader(void *arg, const struct probe_gil *g, pid_t *holder, bool *locked,
                             uint64_t *number);

struct probe_watch {
    struct probe_options o;
    struct probe_target target;
    struct probe_means means[PROBE_MEANS_COUNT];
    struct probe_watch_facts facts;
    struct probe_stacks *stacks;

    int *cpu;
    int cpu_count;
    struct probe_ring *ring; /* of each of them; base NULL: none */
    struct probe_kind_files files; /* of the records */
    int file_limit;                /* no event gets a descriptor from here on */
    bool records; /* the kernel's records come */
    struct probe_record *record; /* out of the rings, and not looked at yet */
    size_t record_count, record_room;
    uint64_t drained_ns; /* up to when they have been looked at */

    struct probe_tasks tasks;
    struct probe_order order;
    bool begun;   /* everything is in place: events are handed on */
    bool started; /* a launched target is past its exec */
    bool over;
    uint64_t until_ns;     /* time over; 0: none */
    uint64_t next_ns;      /* next sample */
    uint64_t every_ns;
    uint64_t told_ns;      /* a signal was passed on, then */

    /* Threads to be looked at, oldest first, by number: they may be gone. */
    pid_t *look;
    size_t look_count, look_room;
    size_t turn; /* where the next sample begins in the table */
    uint64_t scan_ns;   /* the last scan of /proc/PID/task */
    uint64_t scan_lost; /* how much was lost before it */

    /* CPU time that samples may take, in ns: grows with time, is used up. */
    int64_t budget_ns;
    uint64_t budget_at_ns;
    uint64_t skipped; /* stacks that were not read for it */

    struct probe_process *process; /* the first is the target itself */
    size_t process_count;
    struct probe_python *kept; /* of a process that has ended or become another, for reports */
    struct probe_gil *gil;
    struct probe_watched *watched;
    int gil_count;
    probe_gil_reader *reader;
    void *reader_arg;

    struct probe_preload *preload; /* what the target writes down itself; or NULL */
    uint64_t preload_ns;           /* up to when it has been read */

    /* Of the step that goes on. */
    probe_sink *sink;
    void *sink_arg;
};

uint64_t probe_now_ns(void);

/* ---- watch_cover.c ---- */
/* Opens the records' events for all threads of a process that there are, until a look finds no new
 * one; or the watchpoint of a GIL. 0, or -errno where not one could be opened. Safe to repeat. */
int probe_cover_records(struct probe_watch *w, pid_t pid);
int probe_cover_gil(struct probe_watch *w, int i);
void probe_uncover_records(struct probe_watch *w);
void probe_uncover_gil(struct probe_watch *w, int i);
/* Raises the limit on open files as far as it goes, and keeps some back for what else is read. */
void probe_raise_files(struct probe_watch *w);

/* ---- watch_records.c ---- */
void probe_drain(struct probe_watch *w);
/* Adds an event about a thread to those that are to be handed on. */
void probe_tell(struct probe_watch *w, const struct probe_event *e);
/* Tells of a thread that was there before us, and what it does. */
void probe_introduce(struct probe_watch *w, struct probe_task *task, uint64_t ns);
void probe_hand_on(struct probe_watch *w, uint64_t until_ns);
/* A process has become another program, which bears this name. */
void probe_exec(struct probe_watch *w, struct probe_task *task, const char *name, uint64_t ns);
/* Puts a thread into the list of those to be looked at. */
void probe_queue_look(struct probe_watch *w, struct probe_task *task);

/* ---- watch_python.c ---- */
struct probe_process *probe_process_find(const struct probe_watch *w, pid_t pid);
struct probe_process *probe_process_add(struct probe_watch *w, pid_t pid);
/* Adds the children that a process has, and theirs, in no-one's order. */
void probe_process_add_children(struct probe_watch *w, pid_t pid);
/* It has ended, or become another program. */
void probe_process_forget(struct probe_watch *w, struct probe_process *p);
void probe_process_remove(struct probe_watch *w, struct probe_process *p);
/* Looks for interpreters where there are none yet, and for their GILs, as often as is cheap. */
void probe_seek_python(struct probe_watch *w, uint64_t now_ns);
/* Adds a GIL and watches it. */
void probe_add_gil(struct probe_watch *w, pid_t pid, const struct probe_gil *g);
/* The GIL that a futex lies in, or PROBE_NO_LOCK; that whose number lies at an address. */
int probe_gil_of_futex(const struct probe_watch *w, pid_t pid, uint64_t address);
int probe_gil_of_number(const struct probe_watch *w, pid_t pid, uint64_t address);
int probe_read_gil(struct probe_watch *w, int i, pid_t *holder, bool *locked, uint64_t *number);
/* The Python stack of a thread; 0: none, or not now. */
uint32_t probe_stack_of(struct probe_watch *w, struct probe_task *task);

/* ---- watch_preload.c ---- */
/* Before the launch: prepares the environment where that is asked for, or where nothing else will
 * see the waits; and puts it back. */
void probe_preload_begin(struct probe_watch *w);
void probe_preload_begun(struct probe_watch *w, pid_t pid);
/* Adds what the target has written to what is to be handed on; `last`: nothing comes after. */
void probe_preload_read(struct probe_watch *w, bool last);

/* ---- watch_sample.c ---- */
void probe_sample(struct probe_watch *w);
/* The target has ended: so have all threads whose end nothing has told. */
void probe_tell_ends(struct probe_watch *w);

/* ---- look.c ---- */
/* Reads what a thread does, through a file that stays open. 0; -ESRCH: it is gone; another -errno:
 * it cannot be seen. */
int probe_look(struct probe_task *task, struct probe_call *out);
/* The same as events have it. */
struct probe_seen {
    enum probe_doing doing;
    uint64_t value;
};
void probe_seen_of(const struct probe_call *call, bool bits32, struct probe_seen *out);

#endif
