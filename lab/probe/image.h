/* SPDX-License-Identifier: MIT */
/* An ELF file that a target has mapped: its symbols, its unwind information, and where a section
 * lies. What is needed is read at once, not mapped: a file that shrinks later harms nobody. 64-bit
 * files of this machine's byte order alone. Addresses here are the file's own (virtual ones). */
#ifndef HEDDLE_LAB_PROBE_IMAGE_H
#define HEDDLE_LAB_PROBE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe_symbol {
    uint64_t address, size; /* 0: unknown, up to the next one */
    const char *name;
    bool data; /* a variable, else a function */
};

/* A section's bytes. */
struct probe_bytes {
    uint64_t address;
    uint8_t *data; /* NULL: there is none */
    size_t size;
};

struct probe_load {
    uint64_t offset, address, file_size, size; /* `size`: in memory */
};

struct probe_image {
    struct probe_load *load;
    size_t load_count;
    struct probe_bytes frame, frame_index; /* .eh_frame and .eh_frame_hdr */
    struct probe_symbol *symbol;           /* sorted by address, one for each */
    size_t symbol_count;
    char *names[4]; /* that the symbols' names lie in */
    char *build_id; /* in hexadecimal digits, or NULL */
    uint16_t machine;
    bool has_lines; /* of its source */
};

/* NULL: it cannot be read, or is no such file. */
struct probe_image *probe_image_open(const char *path);

/* The same from a copy in memory (the vDSO). */
struct probe_image *probe_image_copy(const void *bytes, size_t size);
void probe_image_free(struct probe_image *i);

/* The address of a place in the file; false if it is in no part that is loaded. */
bool probe_image_address(const struct probe_image *i, uint64_t file_offset, uint64_t *out);

/* The same of a place that may lie behind what is in the file (zeroed variables), when the part
 * that begins at `mapped` in the file is mapped from there on; `distance` from there. */
bool probe_image_beyond(const struct probe_image *i, uint64_t mapped, uint64_t distance,
                        uint64_t *out);

/* What an address belongs to, or NULL. */
const struct probe_symbol *probe_image_symbol(const struct probe_image *i, uint64_t address,
                                              bool data);

/* Where a section of a file lies, and what address the file's beginning has; false: it has none of
 * that name. */
struct probe_image_place {
    uint64_t address, size, first;
};
bool probe_image_section(const char *path, const char *name, struct probe_image_place *out);

#endif
