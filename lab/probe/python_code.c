/* SPDX-License-Identifier: MIT */
/* Code objects: their names and lines, kept from one sample to the next.
 *
 * A code object is known by its address as long as what it was read from stays the same: the
 * pointers to its names and to its table of lines, and of the names themselves the length, the
 * hash, and, where the interpreter has not needed a hash, the end of the text. Where a program
 * makes code objects again and again (exec), the next one often has the place of the last one, and
 * so do its names. */
#include <stdlib.h>
#include <string.h>

#include "probe/python_inside.h"
#include "text.h"

enum {
    NAME_MOST = 1024, /* characters of a name */
    TABLE_MOST = 16 << 20,
    KEY_FIELDS = 7,
};

/* ---- objects ---- */

unsigned char *python_bytes(struct probe_python *p, uint64_t address, size_t most, size_t *size) {
    uint64_t length;
    if (probe_read_u64(p->pid, address + (uint64_t)p->layout.var_size, &length) != 0 ||
        length > most)
        return NULL;
    unsigned char *bytes = lab_alloc(1, length + 1);
    if (length && probe_read_whole(p->pid, address + (uint64_t)p->layout.bytes_data, bytes,
                                   length) != 0) {
        free(bytes);
        return NULL;
    }
    *size = length;
    return bytes;
}

