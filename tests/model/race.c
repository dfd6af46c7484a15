/* SPDX-License-Identifier: MIT */
/* Data races: two accesses to the same byte by different threads, one of them a write and one of
 * them plain, that are not ordered by happens-before. Each word that is accessed remembers when
 * each thread last read and wrote each of its bytes, counted in events of that thread. It does not
 * matter in which order a run executes the two: the second one sees that the first is not ordered
 * before it. */
#include "core.h"

#include <string.h>

struct cell *model__cell(uintptr_t addr) {
    struct checker *c = model__c;
    uintptr_t word = addr & ~(uintptr_t)7;
    uint32_t at = (uint32_t)((word >> 3) * 0x9e3779b1u) % CELLS;
    while (c->cell[at].addr && c->cell[at].addr != word) at = (at + 1) % CELLS;
    if (!c->cell[at].addr) {
        c->cell[at].addr = word;
        if (c->cells == CELLS / 2) {
            model__forget_cells(); /* misses a race at worst */
            return model__cell(addr);
        }
        c->touched[c->cells++] = (uint16_t)at;
    }
    return &c->cell[at];
}

void model__forget_cells(void) {
    struct checker *c = model__c;
    for (int i = 0; i < c->cells; i++) {
        memset(&c->cell[c->touched[i]], 0, sizeof c->cell[0]);
    }
    c->cells = 0;
}

/* The first of the accesses in `when` that is not ordered before the present one; -1: none. */
static int unordered(const uint16_t *when) {
    struct checker *c = model__c;
    const struct thread *self = &c->thread[c->current];
    for (unsigned t = 0; t < c->threads; t++) {
        if (t != c->current && when[t] > self->hb[t]) return (int)t;
    }
    return -1;
}

static void report(const char *what, uintptr_t addr, unsigned bytes, bool write, int other,
                   bool other_writes, const void *pc) {
    model__failed(pc, "%s: %s of %u bytes at %p by thread %u is not ordered with a %s by thread %d",
                  what, write ? "write" : "read", bytes, (void *)addr, model__c->current,
                  other_writes ? "write" : "read", other);
}

static bool overlaps_atomic(const struct cell *cell, unsigned byte) {
    return byte >= cell->atomic_from && byte < cell->atomic_from + cell->atomic_bytes;
}

static bool check_byte(struct cell *cell, unsigned byte, uintptr_t addr, unsigned bytes, bool write,
                       bool plain, const void *pc) {
    int other = unordered(cell->write[byte]);
    bool atomics = plain && overlaps_atomic(cell, byte);
    bool writes = true;
    if (other < 0 && atomics) other = unordered(cell->atomic_write);
    if (other < 0 && write) {
        writes = false;
        other = unordered(cell->read[byte]);
        if (other < 0 && atomics) other = unordered(cell->atomic_read);
    }
    if (other >= 0) report("data race", addr, bytes, write, other, writes, pc);
    return other < 0;
}

static bool check(struct cell *cell, uintptr_t addr, unsigned from, unsigned bytes, bool write,
                  bool plain, const void *pc) {
    if (cell->freed) {
        model__failed(pc, "use after free: %s of %u bytes at %p by thread %u",
                      write ? "write" : "read", bytes, (void *)addr, model__c->current);
        return false;
    }
    for (unsigned i = 0; i < bytes; i++) {
        if (!check_byte(cell, from + i, addr, bytes, write, plain, pc)) return false;
    }
    return true;
}

void model__access(uintptr_t addr, unsigned bytes, bool write, const void *pc) {
    struct checker *c = model__c;
    struct thread *t = &c->thread[c->current];
    if (c->phase != THREADS || c->failing) return;
    while (bytes) {
        unsigned from = addr & 7, part = bytes < 8 - from ? bytes : 8 - from;
        struct cell *cell = model__cell(addr);
        if (!check(cell, addr, from, part, write, true, pc)) model__end_thread();
        for (unsigned i = 0; i < part; i++) {
            uint16_t *when = write ? cell->write[from + i] : cell->read[from + i];
            when[c->current] = (uint16_t)(t->pos + 1);
        }
        addr += part;
        bytes -= part;
    }
}

/* By the scheduler, for the operation that it executes. */
void model__atomic_access(uintptr_t addr, unsigned bytes, bool write, const void *pc) {
    struct checker *c = model__c;
    struct thread *t = &c->thread[c->current];
    unsigned from = addr & 7;
    struct cell *cell = model__cell(addr);
    check(cell, addr, from, bytes, write, false, pc);
    cell->atomic_from = (uint8_t)from;
    cell->atomic_bytes = (uint8_t)bytes;
    (write ? cell->atomic_write : cell->atomic_read)[c->current] = (uint16_t)t->pos;
}
