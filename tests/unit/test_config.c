/* SPDX-License-Identifier: MIT */
/* The configuration: what is taken, from where, and what is said of what is not. */
#include "runtime_test.h"

/* The line that hd_config_check() gives; "" if all is well. */
static const char *why(const struct hd_config *cfg) {
    static char text[200];
    memset(text, 'x', sizeof text);
    int err = hd_config_check(cfg, text, sizeof text);
    CHECK_EQ(err, text[0] ? -EINVAL : 0);
    return text;
}

TEST(a_member_out_of_range_is_named) {
    CHECK_STR_EQ(why(NULL), "");
    CHECK_STR_EQ(why(HD_CONFIG(.workers = 3, .policy = "rr", .io = HD_IO_EPOLL)), "");
    CHECK_STR_EQ(why(HD_CONFIG(.workers = 1025)),
                 "hd_config.workers = 1025 is not within 1 to 1024");
    CHECK_STR_EQ(why(HD_CONFIG(.slice_us = 99)),
                 "hd_config.slice_us = 99 is not within 100 to 1000000 or none");
    CHECK_STR_EQ(why(HD_CONFIG(.slice_us = HD_SLICE_NONE, .spin_us = HD_SPIN_NONE)), "");
    CHECK_STR_HAS(why(HD_CONFIG(.stack_size = 1)), "hd_config.stack_size = 1 is not within ");
    CHECK_STR_HAS(why(HD_CONFIG(.deadlock = -1)), "hd_config.deadlock = -1 is not within 0 to 2");
    CHECK_STR_HAS(why(HD_CONFIG(.bind_workers = 2)), "hd_config.bind_workers = 2");
    CHECK_STR_HAS(why(HD_CONFIG(.preempt = 4)), "hd_config.preempt = 4 is not within 1 to 3");
    CHECK_STR_HAS(why(HD_CONFIG(.preempt_signal = SIGKILL)), "hd_config.preempt_signal = 9");
    CHECK_STR_HAS(why(HD_CONFIG(.preempt_signal = 33)), "hd_config.preempt_signal = 33");
    CHECK_STR_EQ(why(HD_CONFIG(.preempt_signal = SIGRTMIN)), "");
    CHECK_STR_HAS(why(HD_CONFIG(.io = 3)), "hd_config.io = 3");
    CHECK_STR_HAS(why(HD_CONFIG(.carriers_max = 30001)), "hd_config.carriers_max = 30001");
    CHECK_STR_HAS(why(HD_CONFIG(.workers = 3, .carriers_max = 2)), "fewer than the workers (3)");
    CHECK_STR_HAS(why(HD_CONFIG(.ageing_us = 1000)),
                  "hd_config.ageing_us = 1000 is for policy priority, and the policy is steal");
    CHECK_STR_HAS(why(HD_CONFIG(.ageing_us = 1000, .policy = "rr")), "the policy is rr");
    CHECK_STR_EQ(why(HD_CONFIG(.ageing_us = 1000, .policy = "priority")), "");
    CHECK_STR_HAS(why(HD_CONFIG(.ageing_us = 1000000001)), "hd_config.ageing_us = 1000000001");
    CHECK_STR_HAS(why(HD_CONFIG(.steal_batch = 65)), "hd_config.steal_batch = 65");
    CHECK_STR_HAS(why(HD_CONFIG(.queue_size = 15)), "hd_config.queue_size = 15");
    CHECK_STR_HAS(why(HD_CONFIG(.policy = "cfs")), "hd_config.policy = \"cfs\" is no policy");
    CHECK_STR_HAS(why(&(struct hd_config){.size = 1}), "HD_CONFIG()");
    CHECK_ERR(hd_config_check(HD_CONFIG(.io = 3), NULL, 0), -EINVAL);
    char little[8];
    CHECK_ERR(hd_config_check(HD_CONFIG(.io = 3), little, sizeof little), -EINVAL);
    CHECK_STR_EQ(little, "hd_conf");
}

static const char *with(const char *variable, const char *text) {
    setenv(variable, text, 1);
    const char *line = why(NULL);
    unsetenv(variable);
    return line;
}

TEST(a_variable_that_is_wrong_is_named) {
    CHECK_STR_EQ(with("HEDDLE_WORKERS", "two"),
                 "HEDDLE_WORKERS=two is not a number from 1 to 1024");
    CHECK_STR_EQ(with("HEDDLE_WORKERS", "0"), "HEDDLE_WORKERS=0 is not a number from 1 to 1024");
    CHECK_STR_EQ(with("HEDDLE_SLICE_US", "1s"),
                 "HEDDLE_SLICE_US=1s is not a number from 100 to 1000000 or none");
    CHECK_STR_EQ(with("HEDDLE_PREEMPT", "heavy"),
                 "HEDDLE_PREEMPT=heavy is not carrier, light or off");
    CHECK_STR_EQ(with("HEDDLE_IO", "aio"), "HEDDLE_IO=aio is not auto, io_uring or epoll");
    CHECK_STR_EQ(with("HEDDLE_BIND_WORKERS", "1"), "HEDDLE_BIND_WORKERS=1 is not no or yes");
    CHECK_STR_HAS(with("HEDDLE_POLICY", "cfs"), "HEDDLE_POLICY=cfs is no policy");
    CHECK_STR_HAS(with("HEDDLE_CARRIERS_MAX", "30001"), "HEDDLE_CARRIERS_MAX=30001");
    CHECK_STR_HAS(with("HEDDLE_PREEMPT_SIGNAL", "9"), "HEDDLE_PREEMPT_SIGNAL = 9 cannot be used");
    setenv("HEDDLE_WORKERS", "2", 1);
    CHECK_STR_EQ(with("HEDDLE_CARRIERS_MAX", "1"),
                 "HEDDLE_CARRIERS_MAX = 1 is fewer than the workers (2)");
    unsetenv("HEDDLE_WORKERS");
    CHECK_STR_EQ(with("HEDDLE_AGEING_US", "1000"),
                 "HEDDLE_AGEING_US = 1000 is for policy priority, and the policy is steal");
    CHECK_STR_EQ(with("HEDDLE_WORKERS", ""), "");
    CHECK_STR_EQ(with("HEDDLE_SLICE_US", "none"), "");
    CHECK_STR_EQ(with("HEDDLE_STACK_SIZE", "128k"), "");
}

