/* SPDX-License-Identifier: MIT */
/* For tools that look at a process from outside: where the runtime's structures are and how they
 * are laid out, in a section of its own, `.heddle`, which is kept when symbols are stripped. A tool
 * finds the section in the file that a process has mapped, and reads the table, with its addresses,
 * from the process's memory (lab/probe/heddle.c does). What they point to may change while it is
 * read; descriptors stay where they are while the runtime lives.
 *
 * The order of the members is the format. A change of what one means, or one in the middle, takes a
 * new version; more at the end do not: `size` tells which are there. */
#ifndef HD__API_DEBUG_H
#define HD__API_DEBUG_H

#include "base/base.h"

enum { HD__DEBUG_VERSION = 1 };

struct hd__debug {
    char magic[8]; /* "heddle-d" */
    uint32_t version, size;
    /* The runtime: struct hd__runtime. */
    const void *runtime;
    uint64_t rt_state, rt_state_on, rt_workers, rt_worker_count, rt_active;
    /* struct hd__worker, in an array. */
    uint64_t worker_size, worker_current, worker_carrier;
    /* Carriers: a list of struct hd__carrier, which begins where `carriers` points. */
    const void *carriers;
    uint64_t carrier_next, carrier_tid, carrier_held;
    /* Slabs of descriptors: a list, whose head is where *slabs points; the link is its first
     * word. */
    const void *const *slabs;
    uint64_t slab_threads, slab_first;
    /* struct hd_thread. */
    uint64_t thread_size, thread_sp, thread_pc, thread_fp, thread_fn, thread_stack, thread_park;
    uint64_t thread_flags, thread_ended, thread_wait, thread_ext, thread_id;
    uint64_t flag_live, flag_bound, park_waiting;
    /* What hangs on it: struct hd__thread_ext, hd__stack (whose owner is the carrier, while the
     * thread is bound), hd__wait. */
    uint64_t ext_name, name_size;
    uint64_t stack_owner, stack_low, stack_size, stack_top;
    uint64_t wait_what, wait_object, wait_site, wait_queued;
    /* Who has a mutex: the number of its thread is its word, shifted. */
    uint64_t mutex_word, mutex_shift;
    /* Locks with names: a list of struct hd__watch, whose head is where *locks points. */
    const void *const *locks;
    uint64_t lock_next, lock_object, lock_name;
};

extern const struct hd__debug hd__debug;

#endif
