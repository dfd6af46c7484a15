/* SPDX-License-Identifier: MIT */
/* The fault seam: a build with -DHD_FAULT can make any one allocation or system call fail.
 *
 * Every wrapper of the os layer that can fail asks `if (HD__FAULT("site")) return <its failure>;`
 * first. A test runs a scenario once with the seam counting, then once for each count with that
 * call failing. In other builds HD__FAULT() is the constant false.
 *
 * The count is one for the process and all its kernel threads. HD_FAULT_AT=N in the environment
 * arms it from the start, for programs that do not know the seam. */
#ifndef HD_SRC_OS_FAULT_H
#define HD_SRC_OS_FAULT_H

#include "base/base.h"

#ifdef HD_FAULT

#define HD__FAULT(site) HD__UNLIKELY(hd__fault_should_fail(site))

/* Makes the nth call from now fail (1: the next); 0: none. Restarts the count of hits. */
void hd__fault_arm(uint64_t n);
/* As arm, but every call from the nth on fails. */
void hd__fault_arm_from(uint64_t n);
/* How many calls have asked since the seam was armed last. */
uint64_t hd__fault_hits(void);
/* How many of them were made to fail. */
uint64_t hd__fault_failed(void);
/* The site that was made to fail last; NULL if none was. */
const char *hd__fault_site(void);

bool hd__fault_should_fail(const char *site);

#else

#define HD__FAULT(site) ((void)(site), false)

#endif
#endif
