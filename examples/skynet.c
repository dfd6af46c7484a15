/* SPDX-License-Identifier: MIT */
/* A tree of threads: every inner one starts ten more, a million leaves return their numbers, and
 * every inner one adds up what its ten return.
 *
 * A worker runs the newest of its threads first, so the tree is walked depth-first: only a few
 * threads a level have a stack at a time, where oldest-first would need one for each leaf. Other
 * workers steal the oldest, which are the largest subtrees. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <heddle/heddle.h>

enum { BRANCHES = 10, LEAVES = 1000000 };

struct node {
    uint64_t first, leaves; /* the numbers that its leaves return */
    uint64_t sum;
};

static void *add_up(void *arg) {
    struct node *node = arg;
    if (node->leaves == 1) {
        node->sum = node->first;
        return NULL;
    }
    /* The children live here, on the stack of the thread that waits for them. */
    struct node child[BRANCHES];
    hd_thread *thread[BRANCHES];
    uint64_t each = node->leaves / BRANCHES;
    for (unsigned i = 0; i < BRANCHES; i++) {
        child[i] = (struct node){.first = node->first + i * each, .leaves = each};
        int err = hd_spawn(&thread[i], NULL, add_up, &child[i]);
        if (err) {
            fprintf(stderr, "skynet: cannot start a thread: %s\n", hd_strerror(err));
            exit(1);
        }
    }
    for (unsigned i = 0; i < BRANCHES; i++) {
        hd_join(thread[i], NULL);
        node->sum += child[i].sum;
    }
    return NULL;
}

static int program(void *arg) {
    struct node root = {.leaves = LEAVES};
    (void)arg;
    add_up(&root);
    printf("%d leaves add up to %" PRIu64 "\n", LEAVES, root.sum);
    return root.sum == (uint64_t)LEAVES * (LEAVES - 1) / 2 ? 0 : 1;
}

int main(void) {
    int result = hd_run(NULL, program, NULL);
    if (result < 0) fprintf(stderr, "skynet: %s\n", hd_strerror(result));
    return result == 0 ? 0 : 1;
}
