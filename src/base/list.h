/* SPDX-License-Identifier: MIT */
/* An intrusive doubly linked list: a ring through its head. Not thread-safe; the field that holds
 * a head says its guard. A link that is in no list points at nothing (both NULL), so a link must
 * be zero or initialised before its first use, and hd__link_is_linked() can tell. */
#ifndef HD_SRC_BASE_LIST_H
#define HD_SRC_BASE_LIST_H

#include "base/base.h"

struct hd__link {
    struct hd__link *next, *prev;
};

struct hd__list {
    struct hd__link head; /* head.next is the first, head.prev the last */
};

static inline void hd__list_init(struct hd__list *list) {
    list->head.next = &list->head;
    list->head.prev = &list->head;
}

static inline bool hd__list_empty(const struct hd__list *list) {
    return list->head.next == &list->head;
}

static inline bool hd__link_is_linked(const struct hd__link *link) {
    return link->next != NULL;
}

static inline void hd__link_insert_between(struct hd__link *link, struct hd__link *prev,
                                           struct hd__link *next) {
    link->prev = prev;
    link->next = next;
    prev->next = link;
    next->prev = link;
}

static inline void hd__list_push_back(struct hd__list *list, struct hd__link *link) {
    hd__link_insert_between(link, list->head.prev, &list->head);
}

static inline void hd__list_push_front(struct hd__list *list, struct hd__link *link) {
    hd__link_insert_between(link, &list->head, list->head.next);
}

/* Takes the link out of whatever list it is in. */
static inline void hd__list_remove(struct hd__link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = NULL;
    link->prev = NULL;
}

/* The first link, or NULL; it stays in the list. */
static inline struct hd__link *hd__list_first(const struct hd__list *list) {
    return hd__list_empty(list) ? NULL : list->head.next;
}

/* The link after `link`, or NULL at the end. */
static inline struct hd__link *hd__list_next(const struct hd__list *list,
                                             const struct hd__link *link) {
    return link->next == &list->head ? NULL : link->next;
}

/* Takes the first link out, or returns NULL. */
static inline struct hd__link *hd__list_pop_front(struct hd__list *list) {
    struct hd__link *link = hd__list_first(list);
    if (link != NULL) {
        hd__list_remove(link);
    }
    return link;
}

#endif
