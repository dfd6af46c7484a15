/* SPDX-License-Identifier: MIT */
/* Buffers from pools with limits: readers take a small buffer for each message, a writer gathers
 * messages in a medium one, and whoever is last with a buffer frees it. When the writer falls
 * behind and the small ones are used up, messages are dropped instead of memory growing.
 *
 *     cc pools.c $(pkg-config --cflags --libs heddle) && HEDDLE_POOL_DEBUG=1 ./a.out
 *
 * With HEDDLE_POOL_DEBUG=1 the forgotten buffer at the end is reported, with the thread's name. */
#include <heddle/heddle.h>

#include <stdio.h>
#include <string.h>

enum { READERS = 4, MESSAGES = 5000, SMALL = 64, MEDIUM = 1024 };

static hd_pool *small, *medium;
static hd_chan *messages; /* of char *, each from `small` */

static void *read_messages(void *arg) {
    long dropped = 0;
    for (int i = 0; i < MESSAGES; i++) {
        char *message = hd_pool_alloc(small);
        if (!message) {
            dropped++;
            continue;
        }
        snprintf(message, SMALL, "%s: message %d", (const char *)arg, i);
        if (hd_chan_send(messages, &message) != 0)
            hd_pool_free(small, message);
        if (i % 500 == 499)
            hd_yield();
    }
    return (void *)dropped;
}

/* Gathers messages in a medium buffer, and counts their bytes when it is full. */
static void *write_messages(void *arg) {
    char *message, *buffer = hd_pool_alloc(medium);
    long *bytes = arg;
    size_t used = 0;
    while (buffer && hd_chan_recv(messages, &message) == 0) {
        size_t length = strlen(message);
        if (used + length > MEDIUM) {
            *bytes += (long)used;
            used = 0;
        }
        memcpy(buffer + used, message, length);
        used += length;
        hd_pool_free(small, message); /* another thread took it */
    }
    *bytes += (long)used;
    hd_pool_free(medium, buffer);
    return NULL;
}

static int run(void *arg) {
    static const char *const names[READERS] = {"north", "east", "south", "west"};
    hd_thread *readers[READERS], *writer;
    long bytes = 0, dropped = 0;
    (void)arg;
    messages = hd_chan_create(sizeof(char *), READERS * MESSAGES);
    if (!messages || hd_spawn(&writer, HD_ATTR(.name = "writer"), write_messages, &bytes) != 0)
        return 1;
    for (int i = 0; i < READERS; i++)
        if (hd_spawn(&readers[i], HD_ATTR(.name = names[i]), read_messages, (void *)names[i]) != 0)
            return 1;
    for (int i = 0; i < READERS; i++) {
        void *result;
        hd_join(readers[i], &result);
        dropped += (long)result;
    }
    hd_chan_close(messages);
    hd_join(writer, NULL);
    hd_chan_destroy(messages);

    struct hd_pool_stats s = HD_POOL_STATS_INIT;
    hd_pool_stats(small, &s);
    printf("%ld bytes written, %ld messages dropped; %llu of %llu small buffers are in use\n",
           bytes, dropped, (unsigned long long)s.in_use, (unsigned long long)s.capacity);
    char *forgotten = hd_pool_alloc(small);
    return forgotten ? 0 : 1;
}

int main(void) {
    int err = hd_pool_create(&small, HD_POOL_ATTR(.object_size = SMALL, .capacity = 1000,
                                                  .name = "small"));
    if (!err)
        err = hd_pool_create(&medium, HD_POOL_ATTR(.object_size = MEDIUM, .capacity = 100,
                                                   .name = "medium"));
    if (err) {
        fprintf(stderr, "hd_pool_create: %s\n", hd_strerror(err));
        return 1;
    }
    int result = hd_run(NULL, run, NULL);
    hd_pool_destroy(medium);
    hd_pool_destroy(small);
    return result;
}
