/* SPDX-License-Identifier: MIT */
/* The fault seam; see fault.h. */
#include "os/fault.h"

#ifdef HD_FAULT

#include "base/atomic.h"

#include <stdlib.h>

static _Atomic uint64_t hits;       /* calls since armed */
static _Atomic uint64_t failed;     /* calls made to fail since armed */
static _Atomic uint64_t fail_first; /* the first call that fails; 0: none */
static _Atomic uint64_t fail_last;  /* the last call that fails */
static _Atomic(const char *) last_site;

static void arm(uint64_t first, uint64_t last) {
    atomic_store(&fail_first, 0);
    atomic_store(&hits, 0);
    atomic_store(&failed, 0);
    atomic_store(&last_site, NULL);
    atomic_store(&fail_last, last);
    atomic_store(&fail_first, first);
}

void hd__fault_arm(uint64_t n) {
    arm(n, n);
}

void hd__fault_arm_from(uint64_t n) {
    arm(n, UINT64_MAX);
}

uint64_t hd__fault_hits(void) {
    return atomic_load(&hits);
}

uint64_t hd__fault_failed(void) {
    return atomic_load(&failed);
}

const char *hd__fault_site(void) {
    return atomic_load(&last_site);
}

bool hd__fault_should_fail(const char *site) {
    uint64_t n = atomic_fetch_add(&hits, 1) + 1;
    uint64_t first = atomic_load(&fail_first);
    if (first == 0 || n < first || n > atomic_load(&fail_last)) {
        return false;
    }
    atomic_fetch_add(&failed, 1);
    atomic_store(&last_site, site);
    return true;
}

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *text = getenv("HD_FAULT_AT");
    if (text != NULL) {
        hd__fault_arm(strtoull(text, NULL, 10));
    }
}

#else

/* A translation unit must not be empty. */
typedef int hd__fault_is_off;

#endif
