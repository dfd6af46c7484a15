/* SPDX-License-Identifier: MIT */
/* A scheduling policy of one's own: earliest deadline first (Liu and Layland, 1973). The rank of a
 * thread is its deadline, so whoever is due first runs first, and a thread that becomes runnable
 * interrupts one that is due later.
 *
 * Three periodic tasks need 65 % of one worker between them, and none misses a deadline if the
 * machine does nothing else. Under "rr" the camera would: it waits for the slices of the others. */
#include <heddle/heddle.h>

#include <stdio.h>

#define MS UINT64_C(1000000)

static uint64_t by_deadline(const struct hd_policy_thread *t, int why) {
    (void)why;
    return t->value ? t->value : UINT64_MAX; /* who has no deadline comes last */
}

struct task {
    const char *name;
    uint64_t period_ns, work_ns;
    unsigned jobs, late;
};

static uint64_t start_ns;

/* So much computing as takes so long on a CPU that does nothing else. */
static void compute(uint64_t ns) {
    for (uint64_t done = 0, last = hd_now_ns(); done < ns;) {
        uint64_t now = hd_now_ns();
        if (now - last < MS / 10) /* else we were not running */
            done += now - last;
        last = now;
    }
}

static void *run_task(void *arg) {
    struct task *task = arg;
    for (unsigned i = 0; i < task->jobs; i++) {
        uint64_t release = start_ns + i * task->period_ns, due = release + task->period_ns;
        hd_thread_set_value(hd_self(), due);
        hd_sleep_until(release);
        compute(task->work_ns);
        if (hd_now_ns() > due)
            task->late++;
    }
    return NULL;
}

static int run(void *arg) {
    struct task tasks[] = {{"camera", 20 * MS, 5 * MS, 50, 0},
                           {"control", 100 * MS, 20 * MS, 10, 0},
                           {"planner", 200 * MS, 40 * MS, 5, 0}};
    hd_thread *threads[3];
    (void)arg;
    start_ns = hd_now_ns() + 10 * MS;
    for (int i = 0; i < 3; i++)
        if (hd_spawn(&threads[i], HD_ATTR(.name = tasks[i].name, .value = start_ns), run_task,
                     &tasks[i]) != 0)
            return 1;
    for (int i = 0; i < 3; i++) {
        hd_join(threads[i], NULL);
        printf("%-8s %2u of %2u jobs late\n", tasks[i].name, tasks[i].late, tasks[i].jobs);
    }
    return 0;
}

int main(void) {
    int err = hd_policy_register(HD_POLICY(.name = "edf", .summary = "earliest deadline first",
                                           .rank = by_deadline));
    if (!err)
        err = hd_run(HD_CONFIG(.workers = 1, .policy = "edf"), run, NULL);
    if (err < 0)
        fprintf(stderr, "policy_edf: %s\n", hd_strerror(err));
    return err != 0;
}
