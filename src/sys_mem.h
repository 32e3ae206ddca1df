/* sys_mem.h - the part of lipc_sys.h that is about memory shared between processes; include that.
** SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_MEM_H
#define LIPC_SYS_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* ---- mappings ---- */

/* Memory that this process and its forked children share; size is rounded up to pages.
** -- see mmap(2) MAP_ANONYMOUS */
int lipcsys_mapshared (size_t size, void **ret_addr);
int lipcsys_unmap (void *addr, size_t size);

/* ---- words that are waited on ---- */

/* Sleeps while the word has that value, for at most that long (HUGE_VAL: for ever).  0: woken, perhaps
** for nothing; -EAGAIN: it has another value; -ETIMEDOUT, -EINTR; -EFAULT: it is no memory any more.
** The word is four bytes, aligned, in memory of any kind of sharing.  -- see futex(2) FUTEX_WAIT */
int lipcsys_futexwait (_Atomic uint32_t *word, uint32_t expected, double seconds);

/* Wakes up to n who sleep on it; how many it were.  -- see futex(2) FUTEX_WAKE */
int lipcsys_futexwake (_Atomic uint32_t *word, int n);

/* ---- locks of one word ---- */

/* A lock for the inside of one C call: it is held for a few hundred instructions, and a thread holds
** one at a time.  The word has the owner's thread id; the kernel is told where it is by
** list_op_pending of the thread's robust list, so it marks the word when the thread dies, whenever
** that is, and nothing in shared memory is ever used as a pointer.  All who share it are of one pid
** name space.  Zeroed memory is a free lock.  -- see get_robust_list(2) */

/* seconds 0: one attempt.  0: it is ours; -EOWNERDEAD: it is ours, and who had it died inside: what it
** protects may be half-changed; -ETIMEDOUT, -EINTR; -EFAULT.  A word that somebody has scribbled on
** may look held for ever. */
int lipcsys_word_lock (_Atomic uint32_t *word, double seconds);
void lipcsys_word_unlock (_Atomic uint32_t *word);

/* ---- steps ---- */

/* A point where a test may stop and kill the process: between two stores that others see.  Empty but
** in the library that `make steps` builds, where LIPC_STEP=name[:nth] in the environment makes the
** process stop itself (SIGSTOP) when it comes there. */
#ifdef LIPC_STEPS
void lipcsys_step (const char *name);
#define LIPC_STEP(name) lipcsys_step(name)
#else
#define LIPC_STEP(name) ((void)0)
#endif

#pragma GCC visibility pop
#endif
