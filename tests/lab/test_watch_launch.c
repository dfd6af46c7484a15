/* SPDX-License-Identifier: MIT */
/* Commands that a watch launches: from their exec on, with their children, and their status. */
#include "watch_support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "message.h"

static int launch(char **command, struct seen *s) {
    struct probe_options o = {.command = command};
    struct probe_watch *w = watch(&o);
    int status = -2;
    to_the_end(w, s);
    bool records = w->records;
    probe_watch_close(w, &status);
    if (!records)
        SKIP("no records of the kernel's");
    return status;
}

TEST(a_command_is_watched_from_its_exec) {
    struct seen s = {0};
    char *command[] = {"sh", "-c", "exit 3", NULL};
    int status = launch(command, &s);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK_EQ(s.count[PROBE_THREAD], 1u);
    CHECK_EQ(s.count[PROBE_EXIT], 1u);
    CHECK_EQ(s.count[PROBE_EXEC], 0u); /* its own beginning is no event of it */
    CHECK(s.shell_named);
}

TEST(a_command_may_fork_and_exec) {
    struct seen s = {0};
    char *command[] = {"sh", "-c", "sleep 0; sleep 0; exec sleep 0.02", NULL};
    int status = launch(command, &s);
    CHECK_EQ(status, 0);
    CHECK_EQ(s.count[PROBE_FORK], 2u);
    CHECK_EQ(s.count[PROBE_THREAD], 1u);
    CHECK_EQ(s.count[PROBE_EXEC], 1u);
    CHECK(s.exec_named);
}

TEST(an_exec_is_seen_by_samples_too) {
    struct seen s = {0};
    char *command[] = {"sh", "-c", "sleep 0.4; exec sleep 0.5", NULL};
    struct probe_options o = {.command = command, .no_perf = true};
    struct probe_watch *w = watch(&o);
    to_the_end(w, &s);
    probe_watch_close(w, NULL);
    CHECK_EQ(s.count[PROBE_EXEC], 1u);
    CHECK(s.exec_named);
}

TEST(a_command_that_ends_by_a_signal_says_so) {
    struct seen s = {0};
    char *command[] = {"sh", "-c", "kill -TERM $$", NULL};
    int status = launch(command, &s);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(a_command_that_cannot_be_run_is_told_as_a_shell_would) {
    static const struct {
        const char *name;
        int error, status;
    } cases[] = {
        {"no-such-command-anywhere", -ENOENT, 127},
        {"/no/such/file", -ENOENT, 127},
        {"/etc/passwd", -EACCES, 126},
        {"/etc", -EACCES, 126},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *command[] = {(char *)cases[i].name, NULL};
        struct probe_options o = {.command = command};
        struct probe_watch *w;
        int error = probe_watch_open(&o, &w);
        CHECK_MSG(error == cases[i].error, "%s: %d", cases[i].name, error);
        CHECK_EQ(probe_watch_exit_status(&o, error), cases[i].status);
    }
    struct probe_options o = {.pid = 1};
    CHECK_EQ(probe_watch_exit_status(&o, -EINVAL), LAB_EXIT_USAGE);
    CHECK_EQ(probe_watch_exit_status(&o, -ENOENT), LAB_EXIT_UNMEASURED);
}

TEST(time_over_leaves_a_launched_target_alone) {
    char *command[] = {"sleep", "20", NULL};
    struct probe_options o = {.command = command, .for_s = 0.05};
    struct probe_watch *w = watch(&o);
    struct seen s = {0};
    int status = 0;
    to_the_end(w, &s);
    pid_t pid = probe_watch_pid(w);
    probe_watch_close(w, &status);
    CHECK_EQ(status, -1);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(children_of_a_command_are_followed) {
    struct seen s = {0};
    char *command[] = {"sh", "-c", "sleep 0.02 & sleep 0.02; wait", NULL};
    struct probe_options o = {.command = command, .follow = true};
    struct probe_watch *w = watch(&o);
    int status;
    to_the_end(w, &s);
    bool records = w->records;
    probe_watch_close(w, &status);
    CHECK_EQ(status, 0);
    if (!records)
        SKIP("no records of the kernel's");
    CHECK_EQ(s.count[PROBE_FORK], 2u);
    CHECK_EQ(s.count[PROBE_THREAD], 3u);
    CHECK_EQ(s.count[PROBE_EXIT], 3u);
    CHECK_EQ(s.count[PROBE_EXEC], 2u);
    CHECK(s.exec_named);
}
