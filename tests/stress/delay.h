/* SPDX-License-Identifier: MIT */
/* Delays that stress programs inject between any two steps of their members, where the seed says.
 * */
#ifndef HEDDLE_TEST_DELAY_H
#define HEDDLE_TEST_DELAY_H

#include "crew.h"

/* Something between no time and a slice: a delay at a place where the others may come in. */
static inline void delay(struct crew_member *m) {
    switch (test_rng_below(&m->rng, 16)) {
    case 0:
        if (!m->foreign)
            hd_yield();
        break;
    case 1:
        crew_pause(m);
        break;
    case 2:
        if (crew_chance(m, 8))
            (void)hd_sleep_for(test_rng_below(&m->rng, 50 * 1000));
        break;
    default:
        break;
    }
}

#endif
