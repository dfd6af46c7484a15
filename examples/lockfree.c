/* SPDX-License-Identifier: MIT */
/* A pipeline without locks: kernel threads that know nothing of the runtime put lines into a queue,
 * threads count their words by the rules that are in force, and a writer replaces the rules
 * meanwhile. Free results are kept in a stack.
 *
 *     hd_queue     from producers to consumers, any number of both
 *     hd_stack     results that are used again
 *     hd_hazard    the rules: who reads them keeps them from being freed
 *     hd_seqlock   the totals, which anybody may copy as one write left them */
#include <heddle/heddle.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRODUCERS = 2, CONSUMERS = 4, LINES = 20000 };

struct rules {
    hd_retired retired;
    char separator;
};

struct totals {
    uint64_t lines, words;
};

static hd_queue *lines;
static hd_stack unused = HD_STACK_INIT;
static struct rules *rules;
static hd_seqlock totals_lock = HD_SEQLOCK_INIT;
static struct totals totals;

static struct rules *rules_new(char separator) {
    struct rules *r = malloc(sizeof *r);
    if (!r) abort();
    r->separator = separator;
    return r;
}

static void *produce(void *arg) {
    for (int i = 0; i < LINES; i++)
        if (hd_queue_push(lines, i % 2 ? "one two three" : "four,five") != 0) abort();
    return arg;
}

static uint64_t count_words(const char *line) {
    hd_hazard *h = hd_hazard_acquire();
    const struct rules *r = hd_hazard_protect(h, &rules); /* not freed until the release */
    uint64_t words = 1;
    for (; *line; line++) words += *line == ' ' || *line == r->separator;
    hd_hazard_release(h);
    return words;
}

static void *consume(void *arg) {
    for (;;) {
        void *line, *result;
        while (!hd_queue_pop(lines, &line)) hd_yield();
        if (!line) return arg;
        if (!hd_stack_pop(&unused, &result)) result = malloc(sizeof(struct totals));
        struct totals *t = result;
        if (!t) abort();
        t->words = count_words(line);
        hd_seqlock_write_begin(&totals_lock); /* writers exclude each other */
        HD_SEQ_STORE(&totals.lines, totals.lines + 1);
        HD_SEQ_STORE(&totals.words, totals.words + t->words);
        hd_seqlock_write_end(&totals_lock);
        if (hd_stack_push(&unused, t) != 0) free(t);
    }
}

static int work(void *arg) {
    pthread_t producers[PRODUCERS];
    hd_thread *consumers[CONSUMERS];
    struct totals now = {0, 0};
    (void)arg;
    for (int i = 0; i < CONSUMERS; i++) hd_spawn(&consumers[i], NULL, consume, NULL);
    for (int i = 0; i < PRODUCERS; i++) pthread_create(&producers[i], NULL, produce, NULL);
    while (now.lines < PRODUCERS * LINES) {
        struct rules *old = __atomic_exchange_n(&rules, rules_new(','), __ATOMIC_SEQ_CST);
        hd_hazard_retire(&old->retired, old, free);
        hd_seqlock_read(&totals_lock, &now, &totals, sizeof now);
        hd_sleep_for(100000);
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(producers[i], NULL);
    for (int i = 0; i < CONSUMERS; i++) hd_queue_push(lines, NULL);
    for (int i = 0; i < CONSUMERS; i++) hd_join(consumers[i], NULL);
    printf("%llu lines, %llu words\n", (unsigned long long)now.lines,
           (unsigned long long)now.words);
    return now.words == PRODUCERS * (LINES / 2) * (3 + 2) ? 0 : 1;
}

static void free_result(void *result, void *arg) {
    (void)arg;
    free(result);
}

int main(void) {
    if (hd_queue_create(&lines) != 0) return 1;
    rules = rules_new(',');
    int result = hd_run(HD_CONFIG(.workers = 2), work, NULL);
    hd_stack_drain(&unused, free_result, NULL);
    hd_queue_destroy(lines);
    free(rules);
    hd_hazard_flush();
    return result;
}
