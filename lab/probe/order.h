/* SPDX-License-Identifier: MIT */
/* Events from several sources, handed on in the order of their time. */
#ifndef HEDDLE_LAB_PROBE_ORDER_H
#define HEDDLE_LAB_PROBE_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "probe/event.h"

struct probe_queued {
    struct probe_event e;
    uint64_t number; /* of those with the same time the first to come is the first to go */
    char text[32];
};

struct probe_order {
    struct probe_queued *list;
    size_t count, room, sorted; /* the first `sorted` ones are in order */
    uint64_t next;              /* number */
    uint64_t out_ns;            /* time of the last one that went */
    uint64_t late;              /* how many came after a later one had gone */
};

/* The text is copied, up to 31 bytes. */
void probe_order_add(struct probe_order *o, const struct probe_event *e);

/* Hands on all up to a moment. One that is late gets the time of the last that went: whoever takes
 * them sees time stand still, never run backwards. */
void probe_order_release(struct probe_order *o, uint64_t until_ns, probe_sink *sink, void *arg);

void probe_order_free(struct probe_order *o);

#endif
