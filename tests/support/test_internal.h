/* SPDX-License-Identifier: MIT */
/* Shared between the runner (test.c) and the checks (check.c). */
#ifndef HEDDLE_TEST_INTERNAL_H
#define HEDDLE_TEST_INTERNAL_H

#include "test.h"

/* Ends the present test as failed; its message is printed already. */
_Noreturn void test_leave_failed(void);

#endif
