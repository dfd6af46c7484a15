/* SPDX-License-Identifier: MIT */
/* The words that made-up figures are put into, and the text around them. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/verdict.h"
#include "timeline_support.h"

static const struct probe_python_facts python311 = {.major = 3,
                                                    .minor = 11,
                                                    .micro = 2,
                                                    .stacks = true,
                                                    .has_gil_number = true,
                                                    .switch_interval_us = 5000};

static struct probe_stacks *stacks;
static double stopped;

static uint32_t push(uint32_t outer, const char *function, const char *file, int line) {
    struct probe_frame f = {.function = function, .file = file, .line = line};
    return probe_stacks_push(stacks, outer, &f);
}

/* The report as text; the caller frees. */
static char *report(const struct probe_python_facts *python, struct probe_words *words) {
    struct probe_report r = {.command = "gil",
                             .pid = MAIN,
                             .ended = "to its end",
                             .stopped = stopped,
                             .timeline = timeline,
                             .stacks = stacks,
                             .python = python};
    char *text = NULL;
    size_t size;
    probe_words_gil(&r, words);
    r.verdict = words->verdict.text;
    r.verdict_count = words->verdict.count;
    r.advice = words->advice.text;
    r.advice_count = words->advice.count;
    r.notes = words->notes.text;
    r.note_count = words->notes.count;
    FILE *f = open_memstream(&text, &size);
    CHECK(f != NULL);
    probe_gil_text(f, &r);
    fclose(f);
    return text;
}

static void check_says(const struct probe_sentences *s, const char *part) {
    for (size_t i = 0; i < s->count; i++) {
        if (strstr(s->text[i], part))
            return;
    }
    for (size_t i = 0; i < s->count; i++)
        test_note("%s", s->text[i]);
    FAIL("no sentence says '%s'", part);
}

static void check_has(const char *text, const char *part) {
    CHECK_MSG(strstr(text, part) != NULL, "'%s' is not in\n%s", part, text);
}

