/* SPDX-License-Identifier: MIT */
/* Heddle: M:N threads for C on Linux. Includes the whole public interface. */
#ifndef HEDDLE_HEDDLE_H
#define HEDDLE_HEDDLE_H

#include <heddle/base.h>
#include <heddle/chan.h>
#include <heddle/io.h>
#include <heddle/key.h>
#include <heddle/metrics.h>
#include <heddle/preempt.h>
#include <heddle/runtime.h>
#include <heddle/sync.h>
#include <heddle/thread.h>
#include <heddle/time.h>

#endif
