/* SPDX-License-Identifier: MIT */
/* Heddle: M:N threads for C on Linux. Includes the whole public interface. */
#ifndef HEDDLE_HEDDLE_H
#define HEDDLE_HEDDLE_H

#include <heddle/base.h>
#include <heddle/cache.h>
#include <heddle/chan.h>
#include <heddle/counter.h>
#include <heddle/deque.h>
#include <heddle/epoch.h>
#include <heddle/hazard.h>
#include <heddle/io.h>
#include <heddle/key.h>
#include <heddle/local.h>
#include <heddle/lock.h>
#include <heddle/metrics.h>
#include <heddle/policy.h>
#include <heddle/percpu.h>
#include <heddle/pool.h>
#include <heddle/preempt.h>
#include <heddle/rcu.h>
#include <heddle/queue.h>
#include <heddle/ref.h>
#include <heddle/ring.h>
#include <heddle/runtime.h>
#include <heddle/seqlock.h>
#include <heddle/stack.h>
#include <heddle/sync.h>
#include <heddle/thread.h>
#include <heddle/time.h>
#include <heddle/topology.h>

#endif
