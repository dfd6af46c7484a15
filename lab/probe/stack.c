/* SPDX-License-Identifier: MIT */
/* Stacks, each kept once.
 *
 * Nodes lie in blocks that never move, so that a frame's address holds as long as the tree. Both
 * nodes and strings are found by a hash; a string stands for itself by its address once it is
 * kept, so nodes compare by addresses. Node 1 is the one that stands for all that did not fit. */
#include "probe/stack.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { BLOCK_NODES = 1024, FIRST_BUCKETS = 256, LOST_NODE = 1 };

struct node {
    struct probe_frame frame;
    uint32_t outer;
    uint32_t next; /* in its bucket */
};

struct string {
    struct string *next; /* in its bucket */
    size_t length;
    char bytes[];
};

struct probe_stacks {
    struct node **blocks; /* of BLOCK_NODES; node i at [i / BLOCK_NODES][i % BLOCK_NODES] */
    size_t count, max;    /* nodes in use, 0 among them, which is none */
    uint32_t *buckets;
    size_t bucket_count; /* a power of two, as for the strings */
    struct string **strings;
    size_t string_count, string_buckets;
    uint64_t lost;
};

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_bytes(const char *bytes, size_t length) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return mix(hash, length);
}

static struct node *node_at(const struct probe_stacks *s, uint32_t node) {
    return &s->blocks[node / BLOCK_NODES][node % BLOCK_NODES];
}

static uint64_t node_hash(uint32_t outer, const struct probe_frame *f) {
    uint64_t hash = mix(outer, (uintptr_t)f->function);
    hash = mix(hash, (uintptr_t)f->file);
    return mix(hash, (uint64_t)(uint32_t)f->line << 32 | (uint32_t)f->op);
}

static void grow_strings(struct probe_stacks *s) {
    size_t count = s->string_buckets * 2;
    struct string **fresh = lab_alloc(count, sizeof(struct string *));
    for (size_t i = 0; i < s->string_buckets; i++) {
        for (struct string *x = s->strings[i], *next; x; x = next) {
            next = x->next;
            size_t at = hash_bytes(x->bytes, x->length) & (count - 1);
            x->next = fresh[at];
            fresh[at] = x;
        }
    }
    free(s->strings);
    s->strings = fresh;
    s->string_buckets = count;
}

/* The string as it is kept; NULL: it is not kept yet, and was not to be. */
static const char *find_string(struct probe_stacks *s, const char *text, bool keep) {
    size_t length = strlen(text);
    uint64_t hash = hash_bytes(text, length);
    for (struct string *x = s->strings[hash & (s->string_buckets - 1)]; x; x = x->next) {
        if (x->length == length && memcmp(x->bytes, text, length) == 0)
            return x->bytes;
    }
    if (!keep)
        return NULL;
    if (s->string_count >= s->string_buckets)
        grow_strings(s);
    struct string *x = lab_alloc(1, sizeof(*x) + length + 1);
    memcpy(x->bytes, text, length);
    x->length = length;
    size_t at = hash & (s->string_buckets - 1);
    x->next = s->strings[at];
    s->strings[at] = x;
    s->string_count++;
    return x->bytes;
}

static void grow_buckets(struct probe_stacks *s) {
    size_t count = s->bucket_count * 2;
    free(s->buckets);
    s->buckets = lab_alloc(count, sizeof(*s->buckets));
    s->bucket_count = count;
    for (uint32_t i = LOST_NODE + 1; i < s->count; i++) {
        struct node *n = node_at(s, i);
        size_t at = node_hash(n->outer, &n->frame) & (count - 1);
        n->next = s->buckets[at];
        s->buckets[at] = i;
    }
}

static struct node *add_node(struct probe_stacks *s) {
    size_t block = s->count / BLOCK_NODES;
    if (s->count % BLOCK_NODES == 0) {
        s->blocks = lab_grow(s->blocks, block + 1, sizeof(*s->blocks));
        s->blocks[block] = lab_alloc(BLOCK_NODES, sizeof(struct node));
    }
    return node_at(s, (uint32_t)s->count++);
}

struct probe_stacks *probe_stacks_new(size_t nodes_max) {
    struct probe_stacks *s = lab_alloc(1, sizeof(*s));
    size_t most = UINT32_MAX / 2;
    s->max = (nodes_max < most ? nodes_max : most) + LOST_NODE + 1;
    s->bucket_count = s->string_buckets = FIRST_BUCKETS;
    s->buckets = lab_alloc(s->bucket_count, sizeof(*s->buckets));
    s->strings = lab_alloc(s->string_buckets, sizeof(struct string *));
    add_node(s); /* number 0 means none */
    add_node(s)->frame =
        (struct probe_frame){.function = find_string(s, "[more stacks]", true), .op = -1};
    return s;
}

void probe_stacks_free(struct probe_stacks *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->string_buckets; i++) {
        for (struct string *x = s->strings[i], *next; x; x = next) {
            next = x->next;
            free(x);
        }
    }
    for (size_t i = 0; i * BLOCK_NODES < s->count; i++)
        free(s->blocks[i]);
    free(s->blocks);
    free(s->buckets);
    free(s->strings);
    free(s);
}

uint32_t probe_stacks_push(struct probe_stacks *s, uint32_t outer, const struct probe_frame *f) {
    if (outer == LOST_NODE) {
        s->lost++;
        return LOST_NODE;
    }
    /* When it is full, strings are not kept any more either: those of a node that is there are. */
    bool room = s->count < s->max;
    struct probe_frame own = {.line = f->line, .op = f->op};
    if (f->function)
        own.function = find_string(s, f->function, room);
    if (f->file)
        own.file = find_string(s, f->file, room);
    bool known = !own.function == !f->function && !own.file == !f->file;
    uint64_t hash = node_hash(outer, &own);
    for (uint32_t i = known ? s->buckets[hash & (s->bucket_count - 1)] : 0; i;
         i = node_at(s, i)->next) {
        const struct node *n = node_at(s, i);
        if (n->outer == outer && n->frame.function == own.function && n->frame.file == own.file &&
            n->frame.line == own.line && n->frame.op == own.op)
            return i;
    }
    if (!room) {
        s->lost++;
        return LOST_NODE;
    }
    if (s->count >= s->bucket_count)
        grow_buckets(s);
    uint32_t number = (uint32_t)s->count;
    struct node *n = add_node(s);
    n->frame = own;
    n->outer = outer;
    size_t at = hash & (s->bucket_count - 1);
    n->next = s->buckets[at];
    s->buckets[at] = number;
    return number;
}

const struct probe_frame *probe_stacks_frame(const struct probe_stacks *s, uint32_t node) {
    return &node_at(s, node)->frame;
}

uint32_t probe_stacks_outer(const struct probe_stacks *s, uint32_t node) {
    return node_at(s, node)->outer;
}

uint64_t probe_stacks_lost(const struct probe_stacks *s) {
    return s->lost;
}
