/* SPDX-License-Identifier: MIT */
/* Taking samples of instructions, and summing them up. */
#include "probe/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/ops_inside.h"
#include "text.h"

enum {
    CODES_MOST = 8192,
    CODE_MOST = 1 << 20, /* bytes */
    NAMES_MOST = 4096,
    NAMED_AFTER = 3, /* samples: names of code that is met once are not worth reading */
};

struct probe_ops *probe_ops_new(pid_t pid) {
    struct probe_ops *o = lab_alloc(1, sizeof(*o));
    char path[64];
    o->pid = pid;
    snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
    o->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    o->cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return o;
}

static void free_strings(char **s, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(s[i]);
    free(s);
}

static void free_code(struct ops_code *c) {
    free(c->function);
    free(c->file);
    free(c->lines);
    free(c->bytes);
    free(c->units);
    free(c->unit_at);
    free_strings(c->names, c->name_count);
    free_strings(c->locals, c->local_count);
    free(c);
}

void probe_ops_free(struct probe_ops *o) {
    if (!o)
        return;
    for (size_t i = 0; i < o->result.code_count; i++) {
        struct probe_op_code *c = &o->result.code[i];
        for (size_t k = 0; k < c->place_count; k++)
            free(c->place[k].means);
        free(c->place);
    }
    free(o->result.code);
    for (size_t i = 0; i < o->code_count; i++)
        free_code(o->codes[i]);
    for (size_t i = 0; i < o->source_count; i++) {
        free(o->sources[i].file);
        free(o->sources[i].text);
    }
    free(o->sources);
    free(o->codes);
    free(o->by_number);
    if (o->root >= 0)
        close(o->root);
    if (o->cwd >= 0)
        close(o->cwd);
    free(o);
}

void probe_ops_anew(struct probe_ops *o) {
    if (o->numbers)
        memset(o->by_number, 0, o->numbers * sizeof(*o->by_number));
}

/* ---- code objects ---- */

static struct ops_code *add_code(struct probe_ops *o, struct probe_python *p,
                                 const struct python_place *at) {
    const struct python_code *from = at->code;
    if (o->code_count >= CODES_MOST || from->size > CODE_MOST)
        return NULL;
    struct ops_code *c = lab_alloc(1, sizeof(*c));
    c->number = from->number;
    c->function = lab_copy(from->function);
    c->file = lab_copy(from->file);
    c->first_line = from->first_line;
    c->size = from->size;
    c->line_count = from->line_count;
    c->lines = lab_alloc(from->line_count + 1, sizeof(*c->lines));
    memcpy(c->lines, from->lines, from->line_count * sizeof(*c->lines));
    c->bytes = lab_alloc(1, c->size + 8);
    c->unit_at = lab_alloc(c->size, sizeof(*c->unit_at));
    if (probe_read_whole(p->pid, python_code_begin(p, from, at->copy), c->bytes, c->size) != 0) {
        free_code(c);
        return NULL;
    }
    o->codes = lab_grow_one(o->codes, o->code_count, sizeof(struct ops_code *));
    o->codes[o->code_count++] = c;
    o->by_number[c->number] = (uint32_t)o->code_count;
    return c;
}

static struct ops_code *find_code(struct probe_ops *o, struct probe_python *p,
                                  const struct python_place *at) {
    uint32_t number = at->code->number;
    if (number >= o->numbers) {
        size_t count = number * 2 + 64;
        o->by_number = lab_grow(o->by_number, count, sizeof(*o->by_number));
        memset(o->by_number + o->numbers, 0, (count - o->numbers) * sizeof(*o->by_number));
        o->numbers = count;
    }
    return o->by_number[number] ? o->codes[o->by_number[number] - 1] : add_code(o, p, at);
}

/* The texts of a tuple; those that cannot be read are NULL. */
static size_t read_texts(struct probe_python *p, uint64_t tuple, char ***out) {
    const struct python_layout *l = &p->layout;
    uint64_t count = 0;
    if (probe_read_u64(p->pid, tuple + (uint64_t)l->var_size, &count) != 0 || count > NAMES_MOST)
        return 0;
    uint64_t *items = lab_alloc(count + 1, sizeof(*items));
    *out = lab_alloc(count + 1, sizeof(char *));
    if (count &&
        probe_read_whole(p->pid, tuple + (uint64_t)l->tuple_items, items, count * 8) == 0) {
        for (uint64_t i = 0; i < count; i++)
            (*out)[i] = python_text(p, items[i], 256);
    }
    free(items);
    return count;
}

static void read_names(struct ops_code *c, struct probe_python *p, uint64_t address) {
    uint64_t tuple;
    c->named = true;
    if (p->layout.code_names >= 0 &&
        probe_read_u64(p->pid, address + (uint64_t)p->layout.code_names, &tuple) == 0)
        c->name_count = read_texts(p, tuple, &c->names);
    if (p->layout.code_locals >= 0 &&
        probe_read_u64(p->pid, address + (uint64_t)p->layout.code_locals, &tuple) == 0)
        c->local_count = read_texts(p, tuple, &c->locals);
}

/* ---- samples ---- */

