/* SPDX-License-Identifier: MIT */
/* What every public header needs: visibility, C++ linkage, errors, version. */
#ifndef HEDDLE_BASE_H
#define HEDDLE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HD_VERSION_MAJOR 0
#define HD_VERSION_MINOR 1
#define HD_VERSION_PATCH 0

#if defined(__GNUC__)
#define HD_API __attribute__((visibility("default")))
#else
#define HD_API
#endif

#ifdef __cplusplus
#define HD_BEGIN_DECLS extern "C" {
#define HD_END_DECLS }
#else
#define HD_BEGIN_DECLS
#define HD_END_DECLS
#endif

/* A deadline that never comes. Every `_until` call accepts it. */
#define HD_FOREVER UINT64_MAX

HD_BEGIN_DECLS

/* A thread of the runtime. Opaque; a handle is valid until it is joined or detached. */
typedef struct hd_thread hd_thread;

/* What a thread runs. Its result goes to the joiner. */
typedef void *(*hd_fn)(void *arg);

/* Says in words what an error means. `err` may be given as the calls return it (-EAGAIN) or
 * positive. Returns a string that is never freed. May be called from anywhere, signal handlers
 * included; does not block. */
HD_API const char *hd_strerror(int err);

/* The version of the library that is linked, as "MAJOR.MINOR.PATCH". */
HD_API const char *hd_version(void);

HD_END_DECLS
#endif
