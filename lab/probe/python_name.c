/* SPDX-License-Identifier: MIT */
/* What the program calls a thread: the `_name` of the threading.Thread that its outermost frame has
 * as `self`.
 *
 * An object's attributes are in a dict of its own, or (3.11 and later) in an array beside the
 * object, in the order of keys that its type has. The layouts of both are not in python_layout.h
 * but here, by version: none has changed within one. A wrong one would find no such key. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/python_inside.h"
#include "text.h"

enum {
    /* PyTypeObject, of builds with a GIL, as all that comes after an object's head. */
    HEAD = 24, /* of a type: its name comes next */
    TYPE_SIZE = 32,
    TYPE_FLAGS = 168,
    TYPE_DICT = 288,
    DICT_KEYS = 32,
    DICT_VALUES = 40,
    DICT2_MASK = 32,
    DICT2_TABLE = 40,

    HAS_INLINE = 1 << 2,
    HAS_MANAGED = 1 << 4,
    VALID = 3,  /* byte of inline values */
    TAGS = 7,   /* bits that 3.14 and later put into a pointer */

    ENTRIES_MOST = 512,
    NAME_MOST = 100,
};

/* A table of keys: its entries, and where in one the key is. The value comes next. */
struct entries {
    uint64_t at, count;
    unsigned step, key;
};

static int shift(const struct probe_python *p) {
    return p->layout.type_name - HEAD;
}

static int read_at(const struct probe_python *p, uint64_t address, int offset, uint64_t *out) {
    return probe_read_u64(p->pid, address + (uint64_t)(int64_t)offset, out) == 0 ? 0 : -EAGAIN;
}

/* Up to 3.10 (not 2.7): counts of 64 bits, then indices of as many bytes as they need. */
static bool old_entries(const struct probe_python *p, uint64_t keys, struct entries *e) {
    unsigned char head[40];
    if (probe_read_whole(p->pid, keys, head, sizeof(head)) != 0)
        return false;
    uint64_t slots = python_u64(head, 8);
    uint64_t each = slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4;
    *e = (struct entries){keys + sizeof(head) + slots * each, python_u64(head, 32), 24, 8};
    return slots <= 1 << 20;
}

/* From 3.11 on: bytes that say how many indices there are, and whether all keys are texts, whose
 * hashes are not kept then. */
static bool new_entries(const struct probe_python *p, uint64_t keys, struct entries *e) {
    unsigned char head[32];
    if (probe_read_whole(p->pid, keys, head, sizeof(head)) != 0)
        return false;
    bool texts = head[10] != 0;
    if (head[9] > 20 || head[10] > 2)
        return false;
    *e = (struct entries){keys + sizeof(head) + (1u << head[9]), python_u64(head, 24),
                          texts ? 16 : 24, texts ? 0 : 8};
    return true;
}

static bool is_text(struct probe_python *p, uint64_t address, const char *want) {
    char type[8];
    if (!address || probe_python_type(p, address, type, sizeof(type)) != 0 ||
        strcmp(type, "str") != 0)
        return false;
    char *text = python_text(p, address, NAME_MOST);
    bool same = text && strcmp(text, want) == 0;
    free(text);
    return same;
}

/* Which entry has the key; -1: none. Such a key is one object in the whole process, so it is
 * compared by its letters only until it is known. */
static int find_key(struct probe_python *p, const struct entries *e, const unsigned char *bytes) {
    const char *want = p->layout.major == 2 ? "_Thread__name" : "_name";
    for (uint64_t i = 0; p->name_key && i < e->count; i++) {
        if (python_u64(bytes, (int)(i * e->step + e->key)) == p->name_key)
            return (int)i;
    }
    for (uint64_t i = 0; i < e->count; i++) {
        uint64_t key = python_u64(bytes, (int)(i * e->step + e->key));
        if (is_text(p, key, want)) {
            p->name_key = key;
            return (int)i;
        }
    }
    return -1;
}

/* Where the name's value is, in an array of values if there is one. */
static int find_value(struct probe_python *p, const struct entries *e, uint64_t values,
                      uint64_t *where) {
    if (e->count == 0 || e->count > ENTRIES_MOST)
        return -EAGAIN;
    unsigned char *bytes = lab_alloc(e->count, e->step);
    int at = -1;
    if (probe_read_whole(p->pid, e->at, bytes, e->count * e->step) == 0)
        at = find_key(p, e, bytes);
    free(bytes);
    if (at < 0)
        return -EAGAIN;
    bool counted = p->layout.major == 3 && p->layout.minor >= 13; /* its sizes come first */
    *where = values ? values + (counted ? 8 : 0) + (uint64_t)at * 8
                    : e->at + (uint64_t)at * e->step + e->key + 8;
    return 0;
}

