/* SPDX-License-Identifier: MIT */
/* Reading interpreters from outside (lab/probe/python.h): one script, which says what is true of
 * it, in every interpreter that is found. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe/python.h"
#include "python_support.h"
#include "test.h"

/* The spinner calls a function again and again; the two others stand still, one of them 12 calls
 * deep and far from the first line of its file, one in a function whose name is not ASCII. Blank
 * lines make the tables of lines take long steps. Line 1 is the one after `"`. */
#define BLANK10 "\n\n\n\n\n\n\n\n\n\n"
#define BLANK100 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10 BLANK10
static const char script[] =
    "# -*- coding: utf-8 -*-\n"                           /* 1 */
    "import sys, threading, time\n"                       /* 2 */
    "def leaf(n):\n"                                      /* 3 */
    "    while n: n -= 1\n"                               /* 4 */
    "class Work(object):\n"                               /* 5 */
    "    def spin(self):\n"                               /* 6 */
    "        while True: leaf(100)\n"                     /* 7 */
    "def deep(n):\n"                                      /* 8 */
    "    if n: return deep(n - 1)\n"                      /* 9 */
    "    time.sleep(1000)\n"                              /* 10 */
    "NAME = u'gr\\xf6\\xdfe' if sys.version_info[0] > 2 else 'groesse'\n" /* 11 */
    "WIDE = u'\\u6570\\U000102a7' if sys.version_info[0] > 2 else 'wide'\n" /* 12 */
    "TEXT = u'def ' + NAME + u'():\\n'\n"                 /* 13 */
    "TEXT += u'\\n' * 299 + u'    (\\n' + WIDE + u'())\\n'\n" /* 14 */
    "TEXT += u'def ' + WIDE + u'():\\n    time.sleep(1000)\\n'\n" /* 15 */
    "exec(compile(TEXT, 'made up.py', 'exec'))\n"         /* 16 */
    BLANK100 BLANK100 BLANK100                            /* to 316 */
    "def start(f, *a):\n"                                 /* 317 */
    "    t = threading.Thread(target=f, args=a)\n"        /* 318 */
    "    t.daemon = True\n"                               /* 319 */
    "    t.start()\n"                                     /* 320 */
    "mark = {}\n"                                         /* 321 */
    "if hasattr(sys, 'setswitchinterval'): sys.setswitchinterval(0.002)\n" /* 322 */
    "start(deep, 11)\n"                                   /* 323 */
    "start(globals()[NAME])\n"                            /* 324 */
    "start(Work().spin)\n"                                /* 325 */
    "start(Work().spin)\n"                                /* 326 */
    "time.sleep(0.1)\n"                                   /* 327 */
    "sys.stdout.write('ready %d.%d.%d %d\\n' % (sys.version_info[:3] + (id(mark),)))\n"
    "sys.stdout.flush()\n"                                /* 329 */
    "def last():\n"                                       /* 330 */
    "    for i in [0]:\n"                                 /* 331 */
    "        x = (1 +\n"                                  /* 332 */
    "            time.sleep(1000))\n"                     /* 333 */
    "last()\n";                                           /* 334 */

enum { THREADS = 5, CALLS = 12 };

/* "innermost:line ... outermost:line". */
static void describe(const struct probe_stacks *s, uint32_t node, char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (; node && n < size; node = probe_stacks_outer(s, node)) {
        const struct probe_frame *f = probe_stacks_frame(s, node);
        n += (size_t)snprintf(out + n, size - n, "%s%s:%d", n ? " " : "", f->function, f->line);
    }
}

static bool begins(const char *s, const char *with) {
    return strncmp(s, with, strlen(with)) == 0;
}

static void check_facts(const struct probe_python *p, const struct python_process *x,
                        const char *version) {
    const struct probe_python_facts *f = probe_python_facts(p);
    char said[64], found[64];
    sscanf(x->line, "ready %63s", said);
    snprintf(found, sizeof(found), "%d.%d.%d", f->major, f->minor, f->micro);
    CHECK_STR_EQ(found, said);
    bool free_threaded = version[strlen(version) - 1] == 't';
    CHECK_EQ(f->free_threaded, free_threaded);
    CHECK_EQ(f->has_gil_number, f->major == 3 && !free_threaded);
    CHECK_EQ(f->switch_interval_us, f->has_gil_number ? 2000 : 0);
    CHECK(f->stacks);
    CHECK_STR_HAS(f->file, "python");
    CHECK_STR_HAS(f->how, f->minor >= 13 ? "debug offsets" : "symbols");
}

