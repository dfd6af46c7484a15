/* SPDX-License-Identifier: MIT */
/* A scenario again and again, each time with another call of the runtime failing. */
#ifndef HEDDLE_TEST_IN_TURN_H
#define HEDDLE_TEST_IN_TURN_H

#include "test.h"

#include "os/fault.h"

#ifndef HD_FAULT
#error "this program is for builds with -DHD_FAULT"
#endif

static bool faultless; /* nothing is armed: everything must work */

/* Has the nth call fail (arm: hd__fault_arm), or all from the nth on (hd__fault_arm_from), for each
 * n until none has failed; and runs the scenario without failures after each. */
static inline void fail_in_turn(void (*scenario)(void), void (*arm)(uint64_t)) {
    for (uint64_t n = 1;; n++) {
        faultless = false;
        arm(n);
        scenario();
        uint64_t failed = hd__fault_failed();
        const char *site = hd__fault_site();
        hd__fault_arm(0);
        test_note("after %llu: %s", (unsigned long long)n, site ? site : "nothing failed");
        faultless = true;
        scenario();
        if (failed == 0)
            break;
        CHECK_LT(n, 10000);
    }
}

/* Both, as tests. */
#define FAIL_IN_TURN(scenario)                               \
    TEST_WITHIN(each_call_fails_once, 120) {                 \
        fail_in_turn(scenario, hd__fault_arm);               \
    }                                                        \
    TEST_WITHIN(all_calls_fail_from_some_point_on, 120) {    \
        fail_in_turn(scenario, hd__fault_arm_from);          \
    }

#endif
