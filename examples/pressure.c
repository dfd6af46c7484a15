/* SPDX-License-Identifier: MIT */
/* Memory that goes back: a burst of threads, and a thread that waits until the kernel tells that
 * memory is short (PSI, /proc/pressure/memory) and then gives back what lies idle.
 *
 * Here nothing is short, so the watcher is told to do it once anyway. */
#include <heddle/heddle.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 20000 };

static hd_event gate = HD_EVENT_INIT;
static hd_sem here = HD_SEM_INIT(0);

static size_t resident_kib(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fscanf(statm, "%*u %zu", &pages) != 1) pages = 0;
    if (statm) fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void *wait_at_gate(void *arg) {
    hd_sem_post(&here);
    hd_event_wait(&gate);
    return arg;
}

static int burst(void) {
    hd_thread **t = calloc(THREADS, sizeof *t);
    int n = 0, err = t ? 0 : -ENOMEM;
    for (; n < THREADS && !err; n++) err = hd_spawn(&t[n], NULL, wait_at_gate, NULL);
    if (err) n--;
    for (int i = 0; i < n; i++) hd_sem_wait(&here); /* until all wait, on stacks of their own */
    hd_event_set(&gate);
    for (int i = 0; i < n; i++) hd_join(t[i], NULL);
    free(t);
    return err;
}

/* A descriptor that becomes ready when tasks of this machine waited for memory for 0.1 of 2
 * seconds. -1: the kernel does not tell, or not us. */
static int watch_pressure(void) {
    static const char trigger[] = "some 100000 2000000";
    int fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && write(fd, trigger, sizeof trigger) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Ends when it is interrupted. */
static void *watcher(void *arg) {
    struct pollfd pressure = {.fd = watch_pressure(), .events = POLLPRI};
    bool *watches = arg;
    *watches = pressure.fd >= 0;
    for (int n = 0; *watches && n >= 0;) {
        n = hd_poll(&pressure, 1, HD_FOREVER);
        if (n > 0) printf("memory is short: %zu KiB go back\n", hd_trim() / 1024);
    }
    if (pressure.fd >= 0) close(pressure.fd);
    return NULL;
}

static int program(void *arg) {
    bool watches = false;
    hd_thread *t;
    (void)arg;
    int err = hd_spawn(&t, HD_ATTR(.name = "watcher"), watcher, &watches);
    if (err) return err;
    printf("%zu KiB resident at first\n", resident_kib());
    err = burst();
    printf("%zu KiB after %d threads have come and gone\n", resident_kib(), THREADS);
    printf("%zu KiB given back\n", hd_trim() / 1024);
    printf("%zu KiB resident then\n", resident_kib());
    printf("memory pressure is %s\n", watches ? "watched" : "not told here");
    hd_interrupt(t);
    hd_join(t, NULL);
    return err;
}

int main(void) {
    int err = hd_run(NULL, program, NULL);
    if (err) fprintf(stderr, "pressure: %s\n", hd_strerror(err));
    return err != 0;
}