/* What stands still is seen exactly as it is. */
static void check_standing(struct probe_python *p, const struct probe_python_thread *t,
                           pid_t pid, int *seen) {
    struct probe_stacks *s = probe_stacks_new(1000);
    char text[2048], path[64];
    bool torn;
    bool old = probe_python_facts(p)->major == 2;
    for (int i = 0; i < THREADS; i++) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)t[i].tid);
        CHECK_EQ(access(path, F_OK), 0);
        CHECK_EQ(t[i].interpreter, 0);
        uint32_t node = probe_python_stack(p, &t[i], s, &torn);
        describe(s, node, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        if (begins(text, "deep:10 deep:9 deep:9 ")) {
            *seen |= 1;
            CHECK(!torn);
            int frames = 0;
            for (uint32_t x = node; x; x = probe_stacks_outer(s, x))
                frames += strcmp(probe_stacks_frame(s, x)->function, "deep") == 0;
            CHECK_EQ(frames, CALLS);
            CHECK_STR_EQ(probe_stacks_frame(s, node)->file, "<string>");
            CHECK(probe_stacks_frame(s, node)->op > 0);
        } else if (begins(text, old ? "wide:304 groesse:302 " : "数𐊧:304 größe:302 ")) {
            *seen |= 2;
            CHECK_STR_EQ(probe_stacks_frame(s, node)->file, "made up.py");
        } else if (t[i].tid == pid && strcmp(text, "last:333 <module>:334") == 0) {
            *seen |= 4;
        }
    }
    probe_stacks_free(s);
}

/* What runs is seen as something that can be. The looks are spread over many of its turns: it may
 * have lost its CPU anywhere, in the midst of a call too. */