static void check_narrow(const char *text) {
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        CHECK_MSG(length <= 80, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void clean(char *text, struct probe_words *words) {
    free(text);
    probe_words_free(words);
    probe_stacks_free(stacks);
    probe_timeline_free(timeline);
}

TEST(turns_are_said) {
    struct probe_words words = {0};
    stacks = probe_stacks_new(100);
    uint32_t stack = push(
        push(push(push(0, "_bootstrap", "/lib/threading.py", 10), "run", "/lib/threading.py", 20),
             "crunch", "/home/me/work.py", 3),
        "inner", "/home/me/work.py", 7);
    begin();
    name(0, MAIN, "python3");
    name(0, OTHER, "python3");
    name(0, THIRD, "python3");
    sample(0, OTHER);
    on(0, OTHER);
    on(0, THIRD);
    for (int i = 0; i < 40; i++) {
        turn(i * TURN, i % 2 ? THIRD : OTHER, i % 2 ? OTHER : THIRD);
        look_runs(i * TURN + 5200, i % 2 ? OTHER : THIRD, stack);
    }
    probe_timeline_finish(timeline, at(40 * TURN));
    probe_name_threads(timeline, stacks);
    probe_name_main(timeline);
    char *text = report(&python311, &words);
    check_says(&words.verdict,
               "Two CPU-bound threads (`crunch (101)` and `crunch (102)`) take turns "
               "every 5.");
    check_says(&words.verdict, "had the GIL 50 %");
    check_says(&words.verdict, "waited for it 50 %");
    check_says(&words.advice, "multiprocessing");
    check_has(text, "process 100; Python 3.11.2; 203 ms, to its end");
    check_has(text, "hand-overs         40 (19");
    check_has(text, "of which 100 % forced");
    check_has(text, "inner (/home/me/work.py:7)");
    check_has(text, "`crunch (101)` behind `crunch (102)`");
    check_narrow(text);
    clean(text, &words);
}

TEST(a_convoy_is_named) {
    struct probe_words words = {0};
    stacks = probe_stacks_new(100);
    begin();
    name(0, MAIN, "worker-1");
    name(0, OTHER, "io");
    convoy(true);
    probe_timeline_finish(timeline, at(50 * 10000));
    char *text = report(&python311, &words);
    check_says(&words.verdict, "Thread `io` waited 5");
    check_says(&words.verdict,
               "behind `worker-1`, a convoy: it needs the GIL for 50.0 us at a time, "
               "and waits 5.06 ms");
    check_says(&words.advice, "sys.setswitchinterval(0.0005)");
    check_says(&words.advice, "`worker-1`");
    check_narrow(text);
    clean(text, &words);
}

TEST(one_thread_costs_nothing) {
    struct probe_words words = {0};
    stacks = NULL;
    begin();
    name(0, MAIN, "main");
    sample(0, MAIN);
    on(0, MAIN);
    probe_timeline_finish(timeline, at(50 * 10000));
    char *text = report(&python311, &words);
    CHECK_EQ(words.verdict.count, 1);
    check_says(&words.verdict, "Only thread `main` used the GIL; nobody waited for it.");
    CHECK_EQ(words.advice.count, 0);
    check_has(text, "held               100.0 % of the time");
    clean(text, &words);
}

static void block_with_it(bool waiter) {
    begin();
    name(0, MAIN, "main");
    sample(0, MAIN);
    on(0, MAIN);
    if (waiter) {
        on(500, OTHER);
        off(510, OTHER);
        look_lock(700, OTHER, 0);
    }
    off(1000, MAIN);
    for (int i = 1; i < 50; i++)
        sample(1000 + i * 1000, MAIN);
    on(51000, MAIN);
    if (waiter) {
        on(55000, OTHER);
        take(55001, OTHER);
    }
    probe_timeline_finish(timeline, at(60000));
}

TEST(a_holder_that_blocks_is_named) {
    struct probe_words words = {0};
    stacks = NULL;
    block_with_it(true);
    char *text = report(&python311, &words);
    check_says(&words.verdict, "off its CPU (most of it `main`): it blocked without letting go");
    check_says(&words.advice, "Py_BEGIN_ALLOW_THREADS");
    clean(text, &words);
}

TEST(a_holder_that_blocks_alone_costs_nothing) {
    struct probe_words words = {0};
    stacks = NULL;
    block_with_it(false);
    char *text = report(&python311, &words);
    CHECK_EQ(words.verdict.count, 1);
    check_says(&words.verdict, "Only thread `main` used the GIL; nobody waited for it.");
    check_says(&words.notes, "Nobody waited for it meanwhile.");
    CHECK_EQ(words.advice.count, 0);
    clean(text, &words);
}

TEST(code_that_never_lets_go_is_not_helped_by_an_interval) {
    struct probe_words words = {0};
    stacks = NULL;
    begin();
    name(0, MAIN, "regex");
    name(0, OTHER, "io");
    sample(0, MAIN);
    on(0, MAIN);
    for (int i = 0; i < 20; i++) {
        double us = i * 500000;
        on(us + 10, OTHER);
        off(us + 20, OTHER);
        look_lock(us + 1000, OTHER, 0);
        off(us + 480000, MAIN);
        on(us + 480010, OTHER);
        take(us + 480011, OTHER);
        off(us + 480050, OTHER);
        on(us + 480060, MAIN);
        take(us + 480061, MAIN);
        look_call(us + 480500, OTHER, 45);
    }
    probe_timeline_finish(timeline, at(20 * 500000));
    char *text = report(&python311, &words);
    check_says(&words.verdict, "Thread `io` waited 9");
    check_says(&words.advice, "`regex` keeps the GIL for 5");
    for (size_t i = 0; i < words.advice.count; i++)
        CHECK(strstr(words.advice.text[i], "setswitchinterval") == NULL);
    clean(text, &words);
}

/* The same events in another process, on a lock of its own. */
static void child_turn(int base, int lock, double us, int from, int to) {
    struct probe_event e = {.pid = base, .tid = base + to, .lock = (int16_t)lock, .cpu = -1};
    e.ns = at(us);
    e.kind = PROBE_WANT;
    probe_timeline_event(timeline, &e);
    e.tid = base + from;
    e.ns = at(us + 5000);
    e.kind = PROBE_DROP;
    probe_timeline_event(timeline, &e);
    e.tid = base + to;
    e.ns = at(us + 5001);
    e.kind = PROBE_GOT;
    probe_timeline_event(timeline, &e);
}

TEST(processes_are_told_apart) {
    struct probe_words words = {0};
    stacks = NULL;
    begin();
    for (int i = 0; i < 100; i++) {
        child_turn(1000, 0, i * 5000 + 1, i % 2, !(i % 2));
        child_turn(2000, 1, i * 5000 + 1, i % 2, !(i % 2));
    }
    probe_timeline_finish(timeline, at(100 * 5000));
    char *text = report(&python311, &words);
    check_says(&words.verdict, "2 processes were seen, each with a GIL of its own");
    check_says(&words.verdict, "Process 1000: Two CPU-bound threads (`thread 1001` and `thread");
    check_says(&words.verdict, "Process 2000: Two CPU-bound threads (`thread 2001` and `thread");
    check_has(text, "The GIL of process 2000");
    clean(text, &words);
}

TEST(a_free_threaded_build_may_have_its_gil_on) {
    static const struct probe_python_facts python313t = {
        .major = 3, .minor = 13, .free_threaded = true, .switch_interval_us = 5000};
    struct probe_words words = {0};
    stacks = NULL;
    begin();
    on(0, MAIN);
    for (int i = 0; i < 40; i++)
        turn(i * TURN, i % 2 ? MAIN : OTHER, i % 2 ? OTHER : MAIN);
    probe_timeline_finish(timeline, at(40 * TURN));
    char *text = report(&python313t, &words);
    check_says(&words.verdict, "Two CPU-bound threads");
    check_says(&words.verdict, "a free-threaded build, but its GIL was on");
    check_has(text, " waits ");
    clean(text, &words);
}

/* OTHER and THIRD wait for a lock nearly all of the time, in turns; MAIN for its own lock. */
static void wait_for_locks(uint8_t kind, uint64_t object) {
    uint32_t line = push(0, "work", "/app/app.py", 7);
    uint32_t mine = push(0, "collect", "/app/app.py", 30);
    struct probe_event e = {.kind = PROBE_LOOK, .doing = PROBE_ON_FUTEX, .cpu = -1, .lock = -1};
    for (int i = 0; i < 100; i++) {
        for (int tid = MAIN; tid <= THIRD; tid++) {
            on(i * 1000 + (tid - MAIN) * 10, tid);
            if (tid == MAIN)
                sample(i * 1000 + 2, MAIN);
            off(i * 1000 + (tid - MAIN) * 10 + 5, tid);
        }
        sample(i * 1000 + 100, 0);
        for (int tid = MAIN; tid <= THIRD; tid++) {
            e.tid = tid;
            e.mutex = tid == MAIN ? 0 : kind;
            e.object = kind ? object : 0;
            e.value = tid == MAIN ? 0x999 : 0x100 + (kind ? (unsigned)tid : 0);
            e.stack = tid == MAIN ? mine : line;
            send(e, i * 1000 + 500 + tid);
        }
    }
    probe_timeline_finish(timeline, at(100000));
}

TEST(a_lock_of_pythons_own_is_named) {
    struct probe_words words = {0};
    begin();
    stacks = probe_stacks_new(1000);
    wait_for_locks(PROBE_MUTEX_PYTHON, 0x7f0010);
    char *text = report(&python311, &words);
    check_says(&words.verdict, "Not the GIL, but the threading.Lock at 0x7f0010 is what 2 threads "
                               "waited for");
    check_says(&words.verdict, "most often at app.py:7 (work)");
    check_says(&words.advice, "Hold the threading.Lock at 0x7f0010 for a shorter time");
    clean(text, &words);
}

TEST(threads_that_wait_for_work_are_not_told_of_a_lock) {
    struct probe_words words = {0};
    begin();
    stacks = probe_stacks_new(1000);
    wait_for_locks(PROBE_MUTEX_NONE, 0); /* on one futex, as a queue's idle workers do */
    char *text = report(&python311, &words);
    CHECK(strstr(text, "Not the GIL, but") == NULL);
    clean(text, &words);
}

TEST(where_code_cannot_be_read_a_common_futex_is_told) {
    struct probe_python_facts python = python311;
    struct probe_words words = {0};
    python.stacks = false;
    begin();
    stacks = probe_stacks_new(1000);
    wait_for_locks(PROBE_MUTEX_NONE, 0);
    char *text = report(&python, &words);
    check_says(&words.verdict, "one lock (a threading.Lock, a queue) is what 2 threads waited for");
    clean(text, &words);
}

TEST(a_process_that_is_stopped_is_not_blamed) {
    struct probe_words words = {0};
    stacks = NULL;
    block_with_it(true);
    stopped = 0.9;
    char *text = report(&python311, &words);
    stopped = 0;
    CHECK_EQ(words.verdict.count, 1);
    check_says(&words.verdict, "For about 90 % of the time the process was stopped (by SIGSTOP");
    CHECK_EQ(words.advice.count, 0);
    clean(text, &words);
}

TEST(many_hand_overs_are_said) {
    static const struct probe_python_facts python27 = {.major = 2, .minor = 7, .micro = 18};
    struct probe_words words = {0};
    stacks = NULL;
    timeline = probe_timeline_new(10, 100);
    for (int i = 0; i < 1000; i++) {
        int mine = i % 2 ? OTHER : MAIN, others = i % 2 ? MAIN : OTHER;
        exact(i * 100, mine, PROBE_GOT);
        exact(i * 100 + 5, others, PROBE_WANT);
        exact(i * 100 + 90, mine, PROBE_DROP);
    }
    probe_timeline_finish(timeline, at(100000));
    char *text = report(&python27, &words);
    check_says(&words.verdict, "The GIL changes hands 9.99 k/s");
    check_says(&words.advice, "sys.setcheckinterval");
    check_says(&words.notes, "Waits are as the target itself wrote them down.");
    clean(text, &words);
}

TEST(a_report_of_nothing_is_a_report) {
    struct probe_words words = {0};
    stacks = NULL;
    timeline = probe_timeline_new(10, 100);
    probe_timeline_finish(timeline, 0);
    char *text = report(NULL, &words);
    check_has(text, "Threads");
    clean(text, &words);
}

TEST(interpreters_with_their_own_locks_are_not_averaged) {
    static const struct probe_python_facts python312 = {
        .major = 3, .minor = 12, .switch_interval_us = 5000};
    struct probe_words words = {0};
    stacks = NULL;
    begin();
    on(0, MAIN);
    on(0, OTHER);
    for (int i = 0; i < 100; i++) {
        sample(i * 1000, i < 10 ? MAIN : 0);
        send((struct probe_event){.kind = PROBE_HOLDER, .tid = OTHER, .cpu = -1, .lock = 1},
             i * 1000 + 1);
    }
    probe_timeline_finish(timeline, at(100000));
    char *text = report(&python312, &words);
    check_says(&words.verdict, "It has 2 GILs (interpreters with one of their own): each was held "
                               "for 10 to 100 % of the time");
    check_has(text, "The GIL number 1\n");
    clean(text, &words);
}