static struct hd_config seen;

static int look(void *arg) {
    (void)arg;
    seen = (struct hd_config){.size = sizeof seen};
    CHECK_OK(hd_config_get(&seen));
    return 0;
}

TEST(the_effective_configuration) {
    CHECK_ERR(hd_config_get(HD_CONFIG()), -EINVAL);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 2), look, NULL));
    CHECK_EQ(seen.workers, 2);
    CHECK_EQ(seen.slice_us, 10000);
    CHECK_STR_EQ(seen.policy, "steal");
    CHECK_EQ(seen.stack_size, 65536);
    CHECK_EQ(seen.spin_us, 20);
    CHECK_EQ(seen.preempt, HD_PREEMPT_CARRIER);
    CHECK_EQ(seen.preempt_signal, SIGURG);
    CHECK_EQ(seen.carriers_max, 4098);
    CHECK_EQ(seen.steal_batch, 32);
    CHECK_EQ(seen.queue_size, 1024);
    CHECK_EQ(seen.prefetch, HD_PREFETCH_ON);
    CHECK_EQ(seen.ageing_us, 0);
    CHECK_ERR(hd_config_get(HD_CONFIG()), -EINVAL);
}

static int change_the_slice(void *arg) {
    CHECK_OK(hd_slice_set(500));
    look(arg);
    CHECK_EQ(seen.slice_us, 500);
    struct hd_config no_size = {.size = 0};
    CHECK_ERR(hd_config_get(&no_size), -EINVAL);
    return 0;
}

/* The program's word counts more than the environment's, that more than the default. */
TEST(the_environment_speaks_where_the_program_does_not) {
    static const struct {
        const char *variable, *text;
    } set[] = {
        {"HEDDLE_WORKERS", "2"}, {"HEDDLE_SLICE_US", "none"}, {"HEDDLE_POLICY", "priority"},
        {"HEDDLE_STACK_SIZE", "128k"}, {"HEDDLE_SPIN_US", "none"}, {"HEDDLE_DEADLOCK", "ignore"},
        {"HEDDLE_BIND_WORKERS", "yes"}, {"HEDDLE_PREEMPT", "light"},
        {"HEDDLE_PREEMPT_SIGNAL", "10"}, {"HEDDLE_CARRIERS_MAX", "77"}, {"HEDDLE_IO", "epoll"},
        {"HEDDLE_AGEING_US", "1000"}, {"HEDDLE_PREFETCH", "off"},
        {"HEDDLE_STACK_IDLE_MAX", "16m"},
        {"HEDDLE_STEAL_BATCH", "4"}, {"HEDDLE_QUEUE_SIZE", "256"},
    };
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        setenv(set[i].variable, set[i].text, 1);
    CHECK_OK(hd_run(NULL, look, NULL));
    CHECK_EQ(seen.workers, 2);
    CHECK_EQ(seen.slice_us, HD_SLICE_NONE);
    CHECK_STR_EQ(seen.policy, "priority");
    CHECK_EQ(seen.stack_size, 128 * 1024);
    CHECK_EQ(seen.stack_idle_max, 16 << 20);
    CHECK_EQ(seen.spin_us, HD_SPIN_NONE);
    CHECK_EQ(seen.deadlock, HD_DEADLOCK_IGNORE);
    CHECK_EQ(seen.bind_workers, 1);
    CHECK_EQ(seen.preempt, HD_PREEMPT_LIGHT);
    CHECK_EQ(seen.preempt_signal, 10);
    CHECK_EQ(seen.carriers_max, 77);
    CHECK_EQ(seen.io, HD_IO_EPOLL);
    CHECK_EQ(seen.ageing_us, 1000);
    CHECK_EQ(seen.prefetch, HD_PREFETCH_OFF);
    CHECK_EQ(seen.steal_batch, 4);
    CHECK_EQ(seen.queue_size, 256);
    CHECK_OK(hd_run(HD_CONFIG(.workers = 3, .slice_us = 100, .policy = "rr"), look, NULL));
    CHECK_EQ(seen.workers, 3);
    CHECK_EQ(seen.slice_us, 100);
    CHECK_STR_EQ(seen.policy, "rr");
    CHECK_EQ(seen.stack_size, 128 * 1024);
    CHECK_OK(hd_run(NULL, change_the_slice, NULL));
}
