/* SPDX-License-Identifier: MIT */
/* What the subject pthread sets up once. */
#include "subject.h"

#include <string.h>
#include <unistd.h>

pthread_attr_t subject_pthread_attr;
pthread_key_t subject_pthread_key;

int subject_pthread_prepare(const struct subject_setup *setup) {
    int error = pthread_attr_init(&subject_pthread_attr);
    if (!error) {
        size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
        size_t size = setup->stack_size ? setup->stack_size : SUBJECT_STACK_BYTES;
        size = size > least ? size : least;
        error = pthread_attr_setstacksize(&subject_pthread_attr, size);
    }
    if (error) {
        return bench_error("thread attributes: %s", strerror(error));
    }
    bench_limit_cpus(setup->workers);
    return BENCH_OK;
}
