/* SPDX-License-Identifier: MIT */
/* Walking a thread's Python frames while it runs.
 *
 * Up to 3.10 each frame is an object of its own, read one by one. From 3.11 on frames lie one
 * above the other in blocks, so a whole window of them below the innermost one is read at once,
 * which is quick, and nearly a picture of one moment. What a frame points to is believed only if
 * it is a code object, and the instruction inside its code. */
#include <string.h>
#include <time.h>

#include "probe/python_inside.h"
#include "text.h"

enum {
    PAGE = 4096,
    FRAME_MOST = 1024, /* bytes of one */
    WINDOW = PAGE + FRAME_MOST,
    HEAD_MOST = 1024,  /* bytes of a code object before its code */
    STEPS_MOST = 2 * PYTHON_FRAMES,
    OWNED_BY_C = 3, /* frames of owners from here on are the interpreter's own, and run no code */
    AT_ONCE = 12,   /* code objects that are read by one call */
    INNERMOST = 2,
    TRIES = 4,
    TRUST_NS = 50000000,
    TAGS = 7,       /* bits that 3.14 and later put into a pointer */
};

struct frame {
    uint64_t address, code, at;
    int copy;
};

struct window {
    unsigned char *bytes; /* of [begin, end) */
    uint64_t begin, end;
};

/* A window ends with the frame that was asked for and begins with its page, which is there; the
 * page below may not be. */
static const unsigned char *frame_bytes(struct probe_python *p, struct window *w,
                                        uint64_t address) {
    uint64_t size = (uint64_t)p->layout.frame_size;
    if (address >= w->begin && address + size <= w->end)
        return w->bytes + (address - w->begin);
    w->end = address + size;
    w->begin = p->layout.frame_owner >= 0 ? address & ~(uint64_t)(PAGE - 1) : address;
    if (probe_read_whole(p->pid, w->begin, w->bytes, w->end - w->begin) == 0)
        return w->bytes + (address - w->begin);
    w->begin = w->end = 0;
    return NULL;
}

/* The innermost frame; 0: none. */
static int first_frame(struct probe_python *p, const struct probe_python_thread *t,
                       uint64_t *frame) {
    const struct python_layout *l = &p->layout;
    uint64_t raw = 0;
    int at = l->thread_frame >= 0 ? l->thread_frame : l->thread_cframe;
    const struct probe_piece pieces[] = {
        {t->state + (uint64_t)python_raw_offset(p), &raw, 8},
        {t->state + (uint64_t)at, frame, 8},
    };
    if (probe_read_pieces(p->pid, pieces, 2) != 2)
        return -1;
    /* In place of the state there may be another thread's by now. */
    if (l->thread_native_id >= 0 && python_tid(p, raw) != t->tid)
        return -1;
    if (l->thread_frame < 0 && *frame)
        return probe_read_u64(p->pid, *frame + (uint64_t)l->cframe_frame, frame);
    return 0;
}

/* The frames from the innermost on; -1: it makes no sense. */
static int read_frames(struct probe_python *p, uint64_t address, struct frame *out, int most,
                       bool *deeper) {
    const struct python_layout *l = &p->layout;
    struct window w = {.bytes = p->window};
    int count = 0;
    *deeper = false;
    for (int step = 0; address; step++) {
        if ((address & 7) || l->frame_size > FRAME_MOST)
            return -1;
        if (count == most || step == STEPS_MOST) {
            *deeper = true;
            break;
        }
        const unsigned char *bytes = frame_bytes(p, &w, address);
        if (!bytes)
            return -1;
        bool plain = l->frame_owner < 0 || bytes[l->frame_owner] < OWNED_BY_C;
        if (plain) {
            struct frame *f = &out[count++];
            f->address = address;
            f->code = python_u64(bytes, l->frame_code) & ~(uint64_t)TAGS;
            f->at = l->code_adaptive >= 0 ? python_u64(bytes, l->frame_at)
                                          : (uint64_t)(int64_t)python_i32(bytes, l->frame_at);
            f->copy = l->frame_bytecode >= 0 ? python_i32(bytes, l->frame_bytecode) : 0;
        }
        uint64_t previous = python_u64(bytes, l->frame_previous);
        if (previous == address)
            return -1;
        address = previous;
    }
    return count;
}

/* Free-threaded builds from 3.14 on have copies for threads. */
uint64_t python_code_begin(struct probe_python *p, const struct python_code *c, int copy) {
    uint64_t array, begin;
    if (copy <= 0 || p->layout.code_copies < 0)
        return c->bytes;
    if (probe_read_u64(p->pid, c->address + (uint64_t)p->layout.code_copies, &array) != 0 ||
        probe_read_u64(p->pid, array + 8 + (uint64_t)copy * 8, &begin) != 0)
        return 0;
    return begin;
}

/* The instruction's offset; -1: it is not in the code. */
static int instruction(struct probe_python *p, const struct python_code *c, const struct frame *f) {
    int64_t op;
    if (p->layout.code_adaptive >= 0) {
        op = (int64_t)(f->at - python_code_begin(p, c, f->copy));
        if (op == -2) /* about to begin */
            op = 0;
    } else {
        op = (int64_t)f->at;
        if (op == -1)
            op = 0;
        if (p->layout.minor == 10)
            op *= 2;
    }
    return op >= 0 && op < (int64_t)c->size ? (int)op : -1;
}

