/* SPDX-License-Identifier: MIT */
/* Stacks of C functions, from outside; native.h. */
#include "probe/native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "probe/demangle.h"
#include "probe/lines.h"
#include "probe/maps.h"
#include "probe/unwind.h"
#include "text.h"

enum {
    FRAMES_MAX = 192,
    SNAPSHOT = 64 * 1024, /* of a stack, read at once */
    GUESS_WORDS = 2048,   /* how far a frame is looked for */
    SIGNAL_PLACE = 1,     /* stands for the address of a signal's frame */
    NAMES = 1 << 14,      /* places whose function and line are kept */
};

/* One for each file, however often it is mapped. */
struct file {
    char *path;
    uint64_t inode;
    struct probe_image *image; /* NULL: it could not be read */
    struct probe_lines *lines;
};

struct place {
    uint64_t address; /* 0: free */
    char *function, *file;
    int line;
};

struct probe_native {
    struct probe_maps maps;
    uint64_t misses; /* addresses that no mapping had, since the maps were read */
    struct file *file;
    size_t file_count;
    struct place *place; /* a hash table */
    uint8_t *snapshot;
    uint64_t snapshot_at;
    size_t snapshot_size;
    struct probe_native_counts counts;
};

int probe_native_open(pid_t pid, struct probe_native **out) {
    struct probe_native *n = lab_alloc(1, sizeof *n);
    int err = probe_maps_read(&n->maps, pid);
    if (err) {
        probe_maps_free(&n->maps);
        free(n);
        return err;
    }
    n->snapshot = lab_alloc(1, SNAPSHOT);
    n->place = lab_alloc(NAMES, sizeof *n->place);
    *out = n;
    return 0;
}

static void forget_places(struct probe_native *n) {
    for (size_t i = 0; i < NAMES; i++) {
        free(n->place[i].function);
        free(n->place[i].file);
        n->place[i] = (struct place){0};
    }
}

void probe_native_close(struct probe_native *n) {
    if (!n)
        return;
    forget_places(n);
    for (size_t i = 0; i < n->file_count; i++) {
        probe_lines_close(n->file[i].lines);
        probe_image_free(n->file[i].image);
        free(n->file[i].path);
    }
    probe_maps_free(&n->maps);
    free(n->file);
    free(n->place);
    free(n->snapshot);
    free(n);
}

struct probe_native_counts probe_native_counts(const struct probe_native *n) {
    return n->counts;
}

/* ---- memory ---- */

static size_t read_memory(pid_t pid, uint64_t address, void *out, size_t size) {
    struct iovec here = {out, size}, there = {(void *)(uintptr_t)address, size};
    ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
    return n > 0 ? (size_t)n : 0;
}

static bool read_word(void *arg, uint64_t address, uint64_t *out) {
    struct probe_native *n = arg;
    uint64_t offset = address - n->snapshot_at;
    if (offset <= n->snapshot_size && n->snapshot_size - offset >= sizeof *out) {
        memcpy(out, n->snapshot + offset, sizeof *out);
        return true;
    }
    return read_memory(n->maps.pid, address, out, sizeof *out) == sizeof *out;
}

static void take_snapshot(struct probe_native *n, uint64_t sp) {
    const struct probe_map *map = probe_maps_find(&n->maps, sp);
    uint64_t size = map ? map->end - sp : 4096 - sp % 4096;
    n->snapshot_at = sp;
    n->snapshot_size = read_memory(n->maps.pid, sp, n->snapshot,
                                   size < SNAPSHOT ? size : SNAPSHOT);
}

/* ---- files ---- */

static struct probe_image *read_vdso(struct probe_native *n, const struct probe_map *map) {
    size_t size = map->end - map->begin;
    void *copy = malloc(size);
    struct probe_image *i = NULL;
    if (copy && read_memory(n->maps.pid, map->begin, copy, size) == size)
        i = probe_image_copy(copy, size);
    free(copy);
    return i;
}

