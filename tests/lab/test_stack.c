/* SPDX-License-Identifier: MIT */
/* Stacks as a tree (lab/probe/stack.h). */
#include <stdio.h>
#include <string.h>

#include "probe/stack.h"
#include "test.h"

static uint32_t push(struct probe_stacks *s, uint32_t outer, const char *function, int line) {
    return probe_stacks_push(s, outer,
                             &(struct probe_frame){.function = function, .file = "a.py",
                                                   .line = line, .op = line * 2});
}

TEST(stacks_that_share_their_outer_part_share_its_nodes) {
    struct probe_stacks *s = probe_stacks_new(100);
    uint32_t root = push(s, 0, "main", 1);
    uint32_t a = push(s, root, "f", 2), b = push(s, root, "g", 2);
    CHECK(root != 0 && a != b && a != root);
    CHECK(probe_stacks_outer(s, a) == root && probe_stacks_outer(s, b) == root);
    CHECK(probe_stacks_outer(s, root) == 0);
    CHECK(push(s, 0, "main", 1) == root);
    CHECK(push(s, root, "f", 2) == a);
    CHECK(push(s, root, "f", 3) != a); /* another line */
    CHECK(push(s, b, "f", 2) != a);    /* another caller */
    probe_stacks_free(s);
}

TEST(strings_are_copied_and_may_be_missing) {
    struct probe_stacks *s = probe_stacks_new(100);
    char name[] = "first";
    uint32_t a = probe_stacks_push(s, 0, &(struct probe_frame){.function = name, .op = -1});
    memcpy(name, "other", sizeof(name));
    uint32_t b = probe_stacks_push(s, 0, &(struct probe_frame){.function = name, .op = -1});
    CHECK(a != b);
    CHECK(strcmp(probe_stacks_frame(s, a)->function, "first") == 0);
    CHECK(probe_stacks_frame(s, a)->file == NULL);
    CHECK(probe_stacks_frame(s, a)->op == -1);
    uint32_t none = probe_stacks_push(s, 0, &(struct probe_frame){.line = 7});
    CHECK(probe_stacks_frame(s, none)->function == NULL);
    CHECK(probe_stacks_push(s, 0, &(struct probe_frame){.line = 7}) == none);
    probe_stacks_free(s);
}

TEST(many_nodes_are_all_found_again_where_they_were) {
    enum { N = 20000 };
    struct probe_stacks *s = probe_stacks_new(N);
    const struct probe_frame *early = probe_stacks_frame(s, push(s, 0, "f0", 0));
    uint32_t outer = 0;
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i % 999);
        outer = push(s, i % 50 ? outer : 0, name, i);
    }
    CHECK(probe_stacks_lost(s) == 0);
    CHECK(strcmp(early->function, "f0") == 0); /* frames do not move */
    uint32_t again = 0;
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i % 999);
        again = push(s, i % 50 ? again : 0, name, i);
        CHECK(probe_stacks_frame(s, again)->line == i);
    }
    CHECK(again == outer && probe_stacks_lost(s) == 0);
    probe_stacks_free(s);
}

TEST(what_does_not_fit_is_one_frame_and_is_counted) {
    struct probe_stacks *s = probe_stacks_new(2);
    uint32_t a = push(s, 0, "a", 1), b = push(s, a, "b", 1);
    uint32_t lost = push(s, b, "c", 1);
    CHECK(probe_stacks_lost(s) == 1);
    CHECK(strcmp(probe_stacks_frame(s, lost)->function, "[more stacks]") == 0);
    CHECK(push(s, lost, "d", 1) == lost);
    CHECK(probe_stacks_lost(s) == 2);
    CHECK(push(s, 0, "a", 1) == a && push(s, a, "b", 1) == b); /* those that are there still are */
    CHECK(push(s, 0, "a", 2) == lost);
    CHECK(push(s, 0, "elsewhere", 1) == lost);
    /* A frame without names is not mistaken for one whose names are not kept. */
    CHECK(probe_stacks_push(s, 0, &(struct probe_frame){.line = 1, .op = 2}) == lost);
    CHECK(probe_stacks_outer(s, lost) == 0);
    probe_stacks_free(s);
}
