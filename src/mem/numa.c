/* SPDX-License-Identifier: MIT */
/* Binding is a preference: a full node must not end the program. Where there is one node nothing is
 * asked of the kernel, and where the kernel refuses, it is asked once more each time: a system call
 * that fails costs less than the page faults of the memory that it was for. */
#include "mem/numa.h"

#include <errno.h>

#include "os/mem.h"
#include "os/numa.h"

static size_t whole_pages(size_t size) {
    size_t page = hd__os_page_size();
    return size > SIZE_MAX - page ? 0 : HD__ROUND_UP(size, page);
}

static bool has_choice(const struct hd__topo *t) {
    return t->real && t->groups[HD__TOPO_NODE] > 1;
}

void *hd__numa_alloc(const struct hd__topo *t, size_t size, unsigned node) {
    size_t bytes = whole_pages(size);
    if (bytes == 0 || node >= t->groups[HD__TOPO_NODE]) return NULL;
    void *p = hd__os_map(bytes);
    if (p && has_choice(t)) (void)hd__os_numa_bind(p, bytes, t->node_number[node]);
    return p;
}

void hd__numa_free(void *p, size_t size) {
    if (p) hd__os_unmap(p, whole_pages(size));
}

int hd__numa_node_of(const struct hd__topo *t, const void *address) {
    int number = hd__os_numa_node_of(address);
    if (number == -EPERM || number == -ENOSYS) {
        int state = hd__os_page_state(address);
        return t->real && t->groups[HD__TOPO_NODE] == 1 && state == 0 ? 0 : state ? state : number;
    }
    for (unsigned node = 0; number >= 0 && node < t->groups[HD__TOPO_NODE]; node++)
        if (t->node_number[node] == number) return (int)node;
    return number < 0 ? number : -ENOENT;
}

const char *hd__numa_bind_kind(const struct hd__topo *t) {
    if (!t->real) return "other machine";
    if (!has_choice(t)) return "one node";
    size_t page = hd__os_page_size();
    void *p = hd__os_map(page);
    if (!p) return "first touch";
    int err = hd__os_numa_bind(p, page, t->node_number[0]);
    hd__os_unmap(p, page);
    return err == -EPERM || err == -ENOSYS ? "first touch" : "mbind";
}
