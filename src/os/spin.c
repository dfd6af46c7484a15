/* SPDX-License-Identifier: MIT */
/* The contended side of hd__spin (base/spin.h). */
#include "base/spin.h"

#include "arch/arch.h"

#include <sched.h>
#include <time.h>

/* Sections are tens of nanoseconds long, and a pause is 10 to 50: a holder that runs is done well
 * within the looks of one round. After that it is most likely descheduled; yielding helps if it
 * waits for our CPU, sleeping if it waits for another. */
enum { LOOKS_PER_ROUND = 64, YIELDS = 8, SLEEP_NS = 50000 };

#ifdef HD_DEBUG
void (*_Atomic hd__spin_check)(void);
#endif

void hd__spin_turn(unsigned turn) {
    unsigned round = turn / LOOKS_PER_ROUND;
    if (turn % LOOKS_PER_ROUND != LOOKS_PER_ROUND - 1) {
        hd__cpu_relax();
    } else if (round < YIELDS) {
        sched_yield();
    } else {
        struct timespec nap = { .tv_sec = 0, .tv_nsec = SLEEP_NS };
        nanosleep(&nap, NULL);
    }
}

void hd__spin_slow(hd__spin *s) {
    for (unsigned turn = 0; !hd__spin_trylock(s); turn++) {
        hd__spin_turn(turn);
    }
}
