/* SPDX-License-Identifier: MIT */
/* A configuration that many threads read all the time and one thread replaces now and then. Readers
 * take no lock: each request sees one whole configuration, the old or the new one. */
#include <heddle/heddle.h>

#include <stdio.h>
#include <stdlib.h>

struct config {
    hd_rcu_head rcu; /* first, so that it is the object's address */
    int version;
    int limit, timeout; /* always 10 and 100 times the version */
};

static struct config *current; /* replaced as a whole */
static hd_event done = HD_EVENT_INIT;
static hd_counter requests = HD_COUNTER_INIT;

static struct config *make(int version) {
    struct config *c = malloc(sizeof *c);
    if (c) *c = (struct config){.version = version, .limit = 10 * version,
                                .timeout = 100 * version};
    return c;
}

static void free_config(hd_rcu_head *head) {
    free(head);
}

/* Whether what it saw fits together. */
static bool handle_request(void) {
    hd_rcu_read_lock();
    const struct config *c = hd_rcu_dereference(current);
    bool good = c->limit == 10 * c->version && c->timeout == 100 * c->version;
    hd_rcu_read_unlock(); /* from here on c may be freed */
    hd_counter_add(&requests, 1);
    return good;
}

static void *serve(void *arg) {
    (void)arg;
    while (!hd_event_is_set(&done)) {
        if (!handle_request()) return "a reader saw half of a configuration";
        hd_yield();
    }
    return NULL;
}

static int update(int versions) {
    for (int version = 2; version <= versions; version++) {
        struct config *fresh = make(version);
        if (!fresh) return 1;
        struct config *old = hd_rcu_exchange(current, fresh);
        hd_rcu_call(&old->rcu, free_config); /* when nobody can be reading it any more */
        hd_sleep_for(100 * 1000);
    }
    return 0;
}

static int program(void *arg) {
    enum { READERS = 8 };
    hd_thread *readers[READERS];
    int *versions = arg, started = 0, result;
    current = make(1);
    if (!current) return 1;
    while (started < READERS && hd_spawn(&readers[started], NULL, serve, NULL) == 0) started++;
    result = update(*versions);
    hd_event_set(&done);
    for (int i = 0; i < started; i++) {
        void *complaint;
        hd_join(readers[i], &complaint);
        if (complaint) {
            fprintf(stderr, "%s\n", (char *)complaint);
            result = 1;
        }
    }
    hd_rcu_barrier();
    printf("%d versions, the last with limit %d\n", *versions, current->limit);
    free(current);
    return result;
}

int main(void) {
    int versions = 100;
    return hd_run(NULL, program, &versions);
}
