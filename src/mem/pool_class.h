/* SPDX-License-Identifier: MIT */
/* The pools of hd_alloc(), seen from other files. */
#ifndef HD_SRC_MEM_POOL_CLASS_H
#define HD_SRC_MEM_POOL_CLASS_H

#include "mem/pool.h"

/* hd_pool_trim() and hd_pool_stats() for all of them; outside. */
size_t hd__pool_classes_trim(void);
void hd__pool_classes_stats(struct hd_pool_stats *s);

/* Adds a pool's counters; pool_life.c. */
void hd__pool_stats_add(hd_pool *pool, struct hd_pool_stats *s);

#endif
