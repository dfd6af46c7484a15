/* SPDX-License-Identifier: MIT */
/* Reading ELF files; image.h. Nothing in a file is believed: offsets and counts are checked against
 * its size. */
#include "probe/image.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

/* A file or a copy of one. */
struct source {
    int fd; /* -1: `bytes` */
    const uint8_t *bytes;
    uint64_t size;
};

struct sections {
    Elf64_Ehdr head;
    Elf64_Shdr *header;
    size_t count;
    char *names;
    size_t names_size;
};

static bool get(const struct source *s, uint64_t offset, void *out, uint64_t size) {
    if (offset > s->size || size > s->size - offset)
        return false;
    if (s->fd < 0) {
        memcpy(out, s->bytes + offset, size);
        return true;
    }
    uint8_t *to = out;
    while (size > 0) {
        ssize_t n = pread(s->fd, to, size, (off_t)offset);
        if (n <= 0)
            return false;
        to += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return true;
}

/* A piece of a file, with a zero byte behind it. */
static void *piece(const struct source *s, uint64_t offset, uint64_t size) {
    if (offset > s->size || size > s->size - offset)
        return NULL;
    char *p = malloc(size + 1);
    if (p && !get(s, offset, p, size)) {
        free(p);
        return NULL;
    }
    if (p)
        p[size] = '\0';
    return p;
}

static bool open_source(const char *path, struct source *s) {
    struct stat st;
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0)
        return false;
    if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(s->fd);
        return false;
    }
    s->size = (uint64_t)st.st_size;
    return true;
}

static bool read_sections(const struct source *s, struct sections *out) {
    const unsigned char *id = out->head.e_ident;
    memset(out, 0, sizeof *out);
    if (!get(s, 0, &out->head, sizeof out->head) || memcmp(id, ELFMAG, SELFMAG) != 0 ||
        id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB)
        return false;
    if (out->head.e_shentsize != sizeof(Elf64_Shdr) || out->head.e_shnum == 0)
        return true; /* without sections: loaded parts alone */
    out->header = piece(s, out->head.e_shoff, (uint64_t)out->head.e_shnum * sizeof(Elf64_Shdr));
    out->count = out->header ? out->head.e_shnum : 0;
    if (out->head.e_shstrndx < out->count) {
        const Elf64_Shdr *h = &out->header[out->head.e_shstrndx];
        out->names = piece(s, h->sh_offset, h->sh_size);
        out->names_size = out->names ? h->sh_size : 0;
    }
    return true;
}

static void free_sections(struct sections *s) {
    free(s->header);
    free(s->names);
}

static const Elf64_Shdr *section(const struct sections *s, const char *name) {
    for (size_t i = 0; i < s->count; i++) {
        uint32_t at = s->header[i].sh_name;
        if (at < s->names_size && strcmp(s->names + at, name) == 0)
            return &s->header[i];
    }
    return NULL;
}

static void read_bytes(const struct source *s, const struct sections *all, const char *name,
                       struct probe_bytes *out) {
    const Elf64_Shdr *h = section(all, name);
    if (!h || h->sh_type == SHT_NOBITS || (h->sh_flags & SHF_COMPRESSED))
        return;
    out->address = h->sh_addr;
    out->data = piece(s, h->sh_offset, h->sh_size);
    out->size = out->data ? h->sh_size : 0;
}

/* ---- symbols ---- */

/* Of several names for one address the plainest is shown: "read", not "__libc_read". */
static int plainness(const char *name) {
    int bars = 0;
    while (name[bars] == '_')
        bars++;
    return -bars * 64 - (int)strnlen(name, 60);
}

static int by_address(const void *a, const void *b) {
    const struct probe_symbol *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    if (!x->size != !y->size)
        return x->size ? -1 : 1;
    int difference = plainness(y->name) - plainness(x->name);
    return difference ? difference : strcmp(x->name, y->name);
}