static void note_form(struct ops_unit *u, uint8_t op) {
    int i = 0;
    while (i < u->forms && u->form[i].op != op)
        i++;
    if (i == PROBE_OP_FORMS)
        i--; /* the last entry is for the rest, too */
    if (i == u->forms)
        u->form[u->forms++] = (struct probe_op_form){.op = op};
    u->form[i].samples++;
}

static struct ops_unit *find_unit(struct ops_code *c, uint32_t offset) {
    uint32_t *at = &c->unit_at[offset];
    if (!*at) {
        c->units = lab_grow_one(c->units, c->unit_count, sizeof(*c->units));
        c->units[c->unit_count++] = (struct ops_unit){.offset = offset};
        *at = (uint32_t)c->unit_count;
    }
    return &c->units[*at - 1];
}

bool probe_ops_sample(struct probe_ops *o, struct probe_python *p,
                      const struct probe_python_thread *t) {
    struct python_place at;
    bool deeper, torn;
    unsigned char now[4] = {0};
    if (python_walk(p, t, &at, 1, &deeper, &torn) != 1) {
        o->torn += torn;
        return false;
    }
    o->samples++;
    struct ops_code *c = find_code(o, p, &at);
    if (!c || (uint32_t)at.op >= c->size) {
        o->dropped++;
        return true;
    }
    c->samples++;
    struct ops_unit *u = find_unit(c, (uint32_t)at.op);
    u->samples++;
    uint64_t begin = python_code_begin(p, at.code, at.copy);
    size_t size = c->size - (uint32_t)at.op < 4 ? c->size - (uint32_t)at.op : 4;
    if (probe_read_whole(p->pid, begin + (uint64_t)at.op, now, size) == 0) {
        note_form(u, now[0]);
        u->counter = (uint16_t)(now[2] | now[3] << 8);
        u->has_counter = size == 4;
    }
    if (!c->named && c->samples >= NAMED_AFTER)
        read_names(c, p, at.code->address);
    return true;
}

/* ---- summing up ---- */

static int by_samples(const void *a, const void *b) {
    const struct probe_op_code *x = a, *y = b;
    if (x->samples != y->samples)
        return x->samples < y->samples ? 1 : -1;
    return x->first_line - y->first_line;
}

static int by_total(const void *a, const void *b) {
    const struct probe_op_total *x = a, *y = b;
    if (x->samples != y->samples)
        return x->samples < y->samples ? 1 : -1;
    return x->op - y->op;
}

static void add_totals(struct probe_ops_result *r, const struct probe_op_code *c) {
    for (size_t i = 0; i < c->place_count; i++) {
        const struct probe_op_place *x = &c->place[i];
        r->state[x->state] += x->samples;
        for (int k = 0; k < x->forms; k++)
            r->total[x->form[k].op].samples += x->form[k].samples;
    }
}

const struct probe_ops_result *probe_ops_finish(struct probe_ops *o,
                                                const struct probe_python_facts *facts,
                                                const struct probe_op_names *names) {
    struct probe_ops_result *r = &o->result;
    r->samples = o->samples;
    r->torn = o->torn;
    r->dropped = o->dropped;
    r->code = lab_alloc(o->code_count + 1, sizeof(*r->code));
    for (int i = 0; i < 256; i++)
        r->total[i].op = (uint8_t)i;
    for (size_t i = 0; i < o->code_count; i++) {
        ops_decode(o->codes[i], facts, names, &r->code[i]);
        add_totals(r, &r->code[i]);
    }
    r->code_count = o->code_count;
    qsort(r->code, r->code_count, sizeof(*r->code), by_samples);
    qsort(r->total, 256, sizeof(r->total[0]), by_total);
    while (r->totals < 256 && r->total[r->totals].samples)
        r->totals++;
    return r;
}

/* ---- sources ---- */

static char *read_source(struct probe_ops *o, const char *file, size_t *size) {
    enum { SOURCE_MOST = 16 << 20 };
    int from = *file == '/' ? o->root : o->cwd;
    if (from < 0 || *file == '<')
        return NULL;
    int fd = openat(from, *file == '/' ? file + 1 : file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool plain = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    FILE *f = plain ? fdopen(fd, "r") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct lab_text t = {0};
    char bytes[65536];
    lab_text_add(&t, "", 0);
    for (size_t n; t.length < SOURCE_MOST && (n = fread(bytes, 1, sizeof(bytes), f)) > 0;)
        lab_text_add(&t, bytes, n);
    fclose(f);
    for (char *end; (end = memchr(t.data, '\n', t.length)) != NULL;)
        *end = '\0';
    *size = t.length;
    return t.data;
}

const char *probe_ops_source(struct probe_ops *o, const char *file, int line) {
    size_t i = 0;
    while (i < o->source_count && strcmp(o->sources[i].file, file) != 0)
        i++;
    if (i == o->source_count) {
        o->sources = lab_grow_one(o->sources, o->source_count, sizeof(*o->sources));
        struct ops_source *s = &o->sources[o->source_count++];
        *s = (struct ops_source){.file = lab_copy(file)};
        s->text = read_source(o, file, &s->size);
    }
    const struct ops_source *s = &o->sources[i];
    const char *at = s->text;
    for (int k = 1; at && k < line; k++) {
        at += strlen(at) + 1;
        if (at >= s->text + s->size)
            at = NULL;
    }
    return line > 0 ? at : NULL;
}
