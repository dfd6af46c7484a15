/* SPDX-License-Identifier: MIT */
/* A ring that the kernel writes records into: one page of positions, then the records. The kernel
 * publishes data_head after the records (pairs with the acquire below), and reuses what lies before
 * data_tail (the release below comes after the last read). */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/perf.h"

int probe_ring_open(struct probe_ring *r, int fd, int cpu, size_t pages) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int error = -EINVAL;
    for (; pages > 0; pages /= 2) {
        void *base = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            *r = (struct probe_ring){.base = base, .bytes = pages * page, .fd = fd, .cpu = cpu};
            return (int)pages;
        }
        error = -errno;
        if (errno != EPERM && errno != ENOMEM && errno != EAGAIN)
            break;
    }
    return error;
}

void probe_ring_close(struct probe_ring *r) {
    if (r->base)
        munmap(r->base, r->bytes + (size_t)sysconf(_SC_PAGESIZE));
    r->base = NULL;
}

int probe_ring_add(const struct probe_ring *r, int fd) {
    return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, r->fd) == 0 ? 0 : -errno;
}

/* What each record but a sample ends in. */
struct trailer {
    uint32_t pid, tid;
    uint64_t time;
    uint32_t cpu, reserved;
};

/* A sample of a watchpoint, after its header. */
struct written {
    uint32_t pid, tid;
    uint64_t time, address;
    uint32_t cpu, reserved;
};

/* PERF_RECORD_FORK and PERF_RECORD_EXIT. */
struct task {
    uint32_t pid, ppid, tid, ptid;
    uint64_t time;
};

/* Reads one record; false if it is of no interest. */
static bool decode(const struct perf_event_header *h, struct probe_record *out) {
    const char *body = (const char *)(h + 1);
    size_t size = h->size - sizeof(*h);
    struct trailer t = {0};
    *out = (struct probe_record){0};
    if (h->type == PERF_RECORD_SAMPLE) {
        struct written s;
        if (size < sizeof(s))
            return false;
        memcpy(&s, body, sizeof(s));
        out->kind = PROBE_RECORD_WRITE;
        out->pid = (pid_t)s.pid;
        out->tid = (pid_t)s.tid;
        out->ns = s.time;
        out->value = s.address;
        out->cpu = (int)s.cpu;
        return true;
    }
    if (size < sizeof(t))
        return false;
    memcpy(&t, body + size - sizeof(t), sizeof(t));
    out->pid = (pid_t)t.pid;
    out->tid = (pid_t)t.tid;
    out->ns = t.time;
    out->cpu = (int)t.cpu;
    if (h->type == PERF_RECORD_SWITCH) {
        bool off = h->misc & PERF_RECORD_MISC_SWITCH_OUT;
        out->kind = off ? PROBE_RECORD_OFF : PROBE_RECORD_ON;
        out->preempted = h->misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
        return true;
    }
    if (h->type == PERF_RECORD_FORK || h->type == PERF_RECORD_EXIT) {
        struct task k;
        if (size < sizeof(k) + sizeof(t))
            return false;
        memcpy(&k, body, sizeof(k));
        out->kind = h->type == PERF_RECORD_FORK ? PROBE_RECORD_FORK : PROBE_RECORD_EXIT;
        out->pid = (pid_t)k.pid;
        out->tid = (pid_t)k.tid;
        out->parent = (pid_t)k.ppid;
        out->value = k.ptid;
        return true;
    }
    if (h->type == PERF_RECORD_COMM && size > 8 + sizeof(t)) {
        size_t room = size - 8 - sizeof(t);
        memcpy(out->text, body + 8, room < sizeof(out->text) ? room : sizeof(out->text));
        out->text[sizeof(out->text) - 1] = '\0';
        memcpy(&out->pid, body, 4);
        memcpy(&out->tid, body + 4, 4);
        out->kind = h->misc & PERF_RECORD_MISC_COMM_EXEC ? PROBE_RECORD_EXEC : PROBE_RECORD_NAME;
        return true;
    }
    if (h->type == PERF_RECORD_LOST || h->type == PERF_RECORD_LOST_SAMPLES) {
        size_t at = h->type == PERF_RECORD_LOST ? 8 : 0;
        if (size < at + 8 + sizeof(t))
            return false;
        memcpy(&out->value, body + at, 8);
        out->kind = PROBE_RECORD_LOST;
        return true;
    }
    return false;
}

void probe_ring_drain(struct probe_ring *r, probe_record_sink *sink, void *arg) {
    struct perf_event_mmap_page *meta = r->base;
    const char *data = (const char *)r->base + sysconf(_SC_PAGESIZE);
    uint64_t head = __atomic_load_n(&meta->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = meta->data_tail;
    char whole[512] __attribute__((aligned(8)));
    while (tail < head) {
        size_t at = tail & (r->bytes - 1);
        const struct perf_event_header *h = (const void *)(data + at);
        size_t size = h->size;
        if (size < sizeof(*h))
            break; /* cannot be; going on would never end */
        if (at + size > r->bytes && size <= sizeof(whole)) {
            size_t first = r->bytes - at;
            memcpy(whole, data + at, first);
            memcpy(whole + first, data, size - first);
            h = (const void *)whole;
        }
        struct probe_record record;
        if ((at + size <= r->bytes || h == (const void *)whole) && decode(h, &record))
            sink(arg, &record);
        tail += size;
    }
    __atomic_store_n(&meta->data_tail, tail, __ATOMIC_RELEASE);
}
