/* SPDX-License-Identifier: MIT */
/* The lock object that a thread of an interpreter waits for.
 *
 * Up to 3.12 an object has a pointer to a semaphore, and the futex is that semaphore: the C
 * functions that wait have the object at hand, so a pointer to it lies in their stack. From 3.14 on
 * the lock is a byte in the object, and who waits for it does so on a semaphore in its own stack,
 * before which it keeps the byte's address. In 3.13 there are both. Either way it is an object of a
 * lock's type, or it is not believed. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "probe/python_inside.h"

enum {
    STACK_WORDS = 512, /* that are searched, from the stack pointer on */
    NEAR = 8192,       /* how far from it a semaphore in the stack is */
    BATCH = 64,        /* objects that are looked into at once */
    UNKNOWN_NS = 500 * 1000 * 1000, /* for which a futex of something else is left alone */
};

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t head_of(const struct probe_python *p) {
    return (uint64_t)p->layout.object_type + 8;
}

/* "_thread.lock", "thread.lock", "_thread.RLock". */
static bool is_lock(struct probe_python *p, uint64_t object, bool *recursive) {
    char type[32];
    if (probe_python_type(p, object, type, sizeof(type)) != 0)
        return false;
    const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
    *recursive = strcmp(name, "RLock") == 0;
    return *recursive || strcmp(name, "lock") == 0;
}

static bool could_be_object(uint64_t word, uint64_t sp) {
    return word % 8 == 0 && word >= 1 << 16 && word >> 47 == 0 &&
           (word < sp || word - sp > NEAR);
}

/* Which of the objects has this word behind its head; 0: none. Some are none at all. */
static uint64_t with_word(const struct probe_python *p, const uint64_t *list, int count,
                          uint64_t want) {
    struct probe_piece pieces[BATCH];
    uint64_t word[BATCH];
    for (int from = 0; from < count;) {
        int n = count - from < BATCH ? count - from : BATCH;
        for (int i = 0; i < n; i++)
            pieces[i] = (struct probe_piece){list[from + i] + head_of(p), &word[i], 8};
        int got = probe_read_pieces(p->pid, pieces, n);
        for (int i = 0; i < got; i++) {
            if (word[i] == want)
                return list[from + i];
        }
        from += got < 0 ? 1 : got < n ? got + 1 : n;
    }
    return 0;
}

static uint64_t search(struct probe_python *p, uint64_t futex, uint64_t sp, bool *recursive) {
    uint64_t stack[STACK_WORDS], list[STACK_WORDS];
    struct probe_piece piece = {sp, stack, sizeof(stack)};
    size_t words = STACK_WORDS;
    int count = 0;
    if (probe_read_pieces(p->pid, &piece, 1) != 1) { /* nearly at its end: less of it */
        words = (4096 - sp % 4096) / 8;
        piece.size = words * 8;
        if (words > STACK_WORDS || probe_read_pieces(p->pid, &piece, 1) != 1)
            return 0;
    }
    for (size_t i = 0; i < words; i++) {
        bool known = !could_be_object(stack[i], sp);
        for (int k = 0; k < count && !known; k++)
            known = list[k] == stack[i];
        if (!known)
            list[count++] = stack[i];
    }
    for (int from = 0; from < count;) {
        uint64_t object = with_word(p, list + from, count - from, futex);
        if (!object)
            return 0;
        if (is_lock(p, object, recursive))
            return object;
        while (list[from++] != object)
            ;
    }
    return 0;
}

/* The structure that the semaphore is in begins with an argument, and the
 * address of what is waited for. */
static uint64_t parked(struct probe_python *p, uint64_t futex, bool *recursive) {
    uint64_t address;
    if (probe_read_u64(p->pid, futex - 8, &address) != 0 || address < 1 << 16)
        return 0;
    uint64_t object = address - head_of(p);
    return object % 8 == 0 && is_lock(p, object, recursive) ? object : 0;
}

pid_t probe_python_lock_owner(struct probe_python *p, const struct probe_python_lock *lock) {
    uint64_t field[2] = {0}; /* who, how often (from 3.14 on, how often again) */
    bool late = p->layout.major == 3 && p->layout.minor >= 14;
    if (!lock->recursive ||
        probe_read_whole(p->pid, lock->object + head_of(p) + 8, field, sizeof(field)) != 0 ||
        (field[1] == 0 && !late))
        return 0;
    return python_tid_of(p, field[0]);
}

int probe_python_lock_find(struct probe_python *p, uint64_t futex, uint64_t sp,
                           struct probe_python_lock *out) {
    struct python_waited *known = &p->waited[futex / 16 % PYTHON_WAITED];
    bool parks = p->layout.major == 3 && p->layout.minor >= 13;
    uint64_t now = clock_ns(), word = 0;
    *out = (struct probe_python_lock){0};
    if (futex > sp && futex - sp < NEAR) {
        out->object = parks ? parked(p, futex, &out->recursive) : 0;
        return out->object ? 0 : -ENOENT;
    }
    if (known->futex == futex && known->object &&
        probe_read_u64(p->pid, known->object + head_of(p), &word) == 0 && word == futex &&
        is_lock(p, known->object, &out->recursive)) {
        out->object = known->object;
    } else if (known->futex != futex || known->object || now - known->ns > UNKNOWN_NS) {
        out->object = search(p, futex, sp, &out->recursive);
        *known = (struct python_waited){futex, out->object, now};
    }
    return out->object ? 0 : -ENOENT;
}
