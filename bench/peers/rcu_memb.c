/* SPDX-License-Identifier: MIT */
/* The second flavour of liburcu for rcu.c: a source file can use one. */
#include "rcu_read.h"

#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu.h>

uint64_t peer_read_memb(uint64_t n);
void peer_memb_start(void);
void peer_memb_stop(void);

READ_MANY(read_sections, rcu_read_lock(), rcu_dereference(rcu_current), rcu_read_unlock())

uint64_t peer_read_memb(uint64_t n) {
    return read_sections(n);
}

void peer_memb_start(void) {
    rcu_register_thread();
}

void peer_memb_stop(void) {
    rcu_unregister_thread();
}
