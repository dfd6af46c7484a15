/* SPDX-License-Identifier: MIT */
/* Sequence locks: data that is read far more often than it is written, and that readers copy
 * without writing anything, not even a lock.
 *
 *     static hd_seqlock lock = HD_SEQLOCK_INIT;
 *     static struct quote { double bid, ask; } quote;
 *
 *     hd_seqlock_write(&lock, &quote, &(struct quote){99, 101}, sizeof quote);
 *
 *     struct quote now;
 *     hd_seqlock_read(&lock, &now, &quote, sizeof now);   // both of one write
 *
 * A reader copies the data and looks whether somebody wrote meanwhile; then it copies again. So it
 * may copy nonsense for a while: the data should hold no pointers that are followed (use RCU,
 * hazard pointers or epochs for what is behind pointers).
 *
 * Who may call what: any thread or foreign kernel thread everything, at the same time. Not from
 * signal handlers.
 *
 * Order. Writes follow each other; a read gives what one write left, the last one that ended before
 * the read began, or a later one. What a writer did before it happens before what a reader does
 * that sees its data.
 *
 * Progress. Readers never hold up writers or each other. A read waits while somebody writes, and
 * tries again when somebody wrote: it is not for data that is written all the time. A writer waits
 * for another one. A thread that writes is not preempted, so nobody waits for a whole time slice; a
 * kernel thread that the kernel deschedules while it writes is given the CPU.
 * hd_seqlock_tryread() is wait-free.
 *
 * Sources: C. Lameter, Effective Synchronization on Linux/NUMA Systems, 2005; H.-J. Boehm, Can
 * Seqlocks Get Along with Programming Language Memory Models?, MSPC 2012. The argument is in
 * src/lockfree/seqlock.h. */
#ifndef HEDDLE_SEQLOCK_H
#define HEDDLE_SEQLOCK_H

#include <heddle/base.h>

HD_BEGIN_DECLS

/* All zero: ready. Not to be copied. Its member is private. */
typedef struct {
    uint64_t sequence, writer;
} hd_seqlock;
#define HD_SEQLOCK_INIT { 0 }

/* Copies `size` bytes from `from` to the data that the lock guards. Fast where both are aligned to
 * 8 bytes. */
HD_API void hd_seqlock_write(hd_seqlock *l, void *data, const void *from, size_t size);

/* Copies the data to `to`, as one write left it. */
HD_API void hd_seqlock_read(const hd_seqlock *l, void *to, const void *data, size_t size);

/* The same in one try. False: somebody was writing, and what `to` holds is of no use. */
HD_API bool hd_seqlock_tryread(const hd_seqlock *l, void *to, const void *data, size_t size);

/* The parts, for data that is not copied as a whole:
 *
 *     hd_seqlock_write_begin(&lock);
 *     HD_SEQ_STORE(&a, 1); HD_SEQ_STORE(&b, 2);
 *     hd_seqlock_write_end(&lock);
 *
 *     do {
 *         s = hd_seqlock_read_begin(&lock);
 *         x = HD_SEQ_LOAD(&a), y = HD_SEQ_LOAD(&b);
 *     } while (hd_seqlock_read_retry(&lock, s));
 *
 * All accesses to the data by readers, and those by writers that change it, go through the two
 * macros, for objects of 1, 2, 4 or 8 bytes: plain ones would be data races, which compilers may
 * take as they like. The macros cost nothing on x86-64. */
#define HD_SEQ_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define HD_SEQ_STORE(p, value) __atomic_store_n((p), (value), __ATOMIC_RELEASE)

/* Begins writing: waits for another writer. Between the two the caller is not preempted, and must
 * neither wait nor yield; they do not nest: beginning within aborts, and so does ending what one
 * has not begun. */
HD_API void hd_seqlock_write_begin(hd_seqlock *l);
HD_API void hd_seqlock_write_end(hd_seqlock *l);

/* Begins a try to read: waits while somebody writes. Returns what hd_seqlock_read_retry() takes,
 * which says whether somebody wrote since: then the reading must be done again. */
HD_API uint64_t hd_seqlock_read_begin(const hd_seqlock *l);
HD_API bool hd_seqlock_read_retry(const hd_seqlock *l, uint64_t begun);

HD_END_DECLS
#endif