static void read_symbols(struct probe_image *i, const struct source *s, const struct sections *all,
                         uint32_t type, char **names) {
    const Elf64_Shdr *table = NULL;
    for (size_t n = 0; n < all->count && !table; n++) {
        const Elf64_Shdr *h = &all->header[n];
        if (h->sh_type == type && h->sh_entsize == sizeof(Elf64_Sym) && h->sh_link < all->count)
            table = h;
    }
    if (!table || *names)
        return;
    const Elf64_Shdr *strings = &all->header[table->sh_link];
    Elf64_Sym *symbol = piece(s, table->sh_offset, table->sh_size);
    *names = symbol ? piece(s, strings->sh_offset, strings->sh_size) : NULL;
    size_t count = *names ? table->sh_size / sizeof *symbol : 0;
    i->symbol = lab_grow(i->symbol, i->symbol_count + count, sizeof *i->symbol);
    for (size_t n = 0; n < count; n++) {
        int kind = ELF64_ST_TYPE(symbol[n].st_info);
        bool code = kind == STT_FUNC || kind == STT_GNU_IFUNC;
        if ((!code && kind != STT_OBJECT) || symbol[n].st_shndx == SHN_UNDEF ||
            symbol[n].st_name >= strings->sh_size || !(*names)[symbol[n].st_name])
            continue;
        i->symbol[i->symbol_count++] = (struct probe_symbol){
            symbol[n].st_value, symbol[n].st_size, *names + symbol[n].st_name, !code};
    }
    free(symbol);
}

static void sort_symbols(struct probe_image *i) {
    size_t kept = 0;
    if (i->symbol_count > 1)
        qsort(i->symbol, i->symbol_count, sizeof *i->symbol, by_address);
    for (size_t n = 0; n < i->symbol_count; n++) {
        if (kept == 0 || i->symbol[n].address != i->symbol[kept - 1].address)
            i->symbol[kept++] = i->symbol[n];
    }
    i->symbol_count = kept;
}

