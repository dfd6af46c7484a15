/* SPDX-License-Identifier: MIT */
/* The inside of a channel; the idea and the invariants are in chan.c. */
#ifndef HD__SYNC_CHAN_H
#define HD__SYNC_CHAN_H

#include <string.h>

#include "base/check.h"
#include "sync/select.h"
#include <heddle/chan.h>

/* Elements of an unbounded channel. */
struct hd__chan_block {
    struct hd__chan_block *next; /* link: the channel's, oldest first; or a list of idle ones */
    unsigned char elems[] HD__ALIGNED(16);
};

struct hd_chan {
    hd__spin guard; /* guards all below that changes */
    bool closed;
    bool unbounded;             /* constant */
    size_t elem_size;           /* constant */
    size_t capacity;            /* constant */
    size_t first;               /* place of the oldest element, < capacity (0 if capacity is 0) */
    size_t count;               /* elements in it */
    struct hd__waitq senders;   /* links: hd__wait.next and .prev */
    struct hd__waitq receivers; /* links: hd__wait.next and .prev */
    /* Unbounded: `first` is the oldest's place in `oldest`, `next` the next one's in `newest`. */
    struct hd__chan_block *oldest, *newest, *spare;
    size_t next, per_block;
    unsigned char ring[] HD__ALIGNED(16);
};

static inline void hd__chan_copy(void *to, const void *from, size_t size) {
    /* Pointers and integers are what most channels carry; without a call that costs a move. */
    if (HD__LIKELY(size == sizeof(uint64_t))) {
        memcpy(to, from, sizeof(uint64_t));
    } else if (size != 0) {
        memcpy(to, from, size);
    }
}

static inline void hd__chan_check_elem(const hd_chan *c, const void *elem, const char *call) {
    HD__CHECK(elem != NULL || c->elem_size == 0,
              "%s: the element's address is NULL; only channels of elem_size 0 take that", call);
}

/* ---- What is in it; all with the guard held ---- */

static inline bool hd__chan_block_full(const hd_chan *c) {
    return c->newest == NULL || c->next == c->per_block;
}

/* Whether hd__chan_put() may be called. An unbounded one without room lacks memory. */
static inline bool hd__chan_has_room(const hd_chan *c) {
    if (HD__LIKELY(!c->unbounded)) return c->count < c->capacity;
    return c->elem_size == 0 || !hd__chan_block_full(c) || c->spare != NULL;
}

void hd__chan_put_block(hd_chan *c, const void *elem);
void hd__chan_take_block(hd_chan *c, void *elem, struct hd__chan_block **idle);

static inline void hd__chan_put(hd_chan *c, const void *elem) {
    if (HD__UNLIKELY(c->unbounded)) {
        hd__chan_put_block(c, elem);
        return;
    }
    size_t place = c->first + c->count;
    if (place >= c->capacity) place -= c->capacity;
    hd__chan_copy(c->ring + place * c->elem_size, elem, c->elem_size);
    c->count++;
}

/* Blocks that are not needed any more come to the front of *idle. */
static inline void hd__chan_take(hd_chan *c, void *elem, struct hd__chan_block **idle) {
    if (HD__UNLIKELY(c->unbounded)) {
        hd__chan_take_block(c, elem, idle);
        return;
    }
    hd__chan_copy(elem, c->ring + c->first * c->elem_size, c->elem_size);
    if (++c->first == c->capacity) c->first = 0;
    c->count--;
}

/* ---- Steps of a call ---- */

/* Parks the caller in a queue of c; guard held. Inside. */
int hd__chan_wait(hd_chan *c, struct hd__waitq *q, void *elem, const char *what,
                  uint64_t deadline_ns, const void *site);

/* Gives an unbounded channel a block that it lacks; 0 or -ENOMEM. Frees blocks. Both inside, and
 * without a lock; they leave and enter the gate. */
int hd__chan_grow(hd_chan *c);
void hd__chan_free_blocks(struct hd__chan_block *idle);

#endif
