/* SPDX-License-Identifier: MIT */
/* getaddrinfo() on a helper thread. It cannot be told to stop, so a thread that gives up leaves it
 * behind: everything that it uses is copied, and what it finds then is freed by the helper. */
#include <errno.h>
#include <string.h>

#include "io/io.h"
#include "os/mem.h"
#include "os/resolve.h"

struct lookup {
    struct hd__io_job job;
    const char *node, *service; /* in `text`, or NULL */
    bool hinted;
    struct addrinfo hints;
    struct addrinfo *list;
    int code, err;
    char text[];
};

static ssize_t look_up(struct hd__io_job *job) {
    struct lookup *l = hd__container_of(job, struct lookup, job);
    l->list = NULL;
    l->code = hd__os_getaddrinfo(l->node, l->service, l->hinted ? &l->hints : NULL, &l->list,
                                 &l->err);
    return 0;
}

static void release(struct hd__io_job *job) {
    struct lookup *l = hd__container_of(job, struct lookup, job);
    if (l->code == 0) hd__os_freeaddrinfo(l->list);
    hd__os_free(l);
}

static const char *copy(char **to, const char *text) {
    if (!text) return NULL;
    size_t bytes = strlen(text) + 1;
    char *at = memcpy(*to, text, bytes);
    *to += bytes;
    return at;
}

static struct lookup *lookup_create(const char *node, const char *service,
                                    const struct addrinfo *hints) {
    size_t bytes = (node ? strlen(node) + 1 : 0) + (service ? strlen(service) + 1 : 0);
    struct lookup *l = hd__os_calloc(1, sizeof *l + bytes);
    if (!l) return NULL;
    char *to = l->text;
    l->node = copy(&to, node);
    l->service = copy(&to, service);
    l->hinted = hints != NULL;
    if (hints) l->hints = *hints;
    l->job.fn = look_up;
    l->job.release = release;
    return l;
}

static int look_up_until(const char *node, const char *service, const struct addrinfo *hints,
                         struct addrinfo **list, int *err, uint64_t deadline_ns,
                         const void *site) {
    int ignored;
    bool left;
    if (!err) err = &ignored;
    *err = 0;
    struct hd__worker *w = hd__sched_enter();
    HD__IO_COUNT(w, submitted);
    struct lookup *l = lookup_create(node, service, hints);
    int code = EAI_MEMORY;
    if (l) {
        ssize_t r = hd__io_help(w, &l->job, deadline_ns, "address of a host", site, &left);
        code = r == 0 ? l->code : EAI_SYSTEM;
        *err = r == 0 ? l->err : (int)r;
        if (code == 0) *list = l->list;
        if (!left) hd__os_free(l);
    }
    hd__sched_leave();
    hd__sched_hostile_point();
    return code;
}

int hd_getaddrinfo_until(const char *node, const char *service, const struct addrinfo *hints,
                         struct addrinfo **list, int *err, uint64_t deadline_ns) {
    return look_up_until(node, service, hints, list, err, deadline_ns,
                         __builtin_return_address(0));
}

int hd_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                   struct addrinfo **list, int *err) {
    return look_up_until(node, service, hints, list, err, HD_FOREVER, __builtin_return_address(0));
}