const struct probe_symbol *probe_image_symbol(const struct probe_image *i, uint64_t address,
                                              bool data) {
    size_t low = 0, high = i->symbol_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (i->symbol[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* A small one may lie within what is left of a large one: the nearest that reaches so far. */
    for (size_t n = low; n > 0 && low - n < 16; n--) {
        const struct probe_symbol *s = &i->symbol[n - 1];
        if (s->data == data && (s->size ? address - s->address < s->size : n == low && !data))
            return s;
    }
    return NULL;
}

/* ---- files ---- */

static void read_build_id(struct probe_image *i, const struct source *s,
                          const struct sections *all) {
    struct probe_bytes note = {0};
    Elf64_Nhdr head;
    read_bytes(s, all, ".note.gnu.build-id", &note);
    if (note.size >= sizeof head + 4) {
        memcpy(&head, note.data, sizeof head);
        if (head.n_namesz == 4 && head.n_type == NT_GNU_BUILD_ID &&
            head.n_descsz <= note.size - sizeof head - 4) {
            struct lab_text hex = {0};
            for (size_t n = 0; n < head.n_descsz; n++)
                lab_text_printf(&hex, "%02x", note.data[sizeof head + 4 + n]);
            i->build_id = hex.data;
        }
    }
    free(note.data);
}

/* What a distribution keeps apart: the symbols of a stripped file. */
static void read_apart(struct probe_image *i) {
    struct source s;
    struct sections all;
    if (!i->build_id || strlen(i->build_id) < 3)
        return;
    char *path = lab_format("/usr/lib/debug/.build-id/%.2s/%s.debug", i->build_id,
                            i->build_id + 2);
    if (open_source(path, &s)) {
        if (read_sections(&s, &all))
            read_symbols(i, &s, &all, SHT_SYMTAB, &i->names[2]);
        free_sections(&all);
        close(s.fd);
    }
    free(path);
}

static struct probe_image *read_image(const struct source *s) {
    struct sections all;
    if (!read_sections(s, &all)) {
        return NULL;
    }
    struct probe_image *i = lab_alloc(1, sizeof *i);
    size_t parts = all.head.e_phentsize == sizeof(Elf64_Phdr) ? all.head.e_phnum : 0;
    Elf64_Phdr *part = piece(s, all.head.e_phoff, parts * sizeof *part);
    i->load = lab_alloc(parts + 1, sizeof *i->load);
    for (size_t n = 0; part && n < parts; n++) {
        if (part[n].p_type == PT_LOAD)
            i->load[i->load_count++] = (struct probe_load){part[n].p_offset, part[n].p_vaddr,
                                                           part[n].p_filesz, part[n].p_memsz};
    }
    free(part);
    i->machine = all.head.e_machine;
    i->has_lines = section(&all, ".debug_line") != NULL;
    read_bytes(s, &all, ".eh_frame", &i->frame);
    read_bytes(s, &all, ".eh_frame_hdr", &i->frame_index);
    read_symbols(i, s, &all, SHT_SYMTAB, &i->names[0]);
    read_symbols(i, s, &all, SHT_DYNSYM, &i->names[1]);
    read_build_id(i, s, &all);
    if (!i->names[0])
        read_apart(i);
    sort_symbols(i);
    free_sections(&all);
    return i;
}

struct probe_image *probe_image_open(const char *path) {
    struct source s;
    if (!open_source(path, &s))
        return NULL;
    struct probe_image *i = read_image(&s);
    close(s.fd);
    return i;
}

struct probe_image *probe_image_copy(const void *bytes, size_t size) {
    return read_image(&(struct source){-1, bytes, size});
}

void probe_image_free(struct probe_image *i) {
    if (!i)
        return;
    free(i->load);
    free(i->frame.data);
    free(i->frame_index.data);
    free(i->symbol);
    for (size_t n = 0; n < sizeof i->names / sizeof i->names[0]; n++)
        free(i->names[n]);
    free(i->build_id);
    free(i);
}

bool probe_image_address(const struct probe_image *i, uint64_t file_offset, uint64_t *out) {
    for (size_t n = 0; n < i->load_count; n++) {
        const struct probe_load *l = &i->load[n];
        if (file_offset >= l->offset && file_offset - l->offset < l->file_size) {
            *out = file_offset - l->offset + l->address;
            return true;
        }
    }
    return false;
}

bool probe_image_beyond(const struct probe_image *i, uint64_t mapped, uint64_t distance,
                        uint64_t *out) {
    for (size_t n = i->load_count; n-- > 0;) {
        const struct probe_load *l = &i->load[n];
        if (mapped >= l->offset + l->file_size || l->offset >= mapped + 65536 * 4 ||
            l->address + mapped < l->offset)
            continue;
        *out = l->address - l->offset + mapped + distance;
        if (*out >= l->address && *out - l->address < l->size)
            return true;
    }
    return false;
}

static uint64_t first_address(const struct source *s, const Elf64_Ehdr *head) {
    Elf64_Phdr part;
    for (unsigned n = 0; n < head->e_phnum && head->e_phentsize == sizeof part; n++) {
        if (!get(s, head->e_phoff + n * sizeof part, &part, sizeof part))
            break;
        if (part.p_type == PT_LOAD)
            return part.p_vaddr - part.p_offset;
    }
    return 0;
}

bool probe_image_section(const char *path, const char *name, struct probe_image_place *out) {
    struct source s;
    struct sections all;
    const Elf64_Shdr *found = NULL;
    if (!open_source(path, &s))
        return false;
    if (read_sections(&s, &all)) {
        found = section(&all, name);
        if (found) {
            *out = (struct probe_image_place){found->sh_addr, found->sh_size,
                                              first_address(&s, &all.head)};
        }
    }
    free_sections(&all);
    close(s.fd);
    return found != NULL;
}
