/* SPDX-License-Identifier: MIT */
/* Finds the row of an address: a binary search in .eh_frame_hdr, or else the whole of .eh_frame;
 * then the instructions of the common entry (CIE) and of the function's own (FDE), up to the
 * address. */
#include "probe/unwind.h"

#include <string.h>

/* A place in a section; `bad` once something did not fit. */
struct reader {
    const uint8_t *at, *end;
    const struct probe_bytes *section;
    bool bad;
};

static uint64_t get_bytes(struct reader *r, unsigned n) {
    uint64_t value = 0;
    if (r->bad || (size_t)(r->end - r->at) < n) {
        r->bad = true;
        return 0;
    }
    memcpy(&value, r->at, n);
    r->at += n;
    return value;
}

static uint64_t get_uleb(struct reader *r) {
    uint64_t value = 0;
    for (unsigned shift = 0; !r->bad; shift += 7) {
        uint64_t byte = get_bytes(r, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

static int64_t get_sleb(struct reader *r) {
    uint64_t value = 0, byte = 0;
    unsigned shift = 0;
    do {
        byte = get_bytes(r, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        shift += 7;
    } while (!r->bad && (byte & 0x80));
    if (shift < 64 && (byte & 0x40))
        value |= ~UINT64_C(0) << shift;
    return (int64_t)value;
}

static uint64_t address_of(const struct reader *r) {
    return r->section->address + (uint64_t)(r->at - r->section->data);
}

enum { OMITTED = 0xff };

/* A pointer in one of the encodings of the Linux Standard Base. */
static uint64_t get_pointer(struct reader *r, uint8_t encoding) {
    uint64_t base = 0, value;
    switch (encoding & 0x70) {
    case 0x10: base = address_of(r); break;        /* relative to itself */
    case 0x30: base = r->section->address; break;  /* to the section */
    case 0x00: break;
    default: r->bad = true;
    }
    switch (encoding & 0x0f) {
    case 0x00: case 0x04: case 0x0c: value = get_bytes(r, 8); break;
    case 0x01: value = get_uleb(r); break;
    case 0x02: value = get_bytes(r, 2); break;
    case 0x03: value = get_bytes(r, 4); break;
    case 0x09: value = (uint64_t)get_sleb(r); break;
    case 0x0a: value = (uint64_t)(int16_t)get_bytes(r, 2); break;
    case 0x0b: value = (uint64_t)(int32_t)get_bytes(r, 4); break;
    default: value = 0, r->bad = true;
    }
    return base + value;
}

struct entry { /* of .eh_frame: the common one's part and the function's */
    uint64_t code_align, begin, end;
    int64_t data_align;
    unsigned return_register;
    uint8_t encoding;
    bool augmented, signal;
    struct reader first, own; /* instructions */
};

static struct reader reader_at(const struct probe_bytes *b, uint64_t offset) {
    struct reader r = {.section = b, .end = b->data + b->size};
    r.bad = offset > b->size;
    r.at = b->data + (r.bad ? 0 : offset);
    return r;
}

/* Enters an entry: r is cut to it. False at the section's end. *id_at: where its second word is. */
static bool enter(struct reader *r, uint64_t *id, uint64_t *id_at) {
    uint64_t length = get_bytes(r, 4);
    bool wide = length == 0xffffffff;
    if (wide)
        length = get_bytes(r, 8);
    if (r->bad || length == 0 || length > (uint64_t)(r->end - r->at))
        return false;
    r->end = r->at + length;
    *id_at = (uint64_t)(r->at - r->section->data);
    *id = get_bytes(r, wide ? 8 : 4);
    return !r->bad;
}

static bool read_common(const struct probe_bytes *b, uint64_t offset, struct entry *e) {
    struct reader r = reader_at(b, offset);
    uint64_t id, id_at;
    if (r.bad || !enter(&r, &id, &id_at) || id != 0)
        return false;
    uint64_t version = get_bytes(&r, 1);
    const char *letters = (const char *)r.at;
    while (get_bytes(&r, 1))
        ;
    if (r.bad || (version != 1 && version != 3))
        return false;
    e->code_align = get_uleb(&r);
    e->data_align = get_sleb(&r);
    e->return_register = (unsigned)(version == 1 ? get_bytes(&r, 1) : get_uleb(&r));
    e->encoding = 0;
    e->signal = false;
    e->augmented = *letters == 'z';
    if (e->augmented) {
        uint64_t length = get_uleb(&r);
        if (r.bad || length > (uint64_t)(r.end - r.at))
            return false;
        const uint8_t *behind = r.at + length;
        for (letters++; *letters; letters++) {
            if (*letters == 'R') {
                e->encoding = (uint8_t)get_bytes(&r, 1);
            } else if (*letters == 'P') {
                (void)get_pointer(&r, (uint8_t)get_bytes(&r, 1) & 0x7f);
            } else if (*letters == 'L') {
                (void)get_bytes(&r, 1);
            } else if (*letters == 'S') {
                e->signal = true;
            }
        }
        r.at = behind;
    } else if (*letters) {
        return false;
    }
    e->first = r;
    return !r.bad && e->return_register < PROBE_REGISTERS;
}

/* Reads the entry of a function at an offset. *next: the offset behind it, 0 at the end. */
static bool read_entry(const struct probe_bytes *b, uint64_t offset, struct entry *e,
                       uint64_t *next) {
    struct reader r = reader_at(b, offset);
    uint64_t id, id_at;
    *next = 0;
    if (r.bad || !enter(&r, &id, &id_at))
        return false;
    *next = (uint64_t)(r.end - b->data);
    if (id == 0 || id > id_at || !read_common(b, id_at - id, e))
        return false;
    e->begin = get_pointer(&r, e->encoding);
    e->end = e->begin + get_pointer(&r, e->encoding & 0x0f);
    if (e->augmented) {
        uint64_t length = get_uleb(&r);
        if (r.bad || length > (uint64_t)(r.end - r.at))
            return false;
        r.at += length;
    }
    e->own = r;
    return !r.bad;
}

/* The index: pairs of a function's address and its entry's, sorted. */
static bool search_index(const struct probe_image *i, uint64_t address, struct entry *e) {
    enum { HEAD = 12, PAIR = 8, SORTED = 0x3b, COUNT = 0x03 };
    const struct probe_bytes *b = &i->frame_index;
    int32_t pair[2];
    uint32_t count;
    uint64_t next;
    if (b->size < HEAD || b->data[0] != 1 || b->data[1] != 0x1b || b->data[2] != COUNT ||
        b->data[3] != SORTED)
        return false;
    memcpy(&count, b->data + 8, 4);
    if (count > (b->size - HEAD) / PAIR)
        return false;
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        memcpy(pair, b->data + HEAD + (size_t)middle * PAIR, PAIR);
        if (b->address + (uint64_t)(int64_t)pair[0] <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0)
        return false;
    memcpy(pair, b->data + HEAD + (size_t)(low - 1) * PAIR, PAIR);
    uint64_t at = b->address + (uint64_t)(int64_t)pair[1] - i->frame.address;
    return read_entry(&i->frame, at, e, &next) && address >= e->begin && address < e->end;
}

static bool search_all(const struct probe_image *i, uint64_t address, struct entry *e) {
    uint64_t at = 0, next;
    do {
        if (read_entry(&i->frame, at, e, &next) && address >= e->begin && address < e->end)
            return true;
        at = next;
    } while (next != 0);
    return false;
}

/* ---- instructions ---- */

enum { STATES = 8 };

struct machine {
    const struct entry *entry;
    struct probe_row row, initial, state[STATES];
    unsigned states;
    uint64_t place, target;
};

static void set(struct machine *m, uint64_t reg, enum probe_rule_kind kind, int64_t value) {
    if (reg < PROBE_REGISTERS)
        m->row.rule[reg] = (struct probe_rule){.kind = (uint8_t)kind, .value = value};
}

static void set_base(struct machine *m, struct reader *r, uint64_t reg, int64_t value) {
    if (reg >= PROBE_REGISTERS)
        r->bad = true;
    m->row.base = (unsigned)reg;
    m->row.cfa = (struct probe_rule){.kind = PROBE_RULE_REGISTER, .value = value};
}

static struct probe_rule get_expression(struct reader *r, enum probe_rule_kind kind) {
    uint64_t length = get_uleb(r);
    struct probe_rule rule = {.kind = (uint8_t)kind, .expression = r->at};
    if (r->bad || length > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return rule;
    }
    rule.length = (uint32_t)length;
    r->at += length;
    return rule;
}

static void move(struct machine *m, uint64_t by) {
    m->place += by * m->entry->code_align;
}

static void run_state(struct machine *m, struct reader *r, bool remember) {
    if (remember && m->states < STATES) {
        m->state[m->states++] = m->row;
    } else if (!remember && m->states > 0) {
        m->row = m->state[--m->states];
    } else {
        r->bad = true;
    }
}

/* Those that give a register its rule. */
static bool run_rule(struct machine *m, struct reader *r, uint8_t op) {
    int64_t align = m->entry->data_align;
    uint64_t reg = get_uleb(r);
    switch (op) {
    case 0x05: set(m, reg, PROBE_RULE_AT, (int64_t)get_uleb(r) * align); return true;
    case 0x06: if (reg < PROBE_REGISTERS) m->row.rule[reg] = m->initial.rule[reg]; return true;
    case 0x07: set(m, reg, PROBE_RULE_UNDEFINED, 0); return true;
    case 0x08: set(m, reg, PROBE_RULE_SAME, 0); return true;
    case 0x09: set(m, reg, PROBE_RULE_REGISTER, (int64_t)get_uleb(r)); return true;
    case 0x11: set(m, reg, PROBE_RULE_AT, get_sleb(r) * align); return true;
    case 0x14: set(m, reg, PROBE_RULE_IS, (int64_t)get_uleb(r) * align); return true;
    case 0x15: set(m, reg, PROBE_RULE_IS, get_sleb(r) * align); return true;
    case 0x10:
    case 0x16: {
        struct probe_rule rule =
            get_expression(r, op == 0x10 ? PROBE_RULE_AT_EXPRESSION : PROBE_RULE_IS_EXPRESSION);
        if (reg < PROBE_REGISTERS)
            m->row.rule[reg] = rule;
        return true;
    }
    default: return false;
    }
}

static void run_long(struct machine *m, struct reader *r, uint8_t op) {
    int64_t align = m->entry->data_align;
    uint64_t reg;
    switch (op) {
    case 0x00: break;
    case 0x01: m->place = get_pointer(r, m->entry->encoding); break;
    case 0x02: move(m, get_bytes(r, 1)); break;
    case 0x03: move(m, get_bytes(r, 2)); break;
    case 0x04: move(m, get_bytes(r, 4)); break;
    case 0x0a: run_state(m, r, true); break;
    case 0x0b: run_state(m, r, false); break;
    case 0x0c: reg = get_uleb(r); set_base(m, r, reg, (int64_t)get_uleb(r)); break;
    case 0x0d: set_base(m, r, get_uleb(r), m->row.cfa.value); break;
    case 0x0e: m->row.cfa.value = (int64_t)get_uleb(r); break;
    case 0x0f: m->row.cfa = get_expression(r, PROBE_RULE_IS_EXPRESSION); break;
    case 0x12: reg = get_uleb(r); set_base(m, r, reg, get_sleb(r) * align); break;
    case 0x13: m->row.cfa.value = get_sleb(r) * align; break;
    case 0x2d: break; /* aarch64: return addresses are signed; register windows elsewhere */
    case 0x2e: (void)get_uleb(r); break; /* the size of the arguments */
    default:
        if (!run_rule(m, r, op))
            r->bad = true;
    }
}

/* False if there was something that is not understood. */
static bool run(struct machine *m, struct reader r) {
    while (r.at < r.end && !r.bad) {
        uint64_t before = m->place;
        struct probe_row row = m->row;
        uint8_t op = (uint8_t)get_bytes(&r, 1), low = op & 0x3f;
        switch (op >> 6) {
        case 1: move(m, low); break;
        case 2: set(m, low, PROBE_RULE_AT, (int64_t)get_uleb(&r) * m->entry->data_align); break;
        case 3: if (low < PROBE_REGISTERS) m->row.rule[low] = m->initial.rule[low]; break;
        default: run_long(m, &r, low);
        }
        if (m->place != before && m->place > m->target) {
            m->row = row;
            return true;
        }
    }
    return !r.bad;
}

bool probe_unwind_row(const struct probe_image *i, uint64_t address, struct probe_row *out) {
    struct entry e;
    if (!i->frame.data || (!search_index(i, address, &e) && !search_all(i, address, &e)))
        return false;
    struct machine m = {.entry = &e, .place = e.begin, .target = address};
    if (!run(&m, e.first))
        return false;
    m.initial = m.row;
    if (!run(&m, e.own))
        return false;
    *out = m.row;
    out->return_register = e.return_register;
    out->begin = e.begin;
    out->signal = e.signal;
    return true;
}
