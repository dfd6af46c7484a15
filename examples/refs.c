/* SPDX-License-Identifier: MIT */
/* A cache that does not keep alive what is in it: it has weak references. A thread that finds its
 * picture there, still in use by another, shares it; else it makes a new one. The last that lets go
 * of a picture frees it, whichever thread that is; who made it counts without atomic instructions.
 *
 *     cc refs.c $(pkg-config --cflags --libs heddle) && ./a.out */
#include <heddle/heddle.h>

#include <stdio.h>
#include <stdlib.h>

enum { PICTURES = 16, THREADS = 32, LOOKS = 200, SIDE = 64 };

struct picture {
    hd_ref ref;
    unsigned number;
    unsigned char *pixels;
};

/* The lock guards the slots. A slot holds a weak reference. */
static struct {
    hd_mutex lock;
    struct picture *slots[PICTURES];
} cache;

static hd_counter made = HD_COUNTER_INIT, shared = HD_COUNTER_INIT, freed = HD_COUNTER_INIT;

/* Nobody uses it any more: what it has is given back ... */
static void picture_finish(hd_ref *r) {
    struct picture *p = HD_REF_OBJECT(r, struct picture, ref);
    free(p->pixels);
}

/* ... and its own memory, when the cache does not look at it any more either. */
static void picture_free(hd_ref *r) {
    free(HD_REF_OBJECT(r, struct picture, ref));
    hd_counter_add(&freed, 1);
}

static struct picture *picture_new(unsigned number) {
    struct picture *p = malloc(sizeof *p);
    unsigned char *pixels = malloc(SIDE * SIDE);
    if (!p || !pixels) {
        free(p);
        free(pixels);
        return NULL;
    }
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        pixels[i] = (unsigned char)(number * i);
    p->number = number;
    p->pixels = pixels;
    hd_ref_init_weak(&p->ref, picture_finish, picture_free);
    hd_counter_add(&made, 1);
    return p;
}

/* A reference to the picture, which the caller gives back. */
static struct picture *picture_get(unsigned number) {
    hd_mutex_lock(&cache.lock);
    struct picture *p = cache.slots[number], *old = NULL;
    if (p && hd_ref_tryget(&p->ref)) {
        hd_counter_add(&shared, 1);
    } else {
        old = p;
        p = picture_new(number);
        if (p)
            hd_ref_weak_get(&p->ref);
        cache.slots[number] = p;
    }
    hd_mutex_unlock(&cache.lock);
    if (old)
        hd_ref_weak_put(&old->ref);
    return p;
}

static void *look_at_pictures(void *arg) {
    uint64_t state = (uint64_t)(uintptr_t)arg, light = 0;
    for (int i = 0; i < LOOKS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        struct picture *p = picture_get((unsigned)(state >> 60) % PICTURES);
        if (!p)
            break;
        for (unsigned n = 0; n < SIDE * SIDE; n++)
            light += p->pixels[n];
        if (i % 8 == 0)
            hd_yield(); /* others find the picture in use */
        hd_ref_put(&p->ref);
    }
    return (void *)(uintptr_t)light;
}

static int run(void *arg) {
    hd_thread *t[THREADS];
    int started = 0;
    (void)arg;
    while (started < THREADS &&
           hd_spawn(&t[started], NULL, look_at_pictures, (void *)(uintptr_t)(started + 1)) == 0)
        started++;
    for (int i = 0; i < started; i++)
        hd_join(t[i], NULL);
    for (unsigned i = 0; i < PICTURES; i++)
        if (cache.slots[i])
            hd_ref_weak_put(&cache.slots[i]->ref);
    hd_ref_drain();
    int64_t all = hd_counter_sum(&made);
    printf("%lld looks: %lld pictures made, %lld times shared, %lld freed\n",
           (long long)(all + hd_counter_sum(&shared)), (long long)all,
           (long long)hd_counter_sum(&shared), (long long)hd_counter_sum(&freed));
    return hd_counter_sum(&freed) == all ? 0 : 1;
}

int main(void) {
    return hd_run(NULL, run, NULL);
}
