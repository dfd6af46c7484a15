/* SPDX-License-Identifier: MIT */
/* Giving the memory of idle stacks back to the kernel.
 *
 * One call a stack would cost half a microsecond even where there is nothing to give, so the stacks
 * are sorted, and those that lie side by side go in one call, guards and all: neither markers in
 * the page table nor page protection are taken away by it. */
#include "base/atomic.h"
#include "ctx/stack_slab.h"
#include "os/mem.h"

static _Atomic uint64_t trimmed_bytes;

/* Two chains that are sorted become one. */
static struct hd__stack *merge(struct hd__stack *a, struct hd__stack *b) {
    struct hd__stack *first = NULL, **end = &first;
    while (a != NULL && b != NULL) {
        struct hd__stack **least = (uintptr_t)a < (uintptr_t)b ? &a : &b;
        *end = *least;
        end = &(*least)->next;
        *least = *end;
    }
    *end = a != NULL ? a : b;
    return first;
}

/* By address: merge sort from the bottom up; level i holds a sorted chain of 2 to the i. */
static struct hd__stack *sort(struct hd__stack *chain) {
    struct hd__stack *level[24] = { NULL }, *sorted = NULL;
    while (chain != NULL) {
        struct hd__stack *run = chain;
        unsigned i = 0;
        chain = chain->next;
        run->next = NULL;
        for (; i < 23 && level[i] != NULL; i++) {
            run = merge(level[i], run);
            level[i] = NULL;
        }
        level[i] = merge(level[i], run);
    }
    for (unsigned i = 0; i < 24; i++) {
        sorted = merge(level[i], sorted);
    }
    return sorted;
}

/* What a guard does not cover. */
static size_t whole_bytes(const struct hd__stack *s) {
    size_t bytes = hd__stack_class_bytes(s->klass);
    return HD__STACK_IS_HUGE(s->klass) ? bytes : bytes - hd__os_page_size();
}

/* Of the stacks from first to last, which lie side by side. */
static size_t discard_run(struct hd__stack *first, struct hd__stack *last) {
    char *low = first->low;
    size_t bytes = (size_t)((char *)last->low - low) + whole_bytes(last);
    size_t had = hd__os_resident_bytes(low, bytes);
    return had != 0 && hd__os_discard(low, bytes) == 0 ? had : 0;
}

size_t hd__stack_trim_discard(struct hd__stack **chain) {
    size_t bytes = 0;
    *chain = sort(*chain);
    for (struct hd__stack *first = *chain; first != NULL;) {
        struct hd__stack *last = first;
        while (last->next == last + 1 && last->pages != HD__PAGES_EXPLICIT) {
            last = last->next;
        }
        struct hd__stack *next = last->next;
        /* What was set aside might be gone when it is wanted back. */
        if (first->pages != HD__PAGES_EXPLICIT) {
            bytes += discard_run(first, last);
        }
        for (struct hd__stack *s = first; s != next; s = s->next) {
            if (s->pages == HD__PAGES_TRANSPARENT || s->pages == HD__PAGES_MISSED) {
                hd__slab_set_pages(s, HD__PAGES_UNKNOWN);
            }
        }
        first = next;
    }
    atomic_fetch_add_explicit(&trimmed_bytes, bytes, memory_order_relaxed);
    return bytes;
}

void hd__stack_trim_stats(struct hd__stack_stats *out) {
    out->trimmed_bytes = hd__load_relaxed(&trimmed_bytes);
}

void hd__stack_trim_reset(void) {
    hd__store_relaxed(&trimmed_bytes, 0);
}
