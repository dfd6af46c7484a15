/* SPDX-License-Identifier: MIT */
/* ELF files, as far as a probe needs them. Nothing in a file is trusted: each offset is checked
 * before it is followed. */
#include "probe/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_ORDER ELFDATA2LSB
#else
#define OWN_ORDER ELFDATA2MSB
#endif

enum { TABLES = 2, IMAGE_MAX = 512 << 20, HEAD = 4096 };

struct table {
    const Elf64_Sym *symbols;
    size_t count;
    const char *names;
    size_t names_size;
};

struct probe_elf {
    const unsigned char *bytes;
    size_t size;
    bool mapped; /* a file, by mmap(); else memory of our own */
    uint64_t bias;
    const Elf64_Ehdr *head;
    const Elf64_Phdr *segments;
    size_t segment_count;
    const Elf64_Shdr *sections;
    size_t section_count;
    const char *section_names;
    size_t section_names_size;
    struct table tables[TABLES];
};

/* `count` things of `size` bytes at an offset; NULL if they are not all there. */
static const void *part(const struct probe_elf *e, uint64_t offset, uint64_t count, uint64_t size) {
    if (offset > e->size || (count && size > (e->size - offset) / count))
        return NULL;
    return e->bytes + offset;
}

const void *probe_elf_bytes(const struct probe_elf *e, uint64_t address, size_t size) {
    for (size_t i = 0; i < e->segment_count; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        if (s->p_type == PT_LOAD && address >= s->p_vaddr && size <= s->p_filesz &&
            address - s->p_vaddr <= s->p_filesz - size)
            return part(e, s->p_offset + (address - s->p_vaddr), 1, size);
    }
    return NULL;
}

uint64_t probe_elf_bias(const struct probe_elf *e) {
    return e->bias;
}

uint16_t probe_elf_machine(const struct probe_elf *e) {
    return e->head->e_machine;
}

bool probe_elf_writable(const struct probe_elf *e, int i, struct probe_symbol *out) {
    for (size_t k = 0; k < e->segment_count; k++) {
        const Elf64_Phdr *s = &e->segments[k];
        if (s->p_type == PT_LOAD && (s->p_flags & PF_W) && i-- == 0) {
            *out = (struct probe_symbol){s->p_vaddr, s->p_memsz};
            return true;
        }
    }
    return false;
}

static bool name_is(const char *names, size_t names_size, uint64_t at, const char *name) {
    size_t length = strlen(name) + 1;
    return at < names_size && length <= names_size - at && memcmp(names + at, name, length) == 0;
}

bool probe_elf_section(const struct probe_elf *e, const char *name, struct probe_symbol *out) {
    for (size_t i = 0; i < e->section_count; i++) {
        const Elf64_Shdr *s = &e->sections[i];
        if (name_is(e->section_names, e->section_names_size, s->sh_name, name)) {
            *out = (struct probe_symbol){s->sh_addr, s->sh_size};
            return true;
        }
    }
    return false;
}

bool probe_elf_symbol(const struct probe_elf *e, const char *name, struct probe_symbol *out) {
    for (int t = 0; t < TABLES; t++) {
        const struct table *x = &e->tables[t];
        for (size_t i = 0; i < x->count; i++) {
            const Elf64_Sym *s = &x->symbols[i];
            if (s->st_shndx != SHN_UNDEF && s->st_value &&
                name_is(x->names, x->names_size, s->st_name, name)) {
                *out = (struct probe_symbol){s->st_value, s->st_size};
                return true;
            }
        }
    }
    return false;
}

static void find_sections(struct probe_elf *e) {
    const Elf64_Ehdr *h = e->head;
    if (!h->e_shoff || h->e_shentsize != sizeof(Elf64_Shdr))
        return;
    const Elf64_Shdr *all = part(e, h->e_shoff, h->e_shnum, sizeof(*all));
    if (!all || h->e_shstrndx >= h->e_shnum)
        return;
    const Elf64_Shdr *names = &all[h->e_shstrndx];
    e->section_names = part(e, names->sh_offset, names->sh_size, 1);
    if (!e->section_names)
        return;
    e->section_names_size = names->sh_size;
    e->sections = all;
    e->section_count = h->e_shnum;
    for (size_t i = 0; i < e->section_count; i++) {
        const Elf64_Shdr *s = &all[i];
        if ((s->sh_type != SHT_DYNSYM && s->sh_type != SHT_SYMTAB) || s->sh_link >= h->e_shnum)
            continue;
        struct table t = {.count = s->sh_size / sizeof(Elf64_Sym),
                          .names_size = all[s->sh_link].sh_size};
        t.symbols = part(e, s->sh_offset, t.count, sizeof(Elf64_Sym));
        t.names = part(e, all[s->sh_link].sh_offset, t.names_size, 1);
        if (t.symbols && t.names)
            e->tables[s->sh_type == SHT_DYNSYM ? 0 : 1] = t;
    }
}

