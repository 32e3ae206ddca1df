/* sys_ipc.h - the part of lipc_sys.h that is about the kernel's message queues, semaphores, segments
** and locks; include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_IPC_H
#define LIPC_SYS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- waits that the kernel gives no time limit ---- */

/* A call that blocks; wait false: one attempt that does not, -EAGAIN when it would. */
typedef int lipcsys_call (void *arg, bool wait);

/* Tries a few times, giving way to others between; then makes the blocking call, but for at most that
** long (finite): what it returned; -EINTR: the time is over, or a signal came.  The thread sleeps in
** the kernel and is woken by a timer with SIGURG, which means nothing to anybody while its disposition
** is the default, and for that time has a handler that does nothing.  Where SIGURG is blocked or is
** somebody's, the call is tried after pauses that grow from 50 us to 5 ms.
** -- see timer_create(2), msgrcv(2), flock(2), fcntl(2) F_OFD_SETLKW */
int lipcsys_bounded (double seconds, lipcsys_call *call, void *arg);

/* A limit of the kernel as text, from /proc/sys/<name> ("kernel/msgmni"); "?" where it is not told. */
const char *lipcsys_limit (const char *name, char *buf, size_t size);

/* ---- POSIX message queues ---- */

/* ---- System V: what the three kinds share ---- */

/* As struct ipc_perm has it.  -- see sysvipc(7) */
struct lipcsys_sysvperm {
  int32_t key;
  uint32_t uid, gid, cuid, cgid;
  unsigned mode; /* the nine permission bits */
};

#define LIPC_IPC_PRIVATE 0

/* How an object is to be opened, or made. */
struct lipcsys_sysvopen {
  int32_t key;
  unsigned mode; /* of one that is made; the umask has no say */
  bool create, exclusive;
  size_t n; /* the size of a segment, the number of semaphores */
  int flags; /* what the kind has more of them, as SHM_HUGETLB */
};

/* msgget, shmget or semget: the id or a negative errno.  flags have IPC_CREAT and so on. */
typedef int lipcsys_sysvget (int32_t key, size_t n, int flags);

/* Opens or makes it; *ret_made: it was not there before.  Others may make and remove it at the same
** time.  -ENOENT, -EEXIST, -EACCES, -ENOSPC ...  -- see msgget(2), shmget(2), semget(2) */
int lipcsys_sysv_open (const struct lipcsys_sysvopen *o, lipcsys_sysvget *get, int *ret_id,
                       bool *ret_made);

/* -- see ftok(3) */
int lipcsys_ftok (const char *path, int proj, int32_t *ret_key);

/* The kernel's table of all objects of a kind ("msg", "shm", "sem") as text, a header line first.
** and a zero at the end.  -ENOBUFS: that is more than size bytes.  -- see proc(5) /proc/sysvipc */
int lipcsys_sysv_table (const char *kind, char *buf, size_t size, size_t *ret_n);

/* The login name of a user, written into buf; NULL when there is none. */
const char *lipcsys_username (uint32_t uid, char *buf, size_t size);

/* ---- System V message queues ---- */

/* A message as the kernel wants it: its type, and the bytes behind it, which the size counts alone. */
struct lipcsys_msg {
  long type;
  char data[];
};

struct lipcsys_msgstat {
  struct lipcsys_sysvperm perm;
  uint64_t qnum, qbytes, cbytes; /* messages; bytes that may be and that are in the queue */
  long lspid, lrpid;
  int64_t stime, rtime, ctime;
};

lipcsys_sysvget lipcsys_msgget;

/* One attempt, or as long as it takes.  -EAGAIN, -EIDRM, -EINVAL, -EACCES, -EINTR.  -- see msgsnd(2) */
int lipcsys_msgsnd (int id, const struct lipcsys_msg *m, size_t size, bool wait);

#define LIPC_MSG_EXCEPT   1u /* the first of another type */
#define LIPC_MSG_TRUNCATE 2u
#define LIPC_MSG_COPY     4u /* leaves it; type is an index, from 0 */

/* The message's bytes, at most size, or -E2BIG: it stays.  -EAGAIN (there is none), -EIDRM, -EINTR;
** LIPC_MSG_COPY: -ENOMSG, -ENOSYS.  -- see msgrcv(2) */
int lipcsys_msgrcv (int id, struct lipcsys_msg *m, size_t size, long type, unsigned how, bool wait,
                    size_t *ret_n);

/* -EIDRM when there is none (any more) of that id.  -- see msgctl(2) */
int lipcsys_msgstat (int id, struct lipcsys_msgstat *ret_stat);
int lipcsys_msgset (int id, const struct lipcsys_msgstat *stat); /* uid, gid, mode, qbytes */
int lipcsys_msgrm (int id);

/* ---- System V shared memory ---- */

struct lipcsys_shmstat {
  struct lipcsys_sysvperm perm;
  uint64_t size, nattch;
  long cpid, lpid;
  int64_t atime, dtime, ctime;
  bool dest, locked; /* goes with the last who detaches; never swapped out */
};

lipcsys_sysvget lipcsys_shmget;

/* The flag of lipcsys_sysvopen for pages of the hugepage pool; 0: there is none here. */
int lipcsys_shmhuge (void);

/* -- see shmat(2), shmdt(2) */
int lipcsys_shmat (int id, bool readonly, void **ret_addr);
int lipcsys_shmdt (void *addr);

/* As those of the queues.  -- see shmctl(2) */
int lipcsys_shmstat (int id, struct lipcsys_shmstat *ret_stat);
int lipcsys_shmset (int id, const struct lipcsys_sysvperm *perm);
int lipcsys_shmrm (int id);

/* ---- System V semaphore sets ---- */

/* ---- POSIX semaphores ---- */

/* ---- file locks ---- */

#pragma GCC visibility pop
#endif