static struct file *file_of(struct probe_native *n, const struct probe_map *map) {
    for (size_t i = 0; i < n->file_count; i++) {
        if (n->file[i].inode == map->inode && strcmp(n->file[i].path, map->path) == 0)
            return &n->file[i];
    }
    struct file f = {.path = lab_copy(map->path), .inode = map->inode};
    if (strcmp(map->path, "[vdso]") == 0) {
        f.image = read_vdso(n, map);
    } else {
        char *path = probe_maps_file(&n->maps, map);
        if (path) {
            f.image = probe_image_open(path);
            /* Not from what the distribution keeps apart: it takes long, in the midst of things,
             * and tells of the C library. */
            f.lines = f.image && f.image->has_lines ? probe_lines_open(path) : NULL;
        }
        free(path);
    }
    n->file = lab_grow_one(n->file, n->file_count, sizeof f);
    n->file[n->file_count] = f;
    return &n->file[n->file_count++];
}

/* Where an address belongs. Libraries may have come since the maps were read. */
static const struct probe_map *map_of(struct probe_native *n, uint64_t address) {
    const struct probe_map *map = probe_maps_find(&n->maps, address);
    if (!map && n->misses++ % 64 == 0 && probe_maps_read(&n->maps, n->maps.pid) == 0) {
        forget_places(n);
        map = probe_maps_find(&n->maps, address);
    }
    return map;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void name_place(struct probe_native *n, uint64_t address, struct place *out) {
    if (address == SIGNAL_PLACE) {
        out->function = lab_copy("[signal handler]");
        return;
    }
    const struct probe_map *map = map_of(n, address);
    uint64_t own = 0;
    if (!map) {
        out->function = lab_format("0x%llx", (unsigned long long)address);
        return;
    }
    struct file *f = map->path[0] ? file_of(n, map) : NULL;
    bool known = f && f->image && (strcmp(map->path, "[vdso]") == 0
                                       ? (own = address - map->begin, true)
                                       : probe_maps_address(map, f->image, address, &own));
    const struct probe_symbol *s = known ? probe_image_symbol(f->image, own, false) : NULL;
    const char *file = map->path[0] ? base_name(map->path) : "code made at run time";
    out->file = lab_copy(file);
    if (s) {
        out->function = probe_demangle(s->name);
    } else {
        out->function = lab_format("%s+0x%llx", file,
                                   (unsigned long long)(known ? own : address - map->begin));
    }
    if (known && f->lines) {
        char *source = NULL;
        int line = probe_lines_find(f->lines, own, &source);
        if (line > 0 && source) {
            free(out->file);
            out->file = source;
            out->line = line;
        } else {
            free(source);
        }
    }
}

static const struct place *place_of(struct probe_native *n, uint64_t address) {
    size_t at = (size_t)(address * 0x9e3779b97f4a7c15u >> 40) % NAMES;
    for (unsigned tries = 0; tries < 16; tries++, at = (at + 1) % NAMES) {
        struct place *p = &n->place[at];
        if (p->address == address)
            return p;
        if (!p->address) {
            p->address = address;
            name_place(n, address, p);
            return p;
        }
    }
    struct place *p = &n->place[at]; /* its neighbourhood is full: one has to go */
    free(p->function);
    free(p->file);
    *p = (struct place){.address = address};
    name_place(n, address, p);
    return p;
}

/* Variables that begin as zero lie behind the file's last mapping, in memory without a name. */
static const struct probe_map *map_before(struct probe_native *n, const struct probe_map *map) {
    if (map->path[0] || map == n->maps.map)
        return map;
    return map[-1].end == map->begin && map[-1].path[0] == '/' && map[-1].writable ? &map[-1] : map;
}

char *probe_native_name(struct probe_native *n, uint64_t address, bool data) {
    const struct probe_map *map = map_of(n, address);
    uint64_t own = 0;
    if (!map)
        return lab_format("0x%llx", (unsigned long long)address);
    if (data)
        map = map_before(n, map);
    if (map->path[0] != '/')
        return lab_copy(map->path[0] ? map->path : "anonymous memory");
    struct file *f = file_of(n, map);
    bool known = f->image && (probe_maps_address(map, f->image, address, &own) ||
                              (data && probe_image_beyond(f->image, map->offset,
                                                          address - map->begin, &own)));
    if (!known && address >= map->end)
        return lab_copy("anonymous memory");
    if (!known) {
        return lab_format("%s+0x%llx", base_name(map->path),
                          (unsigned long long)(address - map->begin + map->offset));
    }
    const struct probe_symbol *s = probe_image_symbol(f->image, own, data);
    if (!s)
        return lab_format("%s+0x%llx", base_name(map->path), (unsigned long long)own);
    char *name = probe_demangle(s->name), *text;
    if (data && own != s->address) {
        text = lab_format("%s+%llu (%s)", name, (unsigned long long)(own - s->address),
                          base_name(map->path));
    } else {
        text = lab_format("%s (%s)", name, base_name(map->path));
    }
    free(name);
    return text;
}

/* ---- unwinding ---- */

static bool find_row(struct probe_native *n, uint64_t address, struct probe_row *row,
                     uint64_t *bias) {
    const struct probe_map *map = map_of(n, address);
    uint64_t own;
    if (!map || !map->executable || !map->path[0])
        return false;
    struct file *f = file_of(n, map);
    if (!f->image)
        return false;
    if (strcmp(map->path, "[vdso]") == 0) {
        own = address - map->begin;
    } else if (!probe_maps_address(map, f->image, address, &own)) {
        return false;
    }
    *bias = address - own;
    return probe_unwind_row(f->image, own, row);
}

#if defined(__x86_64__)
/* Whether the instruction before an address is a call; *target: of a direct one, else 0. */
static bool is_behind_call(struct probe_native *n, uint64_t address, uint64_t *target) {
    const struct probe_map *map = probe_maps_find(&n->maps, address);
    uint8_t code[8];
    int32_t distance;
    *target = 0;
    if (!map || !map->executable || address - map->begin < sizeof code ||
        read_memory(n->maps.pid, address - sizeof code, code, sizeof code) != sizeof code)
        return false;
    if (code[3] == 0xe8) {
        memcpy(&distance, code + 4, sizeof distance);
        *target = address + (uint64_t)(int64_t)distance;
        return true;
    }
    static const uint8_t lengths[] = {2, 3, 4, 6, 7};
    for (size_t i = 0; i < sizeof lengths; i++) {
        const uint8_t *at = code + sizeof code - lengths[i];
        if (at[0] == 0xff && (at[1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* A signal's handler returns to where nobody called from. */
static bool is_behind_signal(struct probe_native *n, uint64_t address) {
    const struct probe_map *map = probe_maps_find(&n->maps, address);
    struct probe_row row;
    uint64_t bias;
    return map && map->executable && find_row(n, address - 1, &row, &bias) && row.signal;
}

/* Where a call through the linker's table ends: the table's entry jumps through a pointer. 0: it is
 * no such entry. */
static uint64_t through_table(struct probe_native *n, uint64_t entry) {
    static const uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa};
    uint8_t code[12];
    int32_t distance;
    uint64_t at = entry, to;
    if (read_memory(n->maps.pid, entry, code, sizeof code) != sizeof code)
        return 0;
    const uint8_t *c = code;
    if (memcmp(c, landing, sizeof landing) == 0)
        c += sizeof landing;
    if (*c == 0xf2) /* bnd */
        c++;
    if (c[0] != 0xff || c[1] != 0x25)
        return 0;
    memcpy(&distance, c + 2, sizeof distance);
    at += (uint64_t)(c - code) + 6 + (uint64_t)(int64_t)distance;
    return read_word(n, at, &to) ? to : 0;
}

/* How likely it is that a word of the stack is where the function at `begin` returns to: 0 to 4.
 * What calls something else directly came here by a jump, if at all; stacks are full of such. */
static int likelihood(struct probe_native *n, uint64_t word, uint64_t begin) {
    uint64_t target;
    if (word < 4096)
        return 0;
    if (!is_behind_call(n, word, &target))
        return is_behind_signal(n, word) ? 2 : 0;
    if (target == 0)
        return 2; /* by a pointer */
    if (target == begin)
        return 4;
    uint64_t to = through_table(n, target);
    return to == 0 ? 1 : to == begin ? 3 : 2;
}

/* Finds the frame of a function whose frame pointer is not known; `begin` is the function's. */
static bool guess_frame(struct probe_native *n, struct probe_registers *r, uint64_t begin) {
    uint64_t at = (r->value[PROBE_SP] + 15) & ~UINT64_C(15), found = 0, word;
    int best = 0;
    for (unsigned i = 0; i < GUESS_WORDS / 2 && best < 4; i++, at += 16) {
        if (!read_word(n, at + 8, &word))
            break;
        int likely = likelihood(n, word, begin);
        if (likely > best) {
            best = likely;
            found = at;
        }
    }
    if (!found)
        return false;
    r->value[PROBE_FP] = found;
    r->known |= UINT64_C(1) << PROBE_FP;
    n->counts.guessed++;
    return true;
}

/* Finds the caller of a function without unwind information (of Go, say, whose functions have frame
 * pointers): the return address of a call to it, or else the nearest one below which there is what
 * looks like a frame pointer. */
static bool guess_caller(struct probe_native *n, struct probe_registers *r, uint64_t begin) {
    uint64_t sp = r->value[PROBE_SP], likely = 0, word, below, target;
    for (uint64_t at = sp; at < sp + 8 * GUESS_WORDS && read_word(n, at, &word); at += 8) {
        if (word < 4096 || !is_behind_call(n, word, &target))
            continue;
        if (begin && target == begin) {
            likely = at;
            break;
        }
        if (!likely && at > sp && read_word(n, at - 8, &below) && below > at &&
            below - at < SNAPSHOT)
            likely = at;
    }
    if (!likely || !read_word(n, likely, &word))
        return false;
    n->counts.guessed++;
    r->pc = word;
    r->value[PROBE_SP] = likely + 8;
    r->known = UINT64_C(1) << PROBE_SP;
    if (likely > sp && read_word(n, likely - 8, &below) && below > likely &&
        below - likely < SNAPSHOT) {
        r->value[PROBE_FP] = below;
        r->known |= UINT64_C(1) << PROBE_FP;
    }
    return true;
}
#else
static bool guess_caller(struct probe_native *n, struct probe_registers *r, uint64_t begin) {
    (void)n, (void)r, (void)begin;
    return false;
}

static bool guess_frame(struct probe_native *n, struct probe_registers *r, uint64_t begin) {
    (void)n, (void)r, (void)begin;
    return false;
}
#endif

/* Where the function begins that an address lies in; 0: unknown. */
static uint64_t function_at(struct probe_native *n, uint64_t address) {
    const struct probe_map *map = map_of(n, address);
    struct file *f = map && map->path[0] == '/' ? file_of(n, map) : NULL;
    uint64_t own;
    if (!f || !f->image || !probe_maps_address(map, f->image, address, &own))
        return 0;
    const struct probe_symbol *s = probe_image_symbol(f->image, own, false);
    return s ? address - own + s->address : 0;
}

/* Without unwind information: by the frame pointer, if there is a sensible one. */
static bool step_by_pointer(struct probe_native *n, struct probe_registers *r) {
    uint64_t fp = r->value[PROBE_FP], next, back;
    if (!(r->known >> PROBE_FP & 1) || fp < r->value[PROBE_SP] ||
        fp - r->value[PROBE_SP] > SNAPSHOT || fp % 8)
        return false;
#if defined(__riscv)
    fp -= 16;
#endif
    if (!read_word(n, fp, &next) || !read_word(n, fp + 8, &back) || back == 0)
        return false;
    r->known = UINT64_C(1) << PROBE_FP | UINT64_C(1) << PROBE_SP;
    r->value[PROBE_SP] = fp + 16;
    r->value[PROBE_FP] = next;
    r->pc = back;
    return true;
}

/* Fills in where each frame is, innermost first. */
static size_t unwind(struct probe_native *n, struct probe_registers *r, uint64_t *at, size_t max) {
    size_t count = 0;
    bool exact = true; /* the address is an instruction of the function, not behind a call */
    struct probe_row row;
    uint64_t bias = 0;
    while (count < max && r->pc) {
        uint64_t look = exact ? r->pc : r->pc - 1;
        const struct probe_map *map = map_of(n, look);
        if (count > 0 && (!map || !map->executable))
            break;
        at[count++] = look;
        if (!find_row(n, look, &row, &bias)) {
            exact = false;
            /* A frame pointer that is known and leads nowhere is that of the first function. */
            if (!(r->known >> PROBE_FP & 1 ? step_by_pointer(n, r)
                                           : guess_caller(n, r, function_at(n, look))))
                break;
            continue;
        }
        exact = row.signal;
        if (exact)
            at[count - 1] = SIGNAL_PLACE;
        enum probe_step step = probe_unwind_step(&row, r, read_word, n);
        if (step == PROBE_STEP_UNKNOWN && row.cfa.kind == PROBE_RULE_REGISTER &&
            row.base == PROBE_FP && guess_frame(n, r, row.begin + bias))
            step = probe_unwind_step(&row, r, read_word, n);
        if (step != PROBE_STEP_DONE)
            break;
    }
    return count;
}

static uint32_t push(struct probe_native *n, const uint64_t *at, size_t count,
                     struct probe_stacks *stacks) {
    uint32_t node = 0;
    while (count-- > 0) {
        const struct place *p = place_of(n, at[count]);
        node = probe_stacks_push(stacks, node,
                                 &(struct probe_frame){p->function, p->file, p->line, -1});
    }
    return node;
}

uint32_t probe_native_stack(struct probe_native *n, pid_t tid, const struct probe_call *call,
                            struct probe_stacks *stacks, bool *torn) {
    uint64_t at[FRAMES_MAX];
    struct probe_registers r = {.pc = call->pc};
    struct probe_call after;
    *torn = false;
    if (call->runs)
        return 0;
    n->counts.asked++;
    take_snapshot(n, call->sp);
    r.value[PROBE_SP] = call->sp;
    r.known = UINT64_C(1) << PROBE_SP;
    size_t count = unwind(n, &r, at, FRAMES_MAX);
    if (probe_call_read(n->maps.pid, tid, &after) != 0 || after.runs || after.sp != call->sp ||
        after.pc != call->pc || after.number != call->number) {
        *torn = true;
        n->counts.torn++;
        return 0;
    }
    return push(n, at, count, stacks);
}

uint32_t probe_native_parked(struct probe_native *n, uint64_t sp, uint64_t pc, uint64_t fp,
                             struct probe_stacks *stacks) {
    uint64_t at[FRAMES_MAX];
    struct probe_registers r = {.pc = pc};
    n->counts.asked++;
    take_snapshot(n, sp);
    r.value[PROBE_SP] = sp;
    r.value[PROBE_FP] = fp;
    r.known = UINT64_C(1) << PROBE_SP | UINT64_C(1) << PROBE_FP;
    return push(n, at, unwind(n, &r, at, FRAMES_MAX), stacks);
}