static void check_running(struct probe_python *p, const struct probe_python_thread *t) {
    enum { WALKS = 400 };
    struct probe_stacks *s = probe_stacks_new(1000);
    char text[2048];
    int whole = 0, leaves = 0;
    for (int i = 0; i < WALKS; i++) {
        bool torn;
        if (i % 8 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        uint32_t node = probe_python_stack(p, t, s, &torn);
        describe(s, node, text, sizeof(text));
        if (torn) {
            CHECK_EQ(node, 0);
            continue;
        }
        whole++;
        leaves += begins(text, "leaf:");
        bool fits = begins(text, "leaf:4 Work.spin:7 ") || begins(text, "leaf:3 Work.spin:7 ") ||
                    begins(text, "Work.spin:7 ") || begins(text, "leaf:4 spin:7 ") ||
                    begins(text, "leaf:3 spin:7 ") || begins(text, "spin:7 ");
        if (!fits)
            fprintf(stderr, "%s\n", text);
        CHECK(fits);
    }
    fprintf(stderr, "%d of %d whole, %d in leaf\n", whole, WALKS, leaves);
    CHECK(whole > WALKS / 2);
    CHECK(leaves > 0);
    CHECK_EQ(probe_stacks_lost(s), 0);
    probe_stacks_free(s);
}

static void check_gil(struct probe_python *p, const struct probe_python_thread *t) {
    struct probe_gil gil[4];
    int count = probe_python_gils(p, gil, 4);
    const struct probe_python_facts *f = probe_python_facts(p);
    CHECK_EQ(count, f->free_threaded ? 0 : 1);
    if (!count)
        return;
    CHECK_EQ(gil[0].interpreter, 0);
    CHECK(gil[0].size >= 32 && gil[0].size <= 512);
    uint64_t first = 0, number = 0;
    int held = 0, tries = 0;
    pid_t holder;
    bool locked;
    CHECK_EQ(probe_python_gil_read(p, &gil[0], &holder, &locked, &first), 0);
    /* Two threads take turns, however slowly. */
    for (; tries < 2000 && (held < 20 || (f->has_gil_number && number < first + 5)); tries++) {
        CHECK_EQ(probe_python_gil_read(p, &gil[0], &holder, &locked, &number), 0);
        bool known = holder == 0;
        for (int i = 0; i < THREADS; i++)
            known |= t[i].tid == holder;
        CHECK(known);
        held += locked && holder;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    CHECK(held >= 20);
    CHECK(f->has_gil_number ? number >= first + 5 : number == 0);
    CHECK_EQ(gil[0].number_address != 0, f->has_gil_number);
}

static void check_version(const char *version) {
    struct python_process x;
    struct probe_python_thread t[THREADS + 1];
    python_start(&x, python_path(version), script);
    struct probe_python *p = python_open(x.pid);
    check_facts(p, &x, version);
    CHECK_EQ(probe_python_threads(p, t, THREADS + 1), THREADS);
    CHECK_EQ(probe_python_threads(p, t, 1), THREADS); /* as many as there are */
    int seen = 0, running = -1;
    for (int i = 0; i < 500 && seen != 7; i++) { /* until the last has got where it stays */
        check_standing(p, t, x.pid, &seen);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK_EQ(seen, 7);
    for (int i = 0; i < THREADS; i++) {
        struct probe_stacks *s = probe_stacks_new(100);
        char text[2048] = "";
        bool torn = true;
        for (int k = 0; k < 50 && torn; k++)
            describe(s, probe_python_stack(p, &t[i], s, &torn), text, sizeof(text));
        running = strstr(text, "spin:7") ? i : running;
        probe_stacks_free(s);
    }
    CHECK(running >= 0);
    check_running(p, &t[running]);
    check_gil(p, t);

    uint64_t mark = 0;
    char type[32];
    sscanf(x.line, "ready %*s %lu", &mark);
    CHECK_EQ(probe_python_type(p, mark, type, sizeof(type)), 0);
    CHECK_STR_EQ(type, "dict");

    python_stop(&x);
    bool torn;
    struct probe_gil gil;
    CHECK_EQ(probe_python_gils(p, &gil, 1), -ESRCH);
    CHECK_EQ(probe_python_threads(p, t, 1), -ESRCH);
    struct probe_stacks *s = probe_stacks_new(100);
    CHECK_EQ(probe_python_stack(p, &t[0], s, &torn), 0);
    CHECK(torn);
    probe_stacks_free(s);
    probe_python_close(p);
}

TEST(the_systems_interpreter) { check_version("system"); }
TEST(version_2_7) { check_version("2.7"); }
TEST(version_3_6) { check_version("3.6"); }
TEST(version_3_7) { check_version("3.7"); }
TEST(version_3_8) { check_version("3.8"); }
TEST(version_3_9) { check_version("3.9"); }
TEST(version_3_10) { check_version("3.10"); }
TEST(version_3_11_shared) { check_version("3.11"); }
TEST(version_3_12) { check_version("3.12"); }
TEST(version_3_13) { check_version("3.13"); }
TEST(version_3_13_free_threaded) { check_version("3.13t"); }
TEST(version_3_14) { check_version("3.14"); }
TEST(version_3_14_free_threaded) { check_version("3.14t"); }
TEST(version_3_15) { check_version("3.15"); }

/* ---- frames of all kinds ---- */

static const char kinds[] = "import sys, time\n"                       /* 1 */
                            "def made():\n"                            /* 2 */
                            "    yield 1\n"                            /* 3 */
                            "    time.sleep(1000)\n"                   /* 4 */
                            "def use(x):\n"                            /* 5 */
                            "    for _ in made(): pass\n"              /* 6 */
                            "class Holder(object):\n"                  /* 7 */
                            "    def __init__(self): use(1)\n"         /* 8 */
                            "def deep(n):\n"                           /* 9 */
                            "    if n: return deep(n - 1)\n"           /* 10 */
                            "    sorted([1], key=lambda x: Holder())\n" /* 11 */
                            "sys.stdout.write('ready\\n')\n"           /* 12 */
                            "sys.stdout.flush()\n"                     /* 13 */
                            "deep(500)\n";                             /* 14 */

/* Generators, and Python code that C code calls; more frames than are read. */
static void check_kinds(const char *version) {
    struct python_process x;
    python_start(&x, python_path(version), kinds);
    struct probe_python *p = python_open(x.pid);
    struct probe_python_thread t;
    struct probe_stacks *s = probe_stacks_new(1000);
    uint32_t node = 0, frames = 0, last = 0;
    CHECK_EQ(probe_python_threads(p, &t, 1), 1);
    for (int i = 0; i < 500; i++) {
        bool torn;
        node = probe_python_stack(p, &t, s, &torn);
        if (node && strcmp(probe_stacks_frame(s, node)->function, "made") == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    char text[16384];
    describe(s, node, text, sizeof(text));
    bool qualified = probe_python_facts(p)->major == 3 && probe_python_facts(p)->minor >= 11;
    const char *expected =
        qualified ? "made:4 use:6 Holder.__init__:8 deep.<locals>.<lambda>:11 deep:11 deep:10 "
                  : "made:4 use:6 __init__:8 <lambda>:11 deep:11 deep:10 ";
    text[strlen(expected)] = '\0';
    CHECK_STR_EQ(text, expected);
    for (uint32_t n = node; n; n = probe_stacks_outer(s, n), frames++)
        last = n;
    CHECK_EQ(frames, 256 + 1);
    CHECK_STR_EQ(probe_stacks_frame(s, last)->function, "[deeper frames]");
    probe_stacks_free(s);
    probe_python_close(p);
    python_stop(&x);
}

TEST(frames_of_all_kinds_of_the_systems) { check_kinds("system"); }
TEST(frames_of_all_kinds_2_7) { check_kinds("2.7"); }
TEST(frames_of_all_kinds_3_10) { check_kinds("3.10"); }
TEST(frames_of_all_kinds_3_12) { check_kinds("3.12"); }
TEST(frames_of_all_kinds_3_13) { check_kinds("3.13"); }
TEST(frames_of_all_kinds_3_14) { check_kinds("3.14"); }
TEST(frames_of_all_kinds_3_15) { check_kinds("3.15"); }

/* Code objects that come and go, each in the place of the last one: the name, the file and the line
 * of a frame must be of the same one. */
static const char passing[] =
    "import sys, time\n"
    "sys.stdout.write('ready\\n')\n"
    "sys.stdout.flush()\n"
    "i = 0\n"
    "while True:\n"
    "    i += 1\n"
    "    text = '\\n' * (i % 40) + 'def f%d(): time.sleep(0.001)\\nf%d()' % (i, i)\n"
    "    exec(compile(text, 'file%d' % i, 'exec'), {'time': time})\n";

static void check_passing(const char *version) {
    enum { WALKS = 1500 };
    struct python_process x;
    python_start(&x, python_path(version), passing);
    struct probe_python *p = python_open(x.pid);
    struct probe_python_thread t;
    struct probe_stacks *s = probe_stacks_new(100000);
    CHECK_EQ(probe_python_threads(p, &t, 1), 1);
    int seen = 0, first = 0, last = 0;
    for (int i = 0; i < WALKS || (last < first + 50 && i < 100 * WALKS); i++) {
        bool torn;
        int number, of_file;
        uint32_t node = probe_python_stack(p, &t, s, &torn);
        const struct probe_frame *f = node ? probe_stacks_frame(s, node) : NULL;
        if (!f || sscanf(f->function, "f%d", &number) != 1)
            continue;
        CHECK_EQ(sscanf(f->file, "file%d", &of_file), 1);
        CHECK_EQ(number, of_file);
        CHECK_EQ(f->line, number % 40 + 1);
        f = probe_stacks_frame(s, probe_stacks_outer(s, node));
        CHECK_STR_EQ(f->function, "<module>");
        CHECK_EQ(sscanf(f->file, "file%d", &of_file), 1);
        CHECK_EQ(number, of_file);
        CHECK_EQ(f->line, number % 40 + 2);
        first = seen++ ? first : number;
        last = number;
    }
    fprintf(stderr, "%d of %d, from %d to %d\n", seen, WALKS, first, last);
    CHECK(seen > 20);
    CHECK(last >= first + 50);
    probe_stacks_free(s);
    probe_python_close(p);
    python_stop(&x);
}

TEST(code_in_the_place_of_other_code) { check_passing("system"); }
TEST(code_in_the_place_of_other_code_2_7) { check_passing("2.7"); }
TEST(code_in_the_place_of_other_code_3_8) { check_passing("3.8"); }
TEST(code_in_the_place_of_other_code_3_13) { check_passing("3.13"); }

/* ---- its file ---- */

static void copy_file(const char *from, const char *to) {
    char bytes[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) > 0;)
        CHECK_EQ(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static const char still[] = "import sys, time\n"
                            "sys.stdout.write('ready\\n')\n"
                            "sys.stdout.flush()\n"
                            "time.sleep(1000)\n";

static void check_still(pid_t pid, const char *how) {
    struct probe_python *p = python_open(pid);
    struct probe_python_thread t;
    CHECK_EQ(probe_python_threads(p, &t, 1), 1);
    CHECK_EQ(t.tid, pid);
    struct probe_stacks *s = probe_stacks_new(10);
    bool torn;
    char text[256];
    for (int i = 0; i < 500; i++) { /* it has said that it is ready, and gets there */
        describe(s, probe_python_stack(p, &t, s, &torn), text, sizeof(text));
        if (strcmp(text, "<module>:4") == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK_STR_EQ(text, "<module>:4");
    fprintf(stderr, "%s: %s\n", probe_python_facts(p)->file, probe_python_facts(p)->how);
    CHECK_STR_HAS(probe_python_facts(p)->how, how);
    probe_stacks_free(s);
    probe_python_close(p);
}

TEST(a_file_that_was_deleted_or_replaced) {
    char folder[] = "/tmp/heddle-test-XXXXXX", path[64];
    CHECK(mkdtemp(folder));
    CHECK_EQ(chmod(folder, 0755), 0);
    snprintf(path, sizeof(path), "%s/interpreter", folder); /* nor does its name say anything */
    copy_file(python_path("system"), path);
    struct python_process x;
    python_start(&x, path, still);
    check_still(x.pid, "symbols");
    unlink(path);
    check_still(x.pid, "symbols");
    copy_file("/proc/self/exe", path); /* another ELF file of the same name */
    check_still(x.pid, "symbols");
    python_stop(&x);
    unlink(path);
    rmdir(folder);
}

TEST(a_library_that_was_deleted) {
    /* That of the interpreter with its own library, which is put where the loader is told. */
    const char *found = python_path("3.12");
    char folder[] = "/tmp/heddle-test-XXXXXX", from[4200], path[64];
    CHECK(mkdtemp(folder));
    snprintf(from, sizeof(from), "%.*s/../lib/libpython3.12.so.1.0",
             (int)(strrchr(found, '/') - found), found);
    if (access(from, R_OK) != 0)
        SKIP("that interpreter has no library");
    snprintf(path, sizeof(path), "%s/libpython3.12.so.1.0", folder);
    copy_file(from, path);
    setenv("LD_LIBRARY_PATH", folder, 1);
    struct python_process x;
    python_start(&x, found, still);
    unsetenv("LD_LIBRARY_PATH");
    struct probe_python *p = python_open(x.pid);
    if (strcmp(probe_python_facts(p)->file, path) != 0)
        SKIP("that interpreter finds its library by itself");
    probe_python_close(p);
    unlink(path);
    rmdir(folder);
    check_still(x.pid, ", ");
    python_stop(&x);
}

/* Where the file is gone and the kernel does not open it for us. */
TEST(a_deleted_file_as_another_user) {
    if (geteuid() != 0)
        SKIP("it takes root to become somebody else");
    char folder[] = "/tmp/heddle-test-XXXXXX", path[64];
    CHECK(mkdtemp(folder));
    CHECK_EQ(chmod(folder, 0777), 0);
    snprintf(path, sizeof(path), "%s/python", folder);
    copy_file(python_path("system"), path);
    CHECK_EQ(setgid(65534), 0);
    CHECK_EQ(setuid(65534), 0);
    struct python_process x;
    python_start(&x, path, still);
    unlink(path);
    check_still(x.pid, "symbols");
    python_stop(&x);
    rmdir(folder);
    char *why = NULL;
    struct probe_python *p;
    CHECK(probe_python_open(1, &p, &why) < 0);
    CHECK_STR_HAS(why, "another user");
    free(why);
}

/* The same where it is not the process's own file either, but one that the loader was told to run:
 * then only what is in memory is left. */
TEST(a_deleted_file_of_the_loader_as_another_user) {
    static const char *const loaders[] = {"/lib64/ld-linux-x86-64.so.2",
                                          "/lib/ld-linux-aarch64.so.1"};
    const char *loader = access(loaders[0], X_OK) == 0 ? loaders[0] : loaders[1];
    if (geteuid() != 0 || access(loader, X_OK) != 0)
        SKIP("it takes root to become somebody else, and a loader at a known place");
    char folder[] = "/tmp/heddle-test-XXXXXX", path[64], command[64];
    CHECK(mkdtemp(folder));
    CHECK_EQ(chmod(folder, 0777), 0);
    snprintf(path, sizeof(path), "%s/python", folder);
    snprintf(command, sizeof(command), "%s/run", folder);
    copy_file(python_path("system"), path);
    FILE *f = fopen(command, "w");
    fprintf(f, "#!/bin/sh\nexec %s %s \"$@\"\n", loader, path);
    fclose(f);
    CHECK_EQ(chmod(command, 0755), 0);
    CHECK_EQ(setgid(65534), 0);
    CHECK_EQ(setuid(65534), 0);
    struct python_process x;
    python_start(&x, command, still);
    check_still(x.pid, "symbols, offsets of 3.");
    unlink(path);
    check_still(x.pid, ", from its memory");
    python_stop(&x);
    unlink(command);
    rmdir(folder);
}

/* ---- what is no interpreter ---- */

TEST(other_programs) {
    struct probe_python *p;
    char *why = NULL;
    CHECK_EQ(probe_python_open(getpid(), &p, &why), -ENOENT);
    CHECK_STR_HAS(why, "no Python");
    free(why);
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    CHECK_EQ(probe_python_open(gone, &p, &why), -ESRCH);
    CHECK_STR_HAS(why, "has ended");
    free(why);
    CHECK(probe_python_open(2, &p, NULL) < 0); /* the kernel's own, or somebody else's */
}

/* ---- several interpreters ---- */

static const char several[] =
    "import sys, threading, time\n"
    "try: import _interpreters as i\n"
    "except ImportError: import _xxsubinterpreters as i\n"
    "def other():\n"
    "    n = i.create()\n"
    "    if hasattr(i, 'exec'): i.exec(n, 'import time; time.sleep(1000)')\n"
    "    else: i.run_string(n, 'import time; time.sleep(1000)')\n"
    "threading.Thread(target=other, daemon=True).start()\n"
    "time.sleep(0.3)\n"
    "sys.stdout.write('ready\\n')\n"
    "sys.stdout.flush()\n"
    "time.sleep(1000)\n";

static void check_several(const char *version, int gils) {
    struct python_process x;
    python_start(&x, python_path(version), several);
    struct probe_python *p = python_open(x.pid);
    struct probe_gil gil[4];
    struct probe_python_thread t[8];
    int numbers = 0, count = 0;
    for (int i = 0; i < 500 && !(numbers & 2); i++) { /* until it has begun */
        count = probe_python_threads(p, t, 8);
        for (int k = 0; k < count; k++)
            numbers |= 1 << t[k].interpreter;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK_EQ(numbers, 3);
    CHECK_EQ(probe_python_gils(p, gil, 4), gils);
    CHECK_EQ(gil[0].interpreter, 0);
    if (gils == 2) {
        CHECK_EQ(gil[1].interpreter, 1);
        CHECK(gil[1].address != gil[0].address);
    }
    probe_python_close(p);
    python_stop(&x);
}

TEST(several_interpreters_with_one_gil) { check_several("system", 1); }
TEST(several_interpreters_with_a_gil_each) { check_several("3.12", 2); }
TEST(several_interpreters_of_3_13) { check_several("3.13", 2); }
