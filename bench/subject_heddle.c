/* SPDX-License-Identifier: MIT */
/* What the subject heddle has once a program. */
#include "subject.h"

hd_key subject_heddle_key;
