/* sys_admin.h - the part of lipc_sys.h that is about what exists: the named objects of the machine and
** the processes that use them; include that.  SPDX-License-Identifier: MIT */
#ifndef LIPC_SYS_ADMIN_H
#define LIPC_SYS_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* ---- a file of /proc, line by line ---- */

struct lipcsys_lines {
  int fd; /* the caller's to close */
  size_t pos, end;
  bool cut; /* the rest of a line that was too long comes next */
  char buf[1024];
};

int lipcsys_openlines (struct lipcsys_lines *s, const char *path);

/* The next line, at most so much of it as there is room for; NULL at the end. */
char *lipcsys_nextline (struct lipcsys_lines *s);

/* The whole of such a file and a zero at the end.  -ENOBUFS: that is more than size bytes. */
int lipcsys_slurp (const char *path, char *buf, size_t size, size_t *ret_n);

/* ---- processes ---- */

/* At most max pids are stored, *ret_n is how many there are; *ret_hidden: there are more that /proc does
** not show.  -- see proc(5) hidepid */
int lipcsys_pids (long *list, size_t max, size_t *ret_n, bool *ret_hidden);

long lipcsys_euid (void);

struct lipcsys_procinfo {
  double age; /* seconds since it began */
  bool opens; /* it can have something open: neither the kernel's own nor a zombie */
  bool running; /* not a zombie */
  long uid; /* the effective one */
};

/* -ESRCH: there is none.  -- see proc(5) stat, status */
int lipcsys_procinfo (long pid, struct lipcsys_procinfo *ret_info);

/* What a process may have open: a file, by device and inode; a socket by its inode, a System V segment by
** its id. */
enum { LIPC_OPEN_FILE, LIPC_OPEN_SOCKET, LIPC_OPEN_SEGMENT };
struct lipcsys_wanted {
  int what;
  uint64_t dev, ino; /* dev: of files */
  size_t index; /* the caller's */
  bool hit;
};

/* Marks those that the process has as a descriptor or a mapping; list is sorted by lipcsys_sortwanted.
** *ret_unseen: which of the two could not be looked at.  -- see proc(5) fd, maps */
#define LIPC_UNSEEN_FD  1u
#define LIPC_UNSEEN_MAP 2u
void lipcsys_opened (long pid, struct lipcsys_wanted *list, size_t n, unsigned *ret_unseen);
void lipcsys_sortwanted (struct lipcsys_wanted *list, size_t n);

/* ---- objects that are files ---- */

enum { LIPC_AT_SHM, LIPC_AT_MQUEUE, LIPC_AT_DIR };

/* Where they are: POSIX shared memory and semaphores, POSIX queues, or a directory of FIFOs and sockets,
** which no symbolic link names and, unless uid is -1, which is this user's and nobody else may write to
** (-LIPC_EUNSAFE). */
struct lipcsys_place {
  int where;
  const char *path; /* of LIPC_AT_DIR */
  long uid;
};

enum { LIPC_IS_FILE, LIPC_IS_SOCKET, LIPC_IS_FIFO, LIPC_IS_DIR };

struct lipcsys_named {
  char name[256]; /* without the directory */
  char
    identity[80]; /* tells it from another one that has got its name, even with its inode number */
  int type; /* LIPC_IS_FILE ... */
  bool bound; /* of a socket: somebody is bound to it, as far as can be told */
  unsigned mode;
  uid_t uid;
  gid_t gid;
  uint64_t size; /* of a queue: bytes of RLIMIT_MSGQUEUE, or UINT64_MAX: not told */
  uint64_t dev, ino;
  long curmsgs; /* of a queue */
  double born, changed; /* seconds since 1970; born 0: not told; changed: contents or attributes */
};

/* Fills in at most max, *ret_n is how many there are.  Symbolic links and devices are none of them.
** -ENOENT: there is no such place, or (queues) it is mounted nowhere and this user may not mount it. */
int lipcsys_named (const struct lipcsys_place *place, struct lipcsys_named *list, size_t max,
                   size_t *ret_n);

/* Removes it if it still has that identity (-ESTALE) and nobody has it open or is bound to it (-EBUSY).
** Of files the kernel is asked, by a lease, which sees every process; where it does not answer, and
** LIPC_RM_ASK, -EPROTONOSUPPORT.  -- see fcntl(2) F_SETLEASE, unlink(2) */
#define LIPC_RM_ASK   1u /* the caller has not seen all processes */
#define LIPC_RM_FORCE 2u /* open or not */
#define LIPC_RM_DRY   4u /* everything but the removal */
int lipcsys_rmnamed (const struct lipcsys_place *place, const char *name, const char *identity,
                     unsigned how);

/* The directory of a dead socket is locked while it is looked at and removed, so that nobody replaces
** it meanwhile: flock(2), tried for a while.  -EBUSY */
int lipcsys_lockdir (int fd);

/* Whether somebody is bound to a path: 0 nobody; -EADDRINUSE; -ENOENT; -EACCES: that is not told. */
struct lipcsys_addr;
int lipcsys_isfree (const struct lipcsys_addr *addr);

/* The smallest size of a file that is a semaphore. */
size_t lipcsys_semsize (void);

#pragma GCC visibility pop
#endif