/* Fills in what the frames in which[] run: their code objects' heads, and what is looked at again
 * of those that are known, are read by one call. */
static int find_some(struct probe_python *p, const struct frame *frames, const int *which,
                     int count, uint64_t now_ns, struct python_place *out) {
    unsigned char heads[AT_ONCE][HEAD_MOST];
    unsigned char now[AT_ONCE][PYTHON_GUARDS][sizeof(((struct python_guard *)0)->bytes)];
    struct probe_piece pieces[AT_ONCE * (1 + PYTHON_GUARDS)];
    size_t size = python_code_head(p);
    int n = 0;
    if (size > HEAD_MOST)
        return -1;
    for (int i = 0; i < count; i++)
        pieces[n++] = (struct probe_piece){frames[which[i]].code, heads[i], size};
    for (int i = 0; i < count; i++) {
        const struct python_code *known = python_code_known(p, frames[which[i]].code);
        for (int k = 0; known && k < known->guards; k++)
            pieces[n++] =
                (struct probe_piece){known->guard[k].address, now[i][k], known->guard[k].size};
    }
    /* A name that is gone cannot be read: then its code object is, too. */
    int got = n ? probe_read_pieces(p->pid, pieces, n) : 0;
    if (got < count)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct python_code *known = python_code_known(p, frames[which[i]].code);
        bool same = got == n;
        for (int k = 0; known && same && k < known->guards; k++)
            same = memcmp(now[i][k], known->guard[k].bytes, known->guard[k].size) == 0;
        out[which[i]].code = python_code_find(p, frames[which[i]].code, heads[i], same, now_ns);
        if (!out[which[i]].code)
            return -1;
    }
    return 0;
}

/* What the frames run. The code objects of the innermost ones are looked at anew each time, those
 * of the others, which stay for longer, only now and then. */
static int find_places(struct probe_python *p, const struct frame *frames, int count,
                       struct python_place *out) {
    int which[AT_ONCE], n = 0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    for (int i = 0; i < count; i++) {
        const struct python_code *known = python_code_known(p, frames[i].code);
        bool trusted = i >= INNERMOST && known && now_ns - known->seen_ns < TRUST_NS;
        out[i] = (struct python_place){trusted ? known : NULL, 0, frames[i].copy,
                                       frames[i].address};
        if (trusted)
            continue;
        which[n++] = i;
        if (n == AT_ONCE && find_some(p, frames, which, n, now_ns, out) != 0)
            return -1;
        n = n == AT_ONCE ? 0 : n;
    }
    if (find_some(p, frames, which, n, now_ns, out) != 0)
        return -1;
    for (int i = 0; i < count; i++) {
        out[i].op = instruction(p, out[i].code, &frames[i]);
        if (out[i].op < 0)
            return -1;
    }
    return count;
}

static int walk_once(struct probe_python *p, const struct probe_python_thread *t,
                     struct python_place *out, int most, bool *deeper) {
    struct frame frames[PYTHON_FRAMES];
    uint64_t first = 0;
    python_codes_tidy(&p->codes);
    int count = first_frame(p, t, &first);
    if (count == 0 && first)
        count = read_frames(p, first, frames, most, deeper);
    return count > 0 ? find_places(p, frames, count, out) : count;
}

/* Between the reading of the frames and that of a code object which is not known yet, another one
 * may have come into its place. So where one was new, all is read again: then each is known, and is
 * what it was. */
int python_walk(struct probe_python *p, const struct probe_python_thread *t,
                struct python_place *out, int most, bool *deeper, bool *torn) {
    int count = 0;
    *deeper = false;
    if (!p->window)
        p->window = lab_alloc(1, WINDOW);
    for (int i = 0; i < TRIES; i++) {
        uint32_t before = p->codes.read;
        count = walk_once(p, t, out, most, deeper);
        if (p->codes.read == before)
            break;
        if (i == TRIES - 1)
            count = -1;
    }
    *torn = count < 0;
    return count < 0 ? 0 : count;
}

uint32_t probe_python_stack(struct probe_python *p, const struct probe_python_thread *t,
                            struct probe_stacks *stacks, bool *torn) {
    struct python_place places[PYTHON_FRAMES];
    bool deeper;
    int count = python_walk(p, t, places, PYTHON_FRAMES, &deeper, torn);
    uint32_t node = 0;
    if (deeper)
        node = probe_stacks_push(stacks, 0,
                                 &(struct probe_frame){.function = "[deeper frames]", .op = -1});
    for (int i = count - 1; i >= 0; i--) {
        const struct python_code *c = places[i].code;
        node = probe_stacks_push(stacks, node,
                                 &(struct probe_frame){.function = c->function, .file = c->file,
                                                       .line = python_line_at(c, places[i].op),
                                                       .op = places[i].op});
    }
    return node;
}
