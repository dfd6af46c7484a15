/* SPDX-License-Identifier: MIT */
/* The kernel's books; books.h. */
#include "probe/books.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum { BOOKS_MAX = 1 << 14 };

static int read_text(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = read(fd, out, size - 1);
    int err = n < 0 ? -errno : -ESRCH;
    close(fd);
    if (n <= 0)
        return err;
    out[n] = '\0';
    return 0;
}

static uint64_t ticks_ns(uint64_t ticks) {
    static long per_s;
    if (per_s <= 0)
        per_s = sysconf(_SC_CLK_TCK) > 0 ? sysconf(_SC_CLK_TCK) : 100;
    return ticks * (1000000000u / (uint64_t)per_s);
}

/* "TID (NAME) STATE ..."; the name may hold anything. */
static int parse_stat(const char *text, struct probe_book *b) {
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    uint64_t user, system;
    if (!open || !close || close < open)
        return -EIO;
    size_t length = (size_t)(close - open - 1);
    length = length < sizeof b->name - 1 ? length : sizeof b->name - 1;
    memcpy(b->name, open + 1, length);
    b->name[length] = '\0';
    /* Fields 3, 14, 15, 22, 39 of proc(5). */
    if (sscanf(close + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
               " %*s %*s %*s %*s %*s %*s %" SCNu64
               " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d",
               &b->state, &user, &system, &b->begin_ticks, &b->cpu) != 5)
        return -EIO;
    b->user_ns = ticks_ns(user);
    b->system_ns = ticks_ns(system);
    return 0;
}

int probe_book_read(pid_t pid, pid_t tid, struct probe_book *out) {
    char path[80], text[1024];
    *out = (struct probe_book){.tid = tid};
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    int err = read_text(path, text, sizeof text);
    if (!err)
        err = parse_stat(text, out);
    if (err)
        return err;
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    out->exact = read_text(path, text, sizeof text) == 0 &&
                 sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &out->run_ns, &out->delay_ns,
                        &out->slices) == 3;
    return 0;
}

/* ---- kept ---- */

struct entry {
    struct probe_book first, last;
};

struct probe_books_kept {
    pid_t pid;
    struct entry *entry; /* sorted by tid; several of one tid by when they began */
    size_t count;
    uint64_t next_ns;
    bool seen;
    struct probe_book process_first, process_last;
};

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct probe_books_kept *probe_books_new(pid_t pid) {
    struct probe_books_kept *b = lab_alloc(1, sizeof *b);
    b->pid = pid;
    return b;
}

void probe_books_free(struct probe_books_kept *b) {
    if (!b)
        return;
    free(b->entry);
    free(b);
}

static int order(const struct probe_book *a, const struct probe_book *b) {
    if (a->tid != b->tid)
        return a->tid < b->tid ? -1 : 1;
    return (a->begin_ticks > b->begin_ticks) - (a->begin_ticks < b->begin_ticks);
}

static void keep(struct probe_books_kept *b, const struct probe_book *book, bool from_birth) {
    size_t low = 0, high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(&b->entry[middle].last, book) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < b->count && order(&b->entry[low].last, book) == 0) {
        b->entry[low].last = *book;
        return;
    }
    if (b->count == BOOKS_MAX)
        return;
    b->entry = lab_grow_one(b->entry, b->count, sizeof *b->entry);
    memmove(b->entry + low + 1, b->entry + low, (b->count - low) * sizeof *b->entry);
    b->entry[low] = (struct entry){.first = from_birth ? (struct probe_book){0} : *book,
                                   .last = *book};
    b->count++;
}

void probe_books_now(struct probe_books_kept *b) {
    char path[64], text[1024];
    struct dirent *e;
    struct probe_book book;
    snprintf(path, sizeof path, "/proc/%d/task", (int)b->pid);
    DIR *dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
        if (tid > 0 && probe_book_read(b->pid, tid, &book) == 0)
            keep(b, &book, b->seen);
    }
    if (dir)
        closedir(dir);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)b->pid);
    book = (struct probe_book){0};
    if (read_text(path, text, sizeof text) == 0 && parse_stat(text, &book) == 0) {
        if (!b->seen)
            b->process_first = book;
        b->process_last = book;
        b->seen = true;
    }
}

void probe_books_step(struct probe_books_kept *b, uint64_t at_ns) {
    if (at_ns < b->next_ns)
        return;
    uint64_t begun_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    probe_books_now(b);
    uint64_t cost_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - begun_ns;
    uint64_t pause_ns = cost_ns * 100;
    b->next_ns = at_ns + (pause_ns > 100000000 ? pause_ns : 100000000);
}

static struct probe_book difference(const struct probe_book *first, const struct probe_book *last) {
    struct probe_book d = *last;
    d.user_ns -= first->user_ns;
    d.system_ns -= first->system_ns;
    d.run_ns -= first->run_ns;
    d.delay_ns -= first->delay_ns;
    d.slices -= first->slices;
    return d;
}

bool probe_books_find(const struct probe_books_kept *b, pid_t tid, struct probe_book *out) {
    size_t low = 0, high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->entry[middle].last.tid < tid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == b->count || b->entry[low].last.tid != tid)
        return false;
    *out = difference(&b->entry[low].first, &b->entry[low].last);
    return true;
}

bool probe_books_process(const struct probe_books_kept *b, uint64_t *user_ns, uint64_t *system_ns) {
    struct probe_book d = difference(&b->process_first, &b->process_last);
    *user_ns = d.user_ns;
    *system_ns = d.system_ns;
    return b->seen;
}
