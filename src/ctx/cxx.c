/* SPDX-License-Identifier: MIT */
#include "ctx/cxx.h"

extern void *__cxa_get_globals(void) __attribute__((weak));

struct hd__cxx *hd__cxx_globals(void) {
    static struct hd__cxx none;
    return __cxa_get_globals ? __cxa_get_globals() : &none;
}
