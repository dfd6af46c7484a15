/* SPDX-License-Identifier: MIT */
/* Looking into stacks: which one an address belongs to, and how much of one was used. */
#include "base/atomic.h"
#include "ctx/stack_slab.h"
#include "os/mem.h"

/* Unlikely as a value, and as a pointer not canonical. */
#define PAINT UINT64_C(0x5ac4edd1e5ac4edd)

bool hd__stack_find(const void *addr, struct hd__stack_hit *hit) {
    uintptr_t at = (uintptr_t)addr;
    for (struct hd__slab *s = hd__load_acquire(&hd__stack_slabs); s != NULL; s = s->next_slab) {
        uintptr_t offset = at - (uintptr_t)s->base;
        if (offset >= s->slots * s->stride) {
            continue;
        }
        struct hd__stack *record = &s->records[offset / s->stride];
        hit->slot_low = s->base + offset / s->stride * s->stride;
        hit->slot_bytes = hd__stack_class_bytes(s->klass);
        hit->in_guard = offset % s->stride < s->lead;
        hit->stack = record->size == 0 ? NULL : record;
        return true;
    }
    return false;
}

/* Not instrumented: the words that are looked at belong to frames of a running thread. */
#define UNINSTRUMENTED __attribute__((no_sanitize("address", "thread"), noinline))

UNINSTRUMENTED void hd__stack_paint(struct hd__stack *s) {
    volatile uint64_t *word = s->low;
    hd__annotate_stack_idle(s->low, s->size);
    for (size_t n = s->size / sizeof *word; n > 0; n--) {
        *word++ = PAINT;
    }
}

UNINSTRUMENTED static size_t painted_mark(const struct hd__stack *s) {
    const volatile uint64_t *word = s->low, *end = s->top;
    hd__annotate_stack_peek(s->low, s->size);
    while (word < end && *word == PAINT) {
        word++;
    }
    return (size_t)((const char *)s->top - (const volatile char *)word);
}

size_t hd__stack_high_water(const struct hd__stack *s, bool painted, bool *exact) {
    *exact = painted;
    if (painted) {
        return painted_mark(s);
    }
    /* Whole pages up to the slot's end, of which the colour is not part of the stack. */
    size_t page = hd__os_page_size();
    size_t colour = -(uintptr_t)s->top & (page - 1);
    size_t resident = hd__os_resident_from(s->low, s->size + colour);
    return resident > colour ? resident - colour : 0;
}