static int in_keys(struct probe_python *p, uint64_t keys, uint64_t values, uint64_t *where) {
    struct entries e;
    bool ok = p->layout.minor >= 11 ? new_entries(p, keys, &e) : old_entries(p, keys, &e);
    return ok ? find_value(p, &e, values, where) : -EAGAIN;
}

static int in_dict(struct probe_python *p, uint64_t dict, uint64_t *where) {
    uint64_t keys, values;
    if (!dict)
        return -EAGAIN;
    if (p->layout.major == 2) {
        struct entries e = {.step = 24, .key = 8};
        if (read_at(p, dict, DICT2_MASK, &e.count) || read_at(p, dict, DICT2_TABLE, &e.at))
            return -EAGAIN;
        e.count++;
        return find_value(p, &e, 0, where);
    }
    if (read_at(p, dict, DICT_KEYS + shift(p), &keys) ||
        read_at(p, dict, DICT_VALUES + shift(p), &values))
        return -EAGAIN;
    return in_keys(p, keys, values, where);
}

/* 3.11 and later: what lies before the object, or after it. */
static int in_managed(struct probe_python *p, uint64_t object, uint64_t type, bool has_inline,
                      uint64_t *where) {
    uint64_t keys, values = 0, dict = 0, size;
    int minor = p->layout.minor, before = p->layout.free_threaded ? -8 : -24;
    if (read_at(p, type, p->layout.type_keys, &keys))
        return -EAGAIN;
    if (minor == 11 && read_at(p, object, -32, &values))
        return -EAGAIN;
    if (!values && read_at(p, object, before, &dict))
        return -EAGAIN;
    if (minor == 12 && (dict & 1))
        values = dict + 1;
    if (minor >= 13 && !dict && has_inline) {
        unsigned char head[8];
        if (read_at(p, type, TYPE_SIZE + shift(p), &size) || size > 1 << 16 ||
            probe_read_whole(p->pid, object + size, head, sizeof(head)) != 0 || !head[VALID])
            return -EAGAIN;
        values = object + size;
    }
    return values ? in_keys(p, keys, values, where) : in_dict(p, dict, where);
}

static int find_name(struct probe_python *p, uint64_t object, uint64_t *where) {
    uint64_t type, flags, at, dict;
    if (read_at(p, object, p->layout.object_type, &type) ||
        read_at(p, type, TYPE_FLAGS + shift(p), &flags) ||
        read_at(p, type, TYPE_DICT + shift(p), &at))
        return -EAGAIN;
    if (p->layout.major == 3 && p->layout.minor >= 11 && (flags & HAS_MANAGED))
        return in_managed(p, object, type, (flags & HAS_INLINE) != 0, where);
    if (at == 0 || at > 1 << 16 || read_at(p, object, (int)at, &dict))
        return -EAGAIN;
    return in_dict(p, dict, where);
}

static bool begins_threads(const struct python_code *c) {
    const char *file = strrchr(c->file, '/'), *function = strrchr(c->function, '.');
    function = function ? function + 1 : c->function;
    return file && strcmp(file, "/threading.py") == 0 &&
           (strcmp(function, "_bootstrap") == 0 || strcmp(function, "__bootstrap") == 0);
}

/* The first argument of a frame, if it still runs that code. */
static int first_argument(struct probe_python *p, const struct python_place *place, uint64_t *out) {
    uint64_t code = 0;
    const struct probe_piece pieces[] = {
        {place->frame + (uint64_t)p->layout.frame_code, &code, 8},
        {place->frame + (uint64_t)p->layout.frame_locals, out, 8},
    };
    if (probe_read_pieces(p->pid, pieces, 2) != 2 ||
        (code & ~(uint64_t)TAGS) != place->code->address)
        return -EAGAIN;
    *out &= ~(uint64_t)TAGS;
    return *out ? 0 : -EAGAIN;
}

int probe_python_thread_name(struct probe_python *p, const struct probe_python_thread *t, char *out,
                             size_t size) {
    struct python_place places[PYTHON_FRAMES];
    bool deeper, torn;
    uint64_t self, where, value, again;
    char type[8];
    int count = python_walk(p, t, places, PYTHON_FRAMES, &deeper, &torn);
    if (count == 0 || deeper)
        return -EAGAIN;
    if (!begins_threads(places[count - 1].code))
        return -ENOENT;
    int error = first_argument(p, &places[count - 1], &self);
    if (!error)
        error = find_name(p, self, &where);
    if (error || read_at(p, where, 0, &value) || !value ||
        probe_python_type(p, value, type, sizeof(type)) != 0 || strcmp(type, "str") != 0)
        return -EAGAIN;
    char *text = python_text(p, value, NAME_MOST);
    if (!text || text[0] == '\0' || read_at(p, where, 0, &again) || again != value) {
        free(text);
        return -EAGAIN;
    }
    size_t n = strlen(text);
    if (n >= size) { /* no part of a character */
        for (n = size - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    }
    memcpy(out, text, n);
    out[n] = '\0';
    free(text);
    return 0;
}
