/* SPDX-License-Identifier: MIT */
/* Sorting what comes from the rings of several CPUs and from samples. Each source is nearly in
 * order by itself; they are drained one after the other, so what is a few milliseconds old is
 * complete. Older events than that are rare (a virtual CPU that was stopped between reading the
 * clock and publishing the record): they are counted, and go with the time of the last one. */
#include "probe/order.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

void probe_order_add(struct probe_order *o, const struct probe_event *e) {
    if (o->count == o->room) {
        o->room = o->room ? o->room * 2 : 256;
        o->list = lab_grow(o->list, o->room, sizeof(*o->list));
    }
    struct probe_queued *q = &o->list[o->count];
    q->e = *e;
    q->number = o->next++;
    q->text[0] = '\0';
    if (e->text) {
        strncpy(q->text, e->text, sizeof(q->text) - 1);
        q->text[sizeof(q->text) - 1] = '\0';
    }
    bool has_text = e->text != NULL;
    q->e.text = has_text ? "" : NULL; /* where it is is known when it goes */
    if (o->sorted == o->count && (o->count == 0 || q[-1].e.ns <= q->e.ns))
        o->sorted++;
    o->count++;
}

static int earlier(const void *a, const void *b) {
    const struct probe_queued *x = a, *y = b;
    if (x->e.ns != y->e.ns)
        return x->e.ns < y->e.ns ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void probe_order_release(struct probe_order *o, uint64_t until_ns, probe_sink *sink, void *arg) {
    if (o->sorted < o->count)
        qsort(o->list, o->count, sizeof(*o->list), earlier);
    o->sorted = o->count;
    size_t n = 0;
    for (; n < o->count && o->list[n].e.ns <= until_ns; n++) {
        struct probe_event e = o->list[n].e;
        if (e.text)
            e.text = o->list[n].text;
        if (e.ns < o->out_ns) {
            e.ns = o->out_ns;
            o->late++;
        }
        o->out_ns = e.ns;
        sink(arg, &e);
    }
    if (n > 0)
        memmove(o->list, o->list + n, (o->count - n) * sizeof(*o->list));
    o->count -= n;
    o->sorted = o->count;
}

void probe_order_free(struct probe_order *o) {
    free(o->list);
    *o = (struct probe_order){0};
}