static void add_utf8(struct lab_text *t, uint32_t c) {
    char out[4];
    int n = 0;
    if (c < 0x80) {
        out[n++] = (char)c;
    } else if (c < 0x800) {
        out[n++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        out[n++] = (char)(0xe0 | c >> 12);
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | (c >> 18 & 7));
        out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        out[n++] = (char)(0x80 | (c & 0x3f));
    lab_text_add(t, out, (size_t)n);
}

/* What a text's state says: the bytes of a character, whether it is ASCII. The kind lies after two
 * bits, after a byte, or after two, by version and build; the bits before it say only how the text
 * is shared, and a state of one form is none in the others. False: neither. */
static bool text_kind(uint32_t state, unsigned *kind, bool *ascii) {
    static const unsigned char shifts[] = {2, 8, 16};
    for (size_t i = 0; i < sizeof(shifts); i++) {
        uint32_t bits = state >> shifts[i];
        *kind = bits & 7;
        *ascii = (bits >> 4 & 1) != 0;
        bool compact = (bits >> 3 & 1) != 0;
        if (compact && (*kind == 1 || *kind == 2 || *kind == 4) && !(*ascii && *kind != 1))
            return true;
    }
    return false;
}

/* Where a text's characters are. */
struct text {
    uint64_t data, length; /* in characters */
    unsigned kind;         /* bytes of one */
    bool ascii;
};

static bool find_text(struct probe_python *p, uint64_t address, struct text *out) {
    const struct python_layout *l = &p->layout;
    uint32_t state = 0;
    if (l->text_state < 0) { /* 2.7: bytes */
        *out = (struct text){.data = address + (uint64_t)l->bytes_data, .kind = 1, .ascii = true};
        return probe_read_u64(p->pid, address + (uint64_t)l->var_size, &out->length) == 0;
    }
    const struct probe_piece pieces[] = {
        {address + (uint64_t)l->text_length, &out->length, 8},
        {address + (uint64_t)l->text_state, &state, 4},
    };
    if (probe_read_pieces(p->pid, pieces, 2) != 2 || !text_kind(state, &out->kind, &out->ascii))
        return false;
    out->data = address + (uint64_t)(out->ascii ? l->text_ascii : l->text_compact);
    return true;
}

char *python_text(struct probe_python *p, uint64_t address, size_t most) {
    struct text x;
    if (!find_text(p, address, &x))
        return NULL;
    size_t length = x.length > most ? most : x.length;
    unsigned kind = x.kind;
    unsigned char *bytes = lab_alloc(length + 1, kind);
    if (length && probe_read_whole(p->pid, x.data, bytes, length * kind) != 0) {
        free(bytes);
        return NULL;
    }
    if (x.ascii)
        return (char *)bytes;
    struct lab_text t = {0};
    lab_text_add(&t, "", 0);
    for (size_t i = 0; i < length; i++) {
        uint32_t c = 0;
        memcpy(&c, bytes + i * kind, kind); /* as on this machine, whose bytes begin with the low */
        add_utf8(&t, c);
    }
    free(bytes);
    return t.data;
}

/* ---- code objects ---- */

size_t python_code_head(const struct probe_python *p) {
    const struct python_layout *l = &p->layout;
    if (l->code_adaptive >= 0)
        return (size_t)l->code_adaptive;
    int last = l->code_lines > l->code_name ? l->code_lines : l->code_name;
    return (size_t)(last > l->code_first_line ? last : l->code_first_line) + 8;
}

/* What tells one code object from another. The type is checked besides. */
static size_t key_of(const struct probe_python *p, const unsigned char *head, unsigned char *key) {
    const struct python_layout *l = &p->layout;
    const int fields[KEY_FIELDS] = {l->code_name,  l->code_file,  l->code_lines,
                                    l->code_bytes, l->code_qualname, l->code_adaptive >= 0
                                                                        ? l->var_size : -1, -1};
    size_t n = 0;
    for (int i = 0; i < KEY_FIELDS; i++) {
        if (fields[i] >= 0) {
            memcpy(key + n, head + fields[i], 8);
            n += 8;
        }
    }
    memcpy(key + n, head + l->code_first_line, 4);
    return n + 4;
}

static void free_code(struct python_code *c) {
    free(c->key);
    free(c->function);
    free(c->file);
    free(c->lines);
    free(c);
}

void python_codes_tidy(struct python_codes *c) {
    for (struct python_code *x = c->replaced, *next; x; x = next) {
        next = x->next;
        free_code(x);
    }
    c->replaced = NULL;
    if (c->count > (size_t)PYTHON_CODES)
        python_codes_free(c);
}

void python_codes_free(struct python_codes *c) {
    while (c->replaced)
        python_codes_tidy(c);
    for (size_t i = 0; i < c->capacity; i++) {
        if (c->slots[i])
            free_code(c->slots[i]);
    }
    free(c->slots);
    c->slots = NULL;
    c->capacity = c->count = 0;
}

static size_t slot_of(const struct python_codes *c, uint64_t address) {
    uint64_t hash = (address >> 4) * 0x9e3779b97f4a7c15u;
    size_t at = (hash >> 32) & (c->capacity - 1);
    while (c->slots[at] && c->slots[at]->address != address)
        at = (at + 1) & (c->capacity - 1);
    return at;
}

static void grow(struct python_codes *c) {
    struct python_codes bigger = {.capacity = c->capacity ? c->capacity * 2 : 256,
                                  .count = c->count, .read = c->read, .replaced = c->replaced};
    bigger.slots = lab_alloc(bigger.capacity, sizeof(*bigger.slots));
    for (size_t i = 0; i < c->capacity; i++) {
        if (c->slots[i])
            bigger.slots[slot_of(&bigger, c->slots[i]->address)] = c->slots[i];
    }
    free(c->slots);
    *c = bigger;
}

static bool is_code(struct probe_python *p, const unsigned char *head) {
    const struct python_layout *l = &p->layout;
    uint64_t type = python_u64(head, l->object_type);
    if (p->code_type)
        return type == p->code_type;
    /* Without the symbol: the one whose type calls itself so is it, from then on. */
    uint64_t name;
    char text[8] = "";
    if (probe_read_u64(p->pid, type + (uint64_t)l->type_name, &name) != 0 ||
        probe_read_string(p->pid, name, text, sizeof(text)) != 0 || strcmp(text, "code") != 0)
        return false;
    p->code_type = type;
    return true;
}

/* Where the instructions are, and how many. */
static bool find_bytes(struct probe_python *p, struct python_code *c, const unsigned char *head) {
    const struct python_layout *l = &p->layout;
    uint64_t size;
    if (l->code_adaptive >= 0) {
        c->bytes = c->address + (uint64_t)l->code_adaptive;
        size = python_u64(head, l->var_size) * 2;
    } else {
        uint64_t object = python_u64(head, l->code_bytes);
        c->bytes = object + (uint64_t)l->bytes_data;
        if (probe_read_u64(p->pid, object + (uint64_t)l->var_size, &size) != 0)
            return false;
    }
    c->size = (uint32_t)size;
    return size > 0 && size <= TABLE_MOST;
}

/* What of a text is looked at again each time: its length and hash, and its end if that says
 * nothing (-1). */
static bool guard_text(struct probe_python *p, struct python_code *c, uint64_t address) {
    const struct python_layout *l = &p->layout;
    struct text x;
    struct python_guard *g = &c->guard[c->guards++];
    g->address = address + (uint64_t)(l->text_length >= 0 ? l->text_length : l->var_size);
    g->size = 16;
    if (probe_read_whole(p->pid, g->address, g->bytes, g->size) != 0)
        return false;
    if (python_u64(g->bytes, 8) != UINT64_MAX)
        return true;
    if (!find_text(p, address, &x) || x.length > UINT32_MAX)
        return false;
    uint64_t size = x.length * x.kind;
    struct python_guard *end = &c->guard[c->guards++];
    end->size = size < sizeof(end->bytes) ? (uint32_t)size : (uint32_t)sizeof(end->bytes);
    end->address = x.data + size - end->size;
    return probe_read_whole(p->pid, end->address, end->bytes, end->size) == 0;
}

/* Whether all is as it was when the reading began. */
static bool unchanged(struct probe_python *p, const struct python_code *c,
                      const unsigned char *head) {
    unsigned char now[PYTHON_GUARDS][sizeof(c->guard[0].bytes)], key[2][KEY_FIELDS * 8];
    unsigned char *again = lab_alloc(1, python_code_head(p));
    struct probe_piece pieces[1 + PYTHON_GUARDS] = {{c->address, again, python_code_head(p)}};
    for (int i = 0; i < c->guards; i++)
        pieces[1 + i] = (struct probe_piece){c->guard[i].address, now[i], c->guard[i].size};
    bool same = probe_read_pieces(p->pid, pieces, 1 + c->guards) == 1 + c->guards;
    for (int i = 0; same && i < c->guards; i++)
        same = memcmp(now[i], c->guard[i].bytes, c->guard[i].size) == 0;
    size_t size = key_of(p, head, key[0]);
    key_of(p, again, key[1]);
    same = same && memcmp(key[0], key[1], size) == 0;
    free(again);
    return same;
}

static bool load(struct probe_python *p, struct python_code *c, const unsigned char *head) {
    const struct python_layout *l = &p->layout;
    uint64_t called = python_u64(head, l->code_qualname >= 0 ? l->code_qualname : l->code_name);
    uint64_t file = python_u64(head, l->code_file);
    if (!find_bytes(p, c, head) || !guard_text(p, c, called) || !guard_text(p, c, file))
        return false;
    c->first_line = python_i32(head, l->code_first_line);
    c->function = python_text(p, called, NAME_MOST);
    c->file = python_text(p, file, NAME_MOST * 4);
    size_t size;
    unsigned char *table = python_bytes(p, python_u64(head, l->code_lines), TABLE_MOST, &size);
    if (table)
        python_lines_read(l, table, size, c);
    free(table);
    return c->function && c->file && table && unchanged(p, c, head);
}

const struct python_code *python_code_find(struct probe_python *p, uint64_t address,
                                           const unsigned char *head, bool same, uint64_t now_ns) {
    struct python_codes *all = &p->codes;
    unsigned char key[KEY_FIELDS * 8];
    if (!is_code(p, head))
        return NULL;
    size_t key_size = key_of(p, head, key);
    if (all->count * 2 >= all->capacity)
        grow(all);
    size_t at = slot_of(all, address);
    struct python_code *known = all->slots[at];
    if (known && same && memcmp(known->key, key, key_size) == 0) {
        known->seen_ns = now_ns;
        return known;
    }
    struct python_code *c = lab_alloc(1, sizeof(*c));
    c->address = address;
    c->seen_ns = now_ns;
    if (!load(p, c, head)) {
        free_code(c);
        return NULL;
    }
    c->key = lab_alloc(1, key_size);
    memcpy(c->key, key, key_size);
    c->number = ++all->read;
    if (known) {
        known->next = all->replaced;
        all->replaced = known;
    } else {
        all->count++;
    }
    all->slots[at] = c;
    return c;
}

const struct python_code *python_code_known(const struct probe_python *p, uint64_t address) {
    const struct python_codes *all = &p->codes;
    return all->capacity ? all->slots[slot_of(all, address)] : NULL;
}

/* ---- lines ---- */

static void add_line(struct python_code *c, uint32_t from, int32_t line) {
    if (c->line_count && c->lines[c->line_count - 1].line == line)
        return;
    c->lines = lab_grow_one(c->lines, c->line_count, sizeof(*c->lines));
    c->lines[c->line_count++] = (struct python_line){from, line};
}

/* Up to 3.9: steps of the address, each with a step of the line; of 3.6 and later signed. */
static void read_steps(const unsigned char *table, size_t size, bool is_signed,
                       struct python_code *c) {
    uint32_t at = 0;
    int32_t line = c->first_line;
    add_line(c, 0, line);
    for (size_t i = 0; i + 1 < size; i += 2) {
        at += table[i];
        line += is_signed ? (int32_t)(signed char)table[i + 1] : (int32_t)table[i + 1];
        /* A long step is several entries; the last of those at one address counts. */
        if (c->line_count && c->lines[c->line_count - 1].from == at)
            c->line_count--;
        add_line(c, at, line);
    }
}

/* 3.10: how many bytes a range has, and its line's difference to the last one; -128: no line. */
static void read_ranges(const unsigned char *table, size_t size, struct python_code *c) {
    uint32_t at = 0;
    int32_t line = c->first_line;
    for (size_t i = 0; i + 1 < size; i += 2) {
        signed char step = (signed char)table[i + 1];
        if (step != -128)
            line += step;
        if (table[i]) /* a range without bytes only steps on */
            add_line(c, at, step == -128 ? 0 : line);
        at += table[i];
    }
}

/* 3.11 and later: entries that begin with a byte whose highest bit is set. */
static uint32_t read_varint(const unsigned char *table, size_t size, size_t *i) {
    uint32_t value = 0;
    for (unsigned shift = 0; *i < size && shift < 32; shift += 6) {
        unsigned char byte = table[(*i)++];
        value |= (uint32_t)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

static void read_locations(const unsigned char *table, size_t size, struct python_code *c) {
    uint32_t at = 0;
    int32_t line = c->first_line;
    for (size_t i = 0; i < size;) {
        unsigned kind = table[i] >> 3 & 15;
        uint32_t length = (table[i] & 7u) + 1;
        i++;
        if (kind == 13 || kind == 14) {
            uint32_t step = read_varint(table, size, &i);
            line += step & 1 ? -(int32_t)(step >> 1) : (int32_t)(step >> 1);
        } else if (kind >= 10 && kind <= 12) {
            line += (int32_t)kind - 10;
        }
        add_line(c, at, kind == 15 ? 0 : line);
        at += length * 2;
        while (i < size && !(table[i] & 0x80))
            i++;
    }
}

void python_lines_read(const struct python_layout *l, const unsigned char *table, size_t size,
                       struct python_code *c) {
    if (l->code_adaptive >= 0)
        read_locations(table, size, c);
    else if (l->minor == 10)
        read_ranges(table, size, c);
    else
        read_steps(table, size, l->major == 3, c);
}

int python_line_at(const struct python_code *c, int op) {
    size_t low = 0, high = c->line_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->lines[middle].from <= (uint32_t)op)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? c->lines[low - 1].line : c->first_line;
}
