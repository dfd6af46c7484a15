/* SPDX-License-Identifier: MIT */
/* Which version an interpreter's file is of, and where its nameless variables are, without running
 * it. */
#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "probe/python_inside.h"
#include "text.h"

/* "3.10" or "3.10.13", "3.13.0rc1", "3.9.2+"; what follows `minor` is optional. Returns where it
 * ends, NULL: it is none. */
static const char *parse(const char *s, const char *end, int *major, int *minor, int *micro) {
    int part[3] = {-1, -1, -1};
    for (int i = 0; i < 3; i++) {
        if (i && (s + 1 >= end || *s != '.' || !isdigit((unsigned char)s[1])))
            break;
        s += i ? 1 : 0;
        int digits = 0, value = 0;
        for (; s < end && isdigit((unsigned char)*s) && digits < 3; s++, digits++)
            value = value * 10 + (*s - '0');
        if (!digits)
            return NULL;
        part[i] = value;
    }
    if (part[1] < 0 || !(part[0] == 3 || (part[0] == 2 && part[1] == 7)))
        return NULL;
    *major = part[0];
    *minor = part[1];
    *micro = part[2];
    return s;
}

/* "libpython3.9.so.1.0", "python3.9". */
static bool from_path(const char *path, int *major, int *minor) {
    const char *name = strrchr(path, '/');
    name = strstr(name ? name : path, "python");
    int micro;
    return name && parse(name + 6, name + strlen(name), major, minor, &micro) != NULL;
}

/* "3.9.18 (", as sys.version begins, in what the interpreter has written into its variables. */
static bool from_memory(const char *bytes, size_t size, int *major, int *minor, int *micro) {
    const char *end = bytes + size;
    for (const char *s = bytes; s + 8 < end; s++) {
        if (s[1] != '.' || (*s != '3' && *s != '2') || (s > bytes && s[-1] != '\0'))
            continue;
        int a, b, c;
        const char *after = parse(s, end, &a, &b, &c);
        if (!after || c < 0 || (*minor >= 0 && (a != *major || b != *minor)))
            continue;
        size_t mark = 0; /* "+", "rc1" */
        while (mark < 4 && after + mark + 1 < end && after[mark] != ' ')
            mark++;
        if (after + mark + 1 >= end || after[mark] != ' ' || after[mark + 1] != '(')
            continue;
        *major = a;
        *minor = b;
        *micro = c;
        return true;
    }
    return false;
}

static void from_variables(pid_t pid, const struct probe_elf *e, int *major, int *minor,
                           int *micro) {
    enum { MOST = 8 << 20 };
    struct probe_symbol part;
    for (int i = 0; *micro < 0 && probe_elf_writable(e, i, &part); i++) {
        if (part.size > MOST)
            continue;
        char *bytes = lab_alloc(1, part.size);
        /* Page by page: not all of it need be there. */
        uint64_t begin = part.address + probe_elf_bias(e), end = begin + part.size;
        for (uint64_t at = begin, next; at < end; at = next) {
            next = (at / 4096 + 1) * 4096;
            next = next < end ? next : end;
            if (probe_read_whole(pid, at, bytes + (at - begin), next - at) != 0)
                break;
        }
        from_memory(bytes, part.size, major, minor, micro);
        free(bytes);
    }
}

void python_version_find(pid_t pid, const struct probe_elf *e, const char *path, int *major,
                         int *minor, int *micro) {
    struct probe_symbol s;
    *major = *minor = *micro = -1;
    const unsigned char *number =
        probe_elf_symbol(e, "Py_Version", &s) ? probe_elf_bytes(e, s.address, 8) : NULL;
    if (number && python_u64(number, 0) >> 24 == 3) { /* 3.11 and later */
        uint64_t version = python_u64(number, 0);
        *major = 3;
        *minor = (int)(version >> 16 & 0xff);
        *micro = (int)(version >> 8 & 0xff);
        return;
    }
    from_path(path, major, minor);
    from_variables(pid, e, major, minor, micro);
}

/* x86_64: the first of the forms `mov x(%rip), reg`, `cmp $n, x(%rip)`, `cmpq`. */
static uint64_t address_x86(const unsigned char *code, size_t size, uint64_t at) {
    for (size_t i = 0; i + 8 <= size; i++) {
        size_t op = i;
        if (code[op] == 0x48 || code[op] == 0x4c)
            op++;
        bool load = code[op] == 0x8b, compare = code[op] == 0x83;
        if ((!load && !compare) || (code[op + 1] & 0xc7) != 0x05)
            continue;
        return at + op + 6 + (compare ? 1 : 0) + (uint64_t)(int64_t)python_i32(code, (int)op + 2);
    }
    return 0;
}

/* aarch64: `adrp xN, page` and `ldr reg, [xN, #offset]`. */
static uint64_t address_arm(const unsigned char *code, size_t size, uint64_t at) {
    uint64_t page[32] = {0};
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t word = (uint32_t)python_i32(code, (int)i);
        if ((word & 0x9f000000) == 0x90000000) {
            int64_t pages = (int64_t)((word >> 5 & 0x7ffff) << 2 | (word >> 29 & 3));
            pages = (pages ^ 0x100000) - 0x100000;
            page[word & 31] = ((at + i) & ~(uint64_t)0xfff) + (uint64_t)(pages * 4096);
        } else if ((word & 0xbfc00000) == 0xb9400000 && page[word >> 5 & 31]) {
            uint32_t scale = word >> 30;
            return page[word >> 5 & 31] + ((uint64_t)(word >> 10 & 0xfff) << scale);
        }
    }
    return 0;
}

uint64_t python_address_in(const struct probe_elf *e, const char *function) {
    struct probe_symbol s;
    if (!probe_elf_symbol(e, function, &s) || !s.size)
        return 0;
    size_t size = s.size < 48 ? s.size : 48;
    const unsigned char *code = probe_elf_bytes(e, s.address, size);
    if (!code)
        return 0;
    if (probe_elf_machine(e) == EM_X86_64)
        return address_x86(code, size, s.address);
    return probe_elf_machine(e) == EM_AARCH64 ? address_arm(code, size, s.address) : 0;
}
