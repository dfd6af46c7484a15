/* SPDX-License-Identifier: MIT */
/* Slabs: their mappings, guards and huge pages; see stack.h for the idea. */
#include "ctx/stack.h"

#include "base/atomic.h"
#include "base/check.h"
#include "ctx/stack_slab.h"
#include "os/mem.h"
#include "os/numa.h"

#include <errno.h>

/* Guards by page protection stop here: each costs two mappings of the process's 65,530, and the
 * program needs some as well. */
#define MPROTECT_GUARDS_MAX 16000u

#define COLOURS 16u
#define COLOUR_BYTES 64u

_Atomic(struct hd__slab *) hd__stack_slabs;

static _Atomic int guard_kind; /* enum hd__stack_guard */
static _Atomic unsigned mprotect_guards;
static _Atomic uint64_t unguarded;
/* Stacks of huge classes by what they have; the first counts backwards. */
static _Atomic uint64_t pages_count[HD__PAGES_EXPLICIT + 1];

/* ---- guards ---- */

const char *hd__stack_guard_kind(void) {
    static const char *const names[] = { "madv-guard", "mprotect", "none" };
    return names[hd__load_relaxed(&guard_kind)];
}

void hd__stack_guard_force(enum hd__stack_guard kind) {
    hd__store_relaxed(&guard_kind, (int)kind);
}

static bool guard_by_protection(void *low, size_t bytes) {
    if (atomic_fetch_add_explicit(&mprotect_guards, 1, memory_order_relaxed) <
            MPROTECT_GUARDS_MAX &&
        hd__os_protect_none(low, bytes) == 0) {
        return true;
    }
    return false;
}

/* Guards the lowest `bytes` of n slots, the first beginning at `low`, and says in the records what
 * came of it. */
static void guard_slots(char *low, size_t bytes, size_t stride, struct hd__stack *records,
                        unsigned n) {
    int kind = hd__load_relaxed(&guard_kind);
    int err = -EINVAL;
    if (kind == HD__GUARD_MADVISE) {
        err = hd__os_guard_many(low, bytes, stride, n, !hd__annotate_old_kernel());
    }
    if (kind == HD__GUARD_MADVISE && err != 0 && err != -ENOMEM) {
        /* Not known to this kernel, nor will it be. */
        kind = HD__GUARD_MPROTECT;
        hd__store_relaxed(&guard_kind, kind);
    }
    for (unsigned i = 0; i < n; i++) {
        records[i].guarded = err == 0;
        if (err == 0) {
            continue;
        }
        if (kind != HD__GUARD_NONE && guard_by_protection(low + i * stride, bytes)) {
            records[i].guarded = true;
            continue;
        }
        atomic_fetch_add_explicit(&unguarded, 1, memory_order_relaxed);
        if (kind == HD__GUARD_MPROTECT) {
            kind = HD__GUARD_NONE;
            hd__store_relaxed(&guard_kind, kind);
        }
    }
}

/* ---- huge pages ---- */

void hd__slab_set_pages(struct hd__stack *s, enum hd__stack_pages pages) {
    atomic_fetch_sub_explicit(&pages_count[s->pages], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pages_count[pages], 1, memory_order_relaxed);
    s->pages = (uint8_t)pages;
}

/* The first touch of a range that may have huge pages brings a whole one in, or a single ordinary
 * page; in the latter case another page of the range is not there. */
void hd__slab_touch(struct hd__stack *s) {
    size_t page = hd__os_page_size();
    char *end = (char *)s->low + hd__stack_class_bytes(s->klass);
    char *huge = end - HD__STACK_HUGE_BYTES;
    if (hd__os_resident_bytes(huge, HD__STACK_HUGE_BYTES) == 0) {
        ((volatile char *)end)[-1] = 0;
        bool whole = hd__os_resident_bytes(huge, page) == page;
        hd__slab_set_pages(s, whole ? HD__PAGES_TRANSPARENT : HD__PAGES_MISSED);
    } else {
        hd__slab_set_pages(s, HD__PAGES_MISSED);
    }
}

/* ---- mapping ---- */

/* Aligned for huge pages, which are then asked for. */
static bool map_huge(struct hd__slab *slab, size_t bytes) {
    slab->map_bytes = bytes + HD__STACK_HUGE_BYTES;
    slab->map = hd__os_map(slab->map_bytes);
    if (slab->map == NULL) {
        return false;
    }
    slab->base = (char *)HD__ROUND_UP((uintptr_t)slab->map, HD__STACK_HUGE_BYTES);
    /* A kernel without huge pages refuses; hd__slab_touch() finds out. */
    (void)hd__os_huge(slab->base, bytes);
    return true;
}

