/* SPDX-License-Identifier: MIT */
/* What a probe asks of an ELF file: symbols, sections, and bytes by address. From the file, or,
 * where that is gone, from the image of it in a process's memory, in which the linker's symbols
 * are but no sections. 64-bit, of the byte order of this machine. */
#ifndef HEDDLE_LAB_PROBE_ELF_H
#define HEDDLE_LAB_PROBE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/read.h"

struct probe_elf;

/* Takes a file; the descriptor may be closed afterwards. 0; -ENOEXEC: no such ELF file; -errno. */
int probe_elf_open(int fd, struct probe_elf **out);

/* The file behind one of a process's mappings: through /proc, where that still is the file that
 * was mapped, else from its memory. *how, if not NULL, becomes a word about it, not to be freed. */
int probe_elf_open_mapping(pid_t pid, const struct probe_mapping *all, int count, int which,
                           struct probe_elf **out, const char **how);

void probe_elf_close(struct probe_elf *e);

/* What is to be added to the file's addresses to have those of the process. */
uint64_t probe_elf_bias(const struct probe_elf *e);

struct probe_symbol {
    uint64_t address, size; /* in the file */
};

/* The linker's symbols first, then those of the file's own table. */
bool probe_elf_symbol(const struct probe_elf *e, const char *name, struct probe_symbol *out);

bool probe_elf_section(const struct probe_elf *e, const char *name, struct probe_symbol *out);

/* Bytes of the file by their address; NULL: they are not in the file. */
const void *probe_elf_bytes(const struct probe_elf *e, uint64_t address, size_t size);

/* The i-th part that the program can write to, by its addresses in the file; false: no more. */
bool probe_elf_writable(const struct probe_elf *e, int i, struct probe_symbol *out);

uint16_t probe_elf_machine(const struct probe_elf *e);

#endif
