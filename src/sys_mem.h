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

#define LIPC_MAP_READONLY  1u
#define LIPC_MAP_PRIVATE   2u /* what is written is seen by nobody else and not kept */
#define LIPC_MAP_NORESERVE 4u
#define LIPC_MAP_POPULATE  8u /* every page is there before it returns */

size_t lipcsys_pagesize (void);

/* Memory of a file from that offset on, which is a multiple of the page size, or with fd -1 zeroed
** memory that this process and its forked children share.  size > 0.  -- see mmap(2) */
int lipcsys_map (int fd, uint64_t offset, size_t size, unsigned how, void **ret_addr);
int lipcsys_mapshared (size_t size, void **ret_addr);
int lipcsys_unmap (void *addr, size_t size);

/* Zeros of this process in the place of what is mapped there. */
int lipcsys_blank (void *addr, size_t size);

/* Another size for what was mapped; move false: where it is, or -ENOMEM.  -EFAULT: parts of it have had
** their own advice or locks, so that it is several mappings to the kernel.  -- see mremap(2) */
int lipcsys_remap (void *addr, size_t old, size_t size, bool move, void **ret_addr);

/* Of any bytes inside of a mapping: their pages.  -- see msync(2), mlock(2) */
int lipcsys_msync (char *addr, size_t size, bool async);
int lipcsys_mlock (char *addr, size_t size, bool on);

/* The names of what can be advised, without what would take memory away; and to do that, by its index.
** -- see madvise(2) */
extern const char *const lipcsys_advices[];
int lipcsys_madvise (char *addr, size_t size, int advice);

/* ---- the files behind them ---- */

/* shm true: path is a name, "/x", among the POSIX shared memory objects.  -- see shm_overview(7) */
struct lipcsys_mempath {
  const char *path;
  bool shm;
};

struct lipcsys_meminfo {
  uint64_t size;
  struct lipcsys_fileid id;
  unsigned mode; /* permission bits */
  unsigned seals; /* LIPC_SEAL_* */
};

/* -EINVAL: neither file nor object of shared memory; -EISDIR.  -- see fstat(2), fcntl(2) F_GET_SEALS */
int lipcsys_meminfo (int fd, struct lipcsys_meminfo *ret_info);

/* Opens one that is there, close-on-exec; no device or FIFO is touched and no symbolic link followed as
** the last part (-ELOOP).  -- see shm_open(3), open(2) */
int lipcsys_memopen (const struct lipcsys_mempath *p, bool write, int *ret_fd,
                     struct lipcsys_meminfo *ret_info);

/* Whether the name is taken, by whatever. */
bool lipcsys_memthere (const struct lipcsys_mempath *p);

/* A file that has no name yet, or where that cannot be, a temporary one; publishing gives it its name,
** -EEXIST if that is taken, and never replaces another.  What is not published goes with the
** descriptor, or by memdrop.  mode is changed by the umask.  -- see open(2) O_TMPFILE, linkat(2) */
struct lipcsys_newmem {
  struct lipcsys_mempath path;
  int fd;
  char temporary[24]; /* the last part of its name for now; empty: it has none */
};
int lipcsys_memnew (struct lipcsys_newmem *n, unsigned mode);
int lipcsys_mempublish (struct lipcsys_newmem *n);
void lipcsys_memdrop (struct lipcsys_newmem *n);

/* Makes it as long as that if it is shorter, never shorter; reserve: and sees that there is room, as far
** as the file system can say so.  -ENOSPC.  -- see fallocate(2) */
int lipcsys_memgrow (int fd, uint64_t size, bool reserve);
int lipcsys_memsetsize (int fd, uint64_t size); /* longer or shorter; nothing is reserved */

/* only: if it is still that one, 0 else; NULL: whichever.  -- see shm_unlink(3) */
int lipcsys_memunlink (const struct lipcsys_mempath *p, const struct lipcsys_fileid *only);

/* What an error of these calls is about: which file system has how much room, which limit; or NULL. */
const char *lipcsys_memnote (const struct lipcsys_mempath *p, int fd, int err, char *buf,
                             size_t size);
const char *lipcsys_mlocknote (int err, char *buf, size_t size);

#define LIPC_SEAL_SEAL   1u
#define LIPC_SEAL_SHRINK 2u
#define LIPC_SEAL_GROW   4u
#define LIPC_SEAL_WRITE  8u
#define LIPC_SEAL_FUTURE 16u /* no more writing but by mappings that are there */

/* Memory that has no name in the file system; it can be sealed.  -- see memfd_create(2) */
int lipcsys_memfd (const char *name, int *ret_fd);
int lipcsys_memseal (int fd, unsigned seals);

/* ---- the guard ---- */

/* Between these calls an access to a page that the file under the mapping does not have (any more, or
** because its file system is full) is answered by zero pages from there to the end of the mapping,
** and the flag is set, instead of ending the process by SIGBUS.  The handler is there while something
** is guarded; what is not its business goes on to the disposition that was there before.
** -- see sigaction(2) SIGBUS */
struct lipcsys_guard;
int lipcsys_guard (void *addr, size_t size, bool readonly, struct lipcsys_guard **ret_guard,
                   const _Atomic bool **ret_lost);
/* It is elsewhere, or has another size; size 0: nowhere, for the time of a change. */
void lipcsys_guard_move (struct lipcsys_guard *g, void *addr, size_t size, bool readonly);
void lipcsys_unguard (struct lipcsys_guard *g);

/* sigaction(2) as everybody in lipc must call it: of SIGBUS it is the disposition behind the guard.
** Under the signal table's lock. */
struct sigaction;
int lipcsys_disposition (int signo, const struct sigaction *set, struct sigaction *ret_old);

/* In a forked child: handlers that ran in other threads do not run here.  And after all dispositions have
** been made the default: puts the guard's handler back where there are mappings to guard. */
void lipcsys_guard_forked (void);
void lipcsys_guard_again (void);

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
** protects may be half-changed; -ETIMEDOUT; -EFAULT.  Signals do not end it.  A word that somebody has scribbled on
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
