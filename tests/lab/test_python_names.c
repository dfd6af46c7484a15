/* SPDX-License-Identifier: MIT */
/* What a program calls its threads, as lab/probe/python_name.c finds it in every interpreter that
 * is here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "probe/python.h"
#include "python_support.h"
#include "test.h"

static const char names[] =
    "# -*- coding: utf-8 -*-\n"
    "import sys, threading, time\n"
    "try: import _thread\n"
    "except ImportError: import thread as _thread\n"
    "old = sys.version_info[0] == 2\n"
    "class Many(threading.Thread):\n"
    "    def __init__(self):\n"
    "        for i in range(40): setattr(self, 'a%d' % i, i)\n"
    "        threading.Thread.__init__(self, name='many')\n"
    "    def run(self): time.sleep(1000)\n"
    "class Few(Many):\n"
    "    def __init__(self): threading.Thread.__init__(self, name='few')\n"
    "def start(t):\n"
    "    t.daemon = True\n"
    "    t.start()\n"
    "    return t\n"
    "def named(name): return start(threading.Thread(target=time.sleep, args=(1000,), name=name))\n"
    "named('worker-1')\n"
    "named('groesse' if old else u'gr\\xf6\\xdfe')\n"
    "named('wide' if old else u'\\u6570\\U000102a7')\n"
    "start(Many()); start(Few())\n"
    "vars(named('looked at'))\n"
    "late = named('early')\n"
    "_thread.start_new_thread(time.sleep, (1000,))\n"
    "time.sleep(0.3)\n"
    "late.name = 'late'\n"
    "sys.stdout.write('ready\\n')\n"
    "sys.stdout.flush()\n"
    "time.sleep(1000)\n";

/* Each is found once; the main thread, and one that is no threading.Thread, have none. */
static void check_names(const char *version) {
    enum { NAMES = 7 };
    struct python_process x;
    struct probe_python_thread t[NAMES + 2];
    python_start(&x, python_path(version), names);
    struct probe_python *p = python_open(x.pid);
    bool old = probe_python_facts(p)->major == 2;
    const char *const want[NAMES] = {"worker-1", "many", "few", "looked at", "late",
                                     old ? "groesse" : "größe", old ? "wide" : "数𐊧"};
    int seen = 0, none = 0;
    for (int i = 0; i < 500 && (seen != (1 << NAMES) - 1 || none != 1); i++) {
        int count = probe_python_threads(p, t, NAMES + 2);
        none = seen = 0;
        for (int k = 0; k < count && k < NAMES + 2; k++) {
            char name[64] = "";
            int error = probe_python_thread_name(p, &t[k], name, sizeof(name));
            fprintf(stderr, "%d: %d '%s'\n", (int)t[k].tid, error, name);
            CHECK(t[k].tid != x.pid || error != 0);
            none += t[k].tid == x.pid && error == -ENOENT;
            int which = 0;
            while (!error && which < NAMES && strcmp(name, want[which]) != 0)
                which++;
            CHECK(error || which < NAMES);
            CHECK(error || !(seen & 1 << which));
            seen |= error ? 0 : 1 << which;
            char cut[4];
            if (!error && !old && which == 6 &&
                probe_python_thread_name(p, &t[k], cut, sizeof(cut)) == 0)
                CHECK_STR_EQ(cut, "数");
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK_EQ(seen, (1 << NAMES) - 1);
    CHECK_EQ(none, 1);
    probe_python_close(p);
    python_stop(&x);
}

TEST(names_of_threads_of_the_systems) { check_names("system"); }
TEST(names_of_threads_2_7) { check_names("2.7"); }
TEST(names_of_threads_3_6) { check_names("3.6"); }
TEST(names_of_threads_3_7) { check_names("3.7"); }
TEST(names_of_threads_3_8) { check_names("3.8"); }
TEST(names_of_threads_3_9) { check_names("3.9"); }
TEST(names_of_threads_3_10) { check_names("3.10"); }
TEST(names_of_threads_3_11) { check_names("3.11"); }
TEST(names_of_threads_3_12) { check_names("3.12"); }
TEST(names_of_threads_3_13) { check_names("3.13"); }
TEST(names_of_threads_3_13_free_threaded) { check_names("3.13t"); }
TEST(names_of_threads_3_14) { check_names("3.14"); }
TEST(names_of_threads_3_15) { check_names("3.15"); }
