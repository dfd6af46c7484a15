/* SPDX-License-Identifier: MIT */
/* The sequence lock: the public functions. The argument: seqlock.h. */
#include <heddle/seqlock.h>

#include <heddle/preempt.h>

#include "base/check.h"
#include "sched/look.h"
#include "lockfree/seqlock.h"

_Static_assert(sizeof(struct hd__seqlock) == sizeof(hd_seqlock), "the public type");

typedef _Atomic uint64_t word __attribute__((may_alias));
typedef _Atomic uint8_t byte __attribute__((may_alias));

static struct hd__seqlock *of(const hd_seqlock *l) {
    return (struct hd__seqlock *)l;
}

static bool aligned(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & (sizeof(word) - 1)) == 0;
}

/* Only one side is seen by others: that which the lock guards. */
static void copy_in(void *data, const void *from, size_t size) {
    char *to = data;
    const char *at = from;
    if (aligned(to, at)) {
        for (; size >= sizeof(word); size -= sizeof(word), to += sizeof(word), at += sizeof(word))
            hd__store_release((word *)(void *)to, hd__load_relaxed((const word *)(const void *)at));
    }
    for (; size > 0; size--, to++, at++)
        hd__store_release((byte *)(void *)to, *(const uint8_t *)at);
}

static void copy_out(void *out, const void *data, size_t size) {
    char *to = out;
    const char *at = data;
    if (aligned(to, at)) {
        for (; size >= sizeof(word); size -= sizeof(word), to += sizeof(word), at += sizeof(word))
            hd__store_relaxed((word *)(void *)to, hd__load_acquire((const word *)(const void *)at));
    }
    for (; size > 0; size--, to++, at++)
        *(uint8_t *)to = hd__load_acquire((const byte *)(const void *)at);
}

void hd_seqlock_write_begin(hd_seqlock *l) {
    HD__CHECK(l != NULL, "hd_seqlock_write_begin: l is NULL; pass the address of an hd_seqlock");
    uint64_t me = hd__look_token();
    HD__CHECK(hd__load_relaxed(&of(l)->writer) != me || me >= HD__TOKEN_ENDED,
              "hd_seqlock_write_begin: the caller is writing already; sections do not nest");
    hd_preempt_disable();
    hd__seqlock_write_begin(of(l));
    hd__store_relaxed(&of(l)->writer, me);
}

void hd_seqlock_write_end(hd_seqlock *l) {
    HD__CHECK(l != NULL && hd__load_relaxed(&of(l)->writer) == hd__look_token(),
              "hd_seqlock_write_end: the caller is not writing; call hd_seqlock_write_begin() "
              "before");
    hd__store_relaxed(&of(l)->writer, 0);
    (void)hd__seqlock_write_end(of(l));
    hd_preempt_enable();
}

uint64_t hd_seqlock_read_begin(const hd_seqlock *l) {
    return hd__seqlock_read_begin(of(l));
}

bool hd_seqlock_read_retry(const hd_seqlock *l, uint64_t begun) {
    return hd__seqlock_read_retry(of(l), begun);
}

void hd_seqlock_write(hd_seqlock *l, void *data, const void *from, size_t size) {
    hd_seqlock_write_begin(l);
    copy_in(data, from, size);
    hd_seqlock_write_end(l);
}

bool hd_seqlock_tryread(const hd_seqlock *l, void *to, const void *data, size_t size) {
    uint64_t begun = hd__load_acquire(&of(l)->sequence);
    if (begun & 1) return false;
    copy_out(to, data, size);
    return !hd__seqlock_read_retry(of(l), begun);
}

void hd_seqlock_read(const hd_seqlock *l, void *to, const void *data, size_t size) {
    uint64_t begun;
    do {
        begun = hd__seqlock_read_begin(of(l));
        copy_out(to, data, size);
    } while (hd__seqlock_read_retry(of(l), begun));
}
