/* SPDX-License-Identifier: MIT */
/* A sum over an array that lies in parts on all NUMA nodes: each part is allocated on its node,
 * filled and summed up by threads that stay there. On a machine with one node the program is the
 * same, and costs no more than one that knows nothing of nodes.
 *
 *     cc numa.c $(pkg-config --cflags --libs heddle) && ./a.out
 *     HEDDLE_TOPOLOGY='node:2 core:1 pu:1' ./a.out       as if two CPUs were two nodes */
#include <heddle/heddle.h>

#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 1 << 20, THREADS = 4 }; /* of each node */

struct part {
    unsigned node;
    uint32_t *numbers;
};

struct share {
    const struct part *part;
    unsigned which;
    uint64_t sum;
};

static void *work(void *arg) {
    struct share *share = arg;
    uint32_t *numbers = share->part->numbers;
    size_t first = (size_t)share->which * NUMBERS / THREADS;
    size_t end = (size_t)(share->which + 1) * NUMBERS / THREADS;
    for (size_t i = first; i < end; i++)
        numbers[i] = (uint32_t)i; /* the first touch: here the page gets its place */
    for (size_t i = first; i < end; i++)
        share->sum += numbers[i];
    return NULL;
}

/* The threads of a node; its main thread runs there, too, and makes the others. */
static void *on_node(void *arg) {
    struct part *part = arg;
    struct share shares[THREADS];
    hd_thread *threads[THREADS];
    uint64_t *sum = calloc(1, sizeof *sum);
    part->numbers = hd_numa_alloc(NUMBERS * sizeof *part->numbers, part->node);
    if (!sum || !part->numbers)
        return sum;
    for (unsigned i = 0; i < THREADS; i++) {
        shares[i] = (struct share){part, i, 0};
        if (hd_spawn(&threads[i], HD_ATTR(.migration = HD_MIGRATE_NODE), work, &shares[i]) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        hd_join(threads[i], NULL);
        *sum += shares[i].sum;
    }
    int lies_on = hd_numa_node_of(part->numbers);
    printf("node %u: its numbers lie on node %d\n", part->node, lies_on);
    hd_numa_free(part->numbers, NUMBERS * sizeof *part->numbers);
    return sum;
}

static int run(void *arg) {
    unsigned nodes = hd_numa_node_count();
    struct part *parts = calloc(nodes, sizeof *parts);
    hd_thread **threads = calloc(nodes, sizeof *threads);
    uint64_t sum = 0, expected = (uint64_t)NUMBERS * (NUMBERS - 1) / 2;
    unsigned used = 0;
    (void)arg;
    if (!parts || !threads)
        return 1;
    for (unsigned node = 0; node < nodes; node++) {
        parts[used].node = node;
        /* A node may have no CPU, or none that we may use. */
        if (hd_spawn(&threads[used], HD_ATTR(.name = "node", .numa_node = (int)node + 1), on_node,
                     &parts[used]) == 0)
            used++;
    }
    for (unsigned i = 0; i < used; i++) {
        void *part = NULL;
        hd_join(threads[i], &part);
        sum += part ? *(uint64_t *)part : 0;
        free(part);
    }
    free(parts);
    free(threads);
    printf("%u of %u nodes (%s, %s): the sum is %s\n", used, nodes, hd_topology_source(),
           hd_numa_bind_kind(), sum == used * expected ? "right" : "wrong");
    return sum != used * expected || used == 0;
}

int main(void) {
    return hd_run(NULL, run, NULL);
}
