/* SPDX-License-Identifier: MIT */
/* Preemption: time slices, sections that are not preempted, calls that block the kernel thread.
 *
 * A thread that runs while others wait is preempted at the end of its time slice, wherever it is.
 * hd_attr.preempt says how:
 *
 *   HD_PREEMPT_CARRIER  (the default) The thread keeps the kernel thread that carries it; the
 *                       worker goes on with another. Safe for any C and C++ code: to the code and
 *                       the C library it looks as if the kernel had preempted it.
 *   HD_PREEMPT_LIGHT    The thread is switched away from without a change of kernel threads, which
 *                       is cheaper and needs no kernel thread for each preempted thread. It is only
 *                       done in code of the program itself, or that hd_preempt_register() named;
 *                       elsewhere the thread is preempted the default way. Between its calls into
 *                       heddle such a thread should only compute.
 *   HD_PREEMPT_OFF      The thread is never preempted.
 */
#ifndef HEDDLE_PREEMPT_H
#define HEDDLE_PREEMPT_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* hd_config.slice_us and hd_slice_set(): no time slices. Threads then leave their worker only by
 * waiting, yielding and ending, or for a thread of higher priority. */
#define HD_SLICE_NONE UINT64_MAX

/* Sets the time slice, in microseconds: 100 to 1,000,000, or HD_SLICE_NONE. Takes effect at once,
 * also for threads that run. 0, -EINVAL (out of range, or no runtime runs). From anywhere but
 * signal handlers; does not block. */
HD_API int hd_slice_set(uint64_t slice_us);

/* The present time slice in microseconds; 0 when no runtime runs. */
HD_API uint64_t hd_slice_get(void);

/* Keeps the calling thread from being preempted until hd_preempt_enable() was called as often.
 * A preemption that fell due meanwhile happens in the last hd_preempt_enable(). A thread may wait
 * and yield in between, and returns from that as it was: not preempted. At most 32,766 deep; a
 * thread must not end with preemption disabled (both abort with a message). On a foreign kernel
 * thread they do nothing. Do not block. */
HD_API void hd_preempt_disable(void);
HD_API void hd_preempt_enable(void);

/* Names code in which HD_PREEMPT_LIGHT threads may be preempted the light way, beside the program's
 * own: the executable segment that `code`, a function's address, lies in. For libraries that only
 * compute (libm). 0, -EINVAL (no code lies there), -ENOMEM (64 were named before). From anywhere
 * but signal handlers. */
HD_API int hd_preempt_register(const void *code);

/* Runs fn(arg) on the calling thread and stores what it returned in *result, if result is not
 * NULL. fn may block its kernel thread, in a system call or a foreign lock: the worker goes on with
 * another kernel thread if that takes longer than about 20 microseconds and others could run.
 * A thread that calls nothing of the sort loses its worker in the same way, but only after a time
 * slice. fn may call hd_* functions. Returns 0. On a foreign kernel thread it just calls fn. */
HD_API int hd_blocking(hd_fn fn, void *arg, void **result);

HD_END_DECLS
#endif