/* How many symbols the GNU hash table knows: one more than the last of the longest chain. */
static size_t gnu_hash_count(const struct probe_elf *e, uint64_t address) {
    const uint32_t *h = probe_elf_bytes(e, address, 4 * sizeof(*h));
    if (!h)
        return 0;
    uint32_t buckets = h[0], first = h[1], bloom = h[2], last = 0;
    uint64_t at = address + 16 + (uint64_t)bloom * 8;
    const uint32_t *bucket = probe_elf_bytes(e, at, (size_t)buckets * 4);
    if (!bucket)
        return 0;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < first)
        return first;
    for (at += (uint64_t)buckets * 4;; last++) {
        const uint32_t *chain = probe_elf_bytes(e, at + (uint64_t)(last - first) * 4, 4);
        if (!chain)
            return 0;
        if (*chain & 1)
            return (size_t)last + 1;
    }
}

/* Without sections: the table that the dynamic linker uses. In memory it has made its addresses
 * those of the process. */
static void find_dynamic(struct probe_elf *e) {
    const Elf64_Phdr *found = NULL;
    for (size_t i = 0; i < e->segment_count && !found; i++)
        found = e->segments[i].p_type == PT_DYNAMIC ? &e->segments[i] : NULL;
    if (!found)
        return;
    uint64_t symbols = 0, names = 0, names_size = 0, hash = 0, gnu_hash = 0;
    for (size_t i = 0; i < found->p_filesz / sizeof(Elf64_Dyn); i++) {
        const Elf64_Dyn *d = part(e, found->p_offset + i * sizeof(*d), 1, sizeof(*d));
        if (!d || d->d_tag == DT_NULL)
            break;
        uint64_t value = d->d_un.d_ptr;
        uint64_t address = e->bias && value >= e->bias ? value - e->bias : value;
        if (d->d_tag == DT_SYMTAB)
            symbols = address;
        else if (d->d_tag == DT_STRTAB)
            names = address;
        else if (d->d_tag == DT_STRSZ)
            names_size = value;
        else if (d->d_tag == DT_HASH)
            hash = address;
        else if (d->d_tag == DT_GNU_HASH)
            gnu_hash = address;
    }
    const uint32_t *counts = hash ? probe_elf_bytes(e, hash, 8) : NULL;
    struct table t = {.count = counts ? counts[1] : gnu_hash ? gnu_hash_count(e, gnu_hash) : 0,
                      .names_size = names_size};
    if (t.count > e->size / sizeof(Elf64_Sym))
        return;
    t.symbols = probe_elf_bytes(e, symbols, t.count * sizeof(Elf64_Sym));
    t.names = probe_elf_bytes(e, names, names_size);
    if (t.symbols && t.names)
        e->tables[0] = t;
}

/* Looks at the head; takes nothing but sections on trust, which are looked at when needed. */
static int begin(struct probe_elf *e) {
    const Elf64_Ehdr *h = e->head = part(e, 0, 1, sizeof(*h));
    if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return -ENOEXEC;
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != OWN_ORDER ||
        h->e_phentsize != sizeof(Elf64_Phdr))
        return -ENOEXEC;
    e->segments = part(e, h->e_phoff, h->e_phnum, sizeof(Elf64_Phdr));
    if (!e->segments)
        return -ENOEXEC;
    e->segment_count = h->e_phnum;
    return 0;
}

int probe_elf_open(int fd, struct probe_elf **out) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr))
        return -ENOEXEC;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    struct probe_elf *e = lab_alloc(1, sizeof(*e));
    e->bytes = bytes;
    e->size = (size_t)st.st_size;
    e->mapped = true;
    int error = begin(e);
    if (error) {
        probe_elf_close(e);
        return error;
    }
    find_sections(e);
    if (!e->tables[0].count)
        find_dynamic(e);
    *out = e;
    return 0;
}

