/* SPDX-License-Identifier: MIT */
/* The locks that sync.c measures: heddle's, or the C library's. */
#ifndef HEDDLE_BENCH_SUBJECT_SYNC_H
#define HEDDLE_BENCH_SUBJECT_SYNC_H

#ifdef BENCH_HEDDLE

typedef hd_mutex sync_mutex;
typedef hd_rwlock sync_rwlock;
typedef hd_cond sync_cond;
#define SYNC_MUTEX HD_MUTEX_INIT
#define SYNC_RWLOCK HD_RWLOCK_INIT
#define SYNC_COND HD_COND_INIT
#define sync_lock(m) hd_mutex_lock(m)
#define sync_unlock(m) hd_mutex_unlock(m)
#define sync_read(l) hd_rwlock_rdlock(l)
#define sync_read_end(l) hd_rwlock_rdunlock(l)
#define sync_wait(c, m) hd_cond_wait(c, m)
#define sync_signal(c) hd_cond_signal(c)

#else

#include <pthread.h>

typedef pthread_mutex_t sync_mutex;
typedef pthread_rwlock_t sync_rwlock;
typedef pthread_cond_t sync_cond;
#define SYNC_MUTEX PTHREAD_MUTEX_INITIALIZER
#define SYNC_RWLOCK PTHREAD_RWLOCK_INITIALIZER
#define SYNC_COND PTHREAD_COND_INITIALIZER
#define sync_lock(m) pthread_mutex_lock(m)
#define sync_unlock(m) pthread_mutex_unlock(m)
#define sync_read(l) pthread_rwlock_rdlock(l)
#define sync_read_end(l) pthread_rwlock_unlock(l)
#define sync_wait(c, m) pthread_cond_wait(c, m)
#define sync_signal(c) pthread_cond_signal(c)

#endif
#endif