/* Address space first, which is the guard as well, then pages that were set aside on top. */
static bool map_set_aside(struct hd__slab *slab, size_t bytes) {
    slab->map_bytes = bytes + HD__STACK_HUGE_BYTES;
    slab->map = hd__os_map_none(slab->map_bytes);
    if (slab->map == NULL) {
        return false;
    }
    slab->base = (char *)HD__ROUND_UP((uintptr_t)slab->map, HD__STACK_HUGE_BYTES);
    if (hd__os_map_set_aside(slab->base + slab->lead, slab->stride - slab->lead,
                             HD__STACK_HUGE_BYTES) != 0) {
        hd__os_unmap(slab->map, slab->map_bytes);
        return false;
    }
    slab->set_aside = true;
    return true;
}

static bool map(struct hd__slab *slab, size_t bytes) {
    if (slab->klass >= HD__STACK_HUGETLB && map_set_aside(slab, bytes)) {
        return true;
    }
    if (HD__STACK_IS_HUGE(slab->klass)) {
        return map_huge(slab, bytes);
    }
    slab->base = slab->map = hd__os_map(bytes);
    slab->map_bytes = bytes;
    if (slab->map == NULL) {
        return false;
    }
    /* Without it a stack might cost 2 MiB at its first touch. Kernels without huge pages refuse,
     * which is as good. */
    (void)hd__os_nohuge(slab->base, bytes);
    return true;
}

struct hd__slab *hd__slab_create(unsigned klass, unsigned slots, unsigned node, int number) {
    /* Large arrays come from the kernel zeroed and untouched; a record is written when its slot is
     * handed out first. */
    struct hd__slab *slab = hd__os_calloc(1, sizeof *slab + slots * sizeof slab->records[0]);
    if (slab == NULL) {
        return NULL;
    }
    bool huge = HD__STACK_IS_HUGE(klass);
    slab->klass = (uint8_t)klass;
    slab->node = (uint8_t)node;
    slab->slots = slots;
    slab->lead = huge ? HD__STACK_HUGE_BYTES : hd__os_page_size();
    slab->stride = hd__stack_class_bytes(klass) + (huge ? HD__STACK_HUGE_BYTES : 0);
    if (!map(slab, slots * slab->stride)) {
        hd__os_free(slab);
        return NULL;
    }
    if (number >= 0) {
        /* If the kernel does not want to know, the first touch decides. */
        (void)hd__os_numa_bind(slab->base, slots * slab->stride, (unsigned)number);
    }
    return slab;
}

void hd__slab_destroy(struct hd__slab *slab) {
#ifdef HD__VALGRIND
    for (unsigned i = 0; i < slab->used; i++) {
        hd__annotate_stack_gone(slab->records[i].valgrind_id);
    }
#endif
    hd__os_unmap(slab->map, slab->map_bytes);
    hd__os_free(slab);
}

/* ---- slots become stacks ---- */

static void make_record(struct hd__slab *slab, unsigned i) {
    char *bottom = slab->base + i * slab->stride;
    struct hd__stack *s = &slab->records[i];
    s->low = bottom + slab->lead;
    s->top = bottom + slab->stride - i % COLOURS * COLOUR_BYTES;
    s->size = (uint32_t)((char *)s->top - (char *)s->low);
    s->klass = slab->klass;
    s->node = slab->node;
    s->next = s + 1;
    s->guarded = slab->set_aside;
    if (HD__STACK_IS_HUGE(slab->klass)) {
        hd__slab_set_pages(s, slab->set_aside ? HD__PAGES_EXPLICIT : HD__PAGES_UNKNOWN);
    }
#ifdef HD__VALGRIND
    s->valgrind_id = hd__annotate_stack_new(s->low, s->top);
#endif
}

struct hd__stack *hd__slab_make_stacks(struct hd__slab *slab, unsigned from, unsigned n) {
    struct hd__stack *first = &slab->records[from];
    for (unsigned i = 0; i < n; i++) {
        make_record(slab, from + i);
    }
    first[n - 1].next = NULL;
    if (!slab->set_aside) {
        guard_slots(slab->base + from * slab->stride, slab->lead, slab->stride, first, n);
    }
    return first;
}

/* ---- the whole ---- */

void hd__slab_stats(struct hd__stack_stats *out) {
    out->unguarded = hd__load_relaxed(&unguarded);
    out->transparent = hd__load_relaxed(&pages_count[HD__PAGES_TRANSPARENT]);
    out->missed = hd__load_relaxed(&pages_count[HD__PAGES_MISSED]);
    out->explicit = hd__load_relaxed(&pages_count[HD__PAGES_EXPLICIT]);
    for (struct hd__slab *s = hd__load_acquire(&hd__stack_slabs); s != NULL; s = s->next_slab) {
        out->slabs++;
        out->mapped_bytes += s->slots * s->stride;
    }
}

void hd__slab_reset(void) {
    hd__store_relaxed(&guard_kind, HD__GUARD_MADVISE);
    hd__store_relaxed(&mprotect_guards, 0);
    hd__store_relaxed(&unguarded, 0);
    for (unsigned i = 0; i <= HD__PAGES_EXPLICIT; i++) {
        hd__store_relaxed(&pages_count[i], 0);
    }
}