void probe_elf_close(struct probe_elf *e) {
    if (!e)
        return;
    if (e->mapped)
        munmap((void *)e->bytes, e->size);
    else
        free((void *)e->bytes);
    free(e);
}

/* ---- the file behind a mapping ---- */

static bool same_file(const struct probe_mapping *a, const struct probe_mapping *b) {
    return a->inode == b->inode && strcmp(a->path, b->path) == 0;
}

/* The mapping of the file's beginning, which the head is in. */
static const struct probe_mapping *first_mapping(const struct probe_mapping *all, int count,
                                                 int which) {
    for (int i = 0; i < count; i++) {
        if (all[i].offset == 0 && same_file(&all[i], &all[which]))
            return &all[i];
    }
    return NULL;
}

/* Whether a file is the one that is mapped: the same inode, or (file systems in layers show
 * different numbers) the same beginning, in which the build's number usually is. */
static bool is_mapped(pid_t pid, int fd, const struct probe_mapping *first) {
    struct stat st;
    char file[HEAD], memory[HEAD];
    if (fstat(fd, &st) != 0)
        return false;
    if (!first->deleted && (uint64_t)st.st_ino == first->inode)
        return true;
    return pread(fd, file, HEAD, 0) == HEAD &&
           probe_read_whole(pid, first->begin, memory, HEAD) == 0 &&
           memcmp(file, memory, HEAD) == 0;
}

static int open_file(pid_t pid, const struct probe_mapping *first, const char **how) {
    char path[64];
    const char *const words[] = {"", ", through the process's own reference to the file", ""};
    for (int way = 0; way < 3; way++) {
        char *inside = NULL;
        if (way == 0)
            inside = lab_format("/proc/%d/root%s", (int)pid, first->path);
        else if (way == 1)
            snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
                     first->begin, first->end);
        else
            snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
        /* Not to be held up by what now stands under the name: a pipe, say. */
        int fd = open(inside ? inside : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        free(inside);
        if (fd >= 0 && (way == 1 || is_mapped(pid, fd, first))) {
            *how = words[way];
            return fd;
        }
        if (fd >= 0)
            close(fd);
    }
    return -ENOENT;
}

/* The file as far as it is in memory. */
static int open_memory(pid_t pid, const struct probe_mapping *all, int count,
                       const struct probe_mapping *first, struct probe_elf **out) {
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        uint64_t end = all[i].offset + (all[i].end - all[i].begin);
        if (same_file(&all[i], first) && end > size)
            size = end;
    }
    if (size < sizeof(Elf64_Ehdr) || size > IMAGE_MAX)
        return -ENOEXEC;
    struct probe_elf *e = lab_alloc(1, sizeof(*e));
    unsigned char *bytes = lab_alloc(1, size);
    e->bytes = bytes;
    e->size = size;
    for (int i = 0; i < count; i++) {
        if (same_file(&all[i], first)) /* pages without rights stay zero */
            probe_read_whole(pid, all[i].begin, bytes + all[i].offset, all[i].end - all[i].begin);
    }
    int error = begin(e);
    if (error) {
        probe_elf_close(e);
        return error;
    }
    *out = e;
    return 0;
}

static void set_bias(struct probe_elf *e, const struct probe_mapping *first) {
    for (size_t i = 0; i < e->segment_count; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        if (s->p_type == PT_LOAD && s->p_offset < HEAD) {
            e->bias = first->begin - (s->p_vaddr - s->p_offset);
            return;
        }
    }
}

int probe_elf_open_mapping(pid_t pid, const struct probe_mapping *all, int count, int which,
                           struct probe_elf **out, const char **how) {
    const struct probe_mapping *first = first_mapping(all, count, which);
    const char *word = "";
    if (!first)
        return -ENOEXEC;
    int error, fd = open_file(pid, first, &word);
    if (fd >= 0) {
        error = probe_elf_open(fd, out);
        close(fd);
        if (!error)
            set_bias(*out, first);
    } else {
        word = ", from its memory, since its file is gone or cannot be read";
        error = open_memory(pid, all, count, first, out);
        if (!error) {
            set_bias(*out, first);
            find_dynamic(*out);
        }
    }
    if (how)
        *how = word;
    return error;
}
