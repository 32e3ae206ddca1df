/* sys_sysv_msg.c - System V message queues; msgget(2), msgop(2), msgctl(2).  Receiving by exclusion and
** copying are Linux's.  SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

/* <linux/msg.h>; the C library has it since 2.35 */
#if defined __linux__ && !defined MSG_COPY
#define MSG_COPY 040000
#endif

int lipcsys_msgget (int32_t key, size_t n, int flags) {
  (void)n;
  int id = msgget(key, flags);
  return id < 0 ? -errno : id;
}

int lipcsys_msgsnd (int id, const struct lipcsys_msg *m, size_t size, bool wait) {
  return msgsnd(id, m, size, wait ? 0 : IPC_NOWAIT) < 0 ? -errno : 0;
}

int lipcsys_msgrcv (int id, struct lipcsys_msg *m, size_t size, long type, unsigned how, bool wait,
                    size_t *ret_n) {
  int flags = wait ? 0 : IPC_NOWAIT;
  if (how & LIPC_MSG_TRUNCATE) flags |= MSG_NOERROR;
#ifdef MSG_EXCEPT
  if (how & LIPC_MSG_EXCEPT) flags |= MSG_EXCEPT;
#else
  if (how & LIPC_MSG_EXCEPT) return -ENOSYS;
#endif
#ifdef MSG_COPY
  if (how & LIPC_MSG_COPY) flags |= MSG_COPY;
#else
  if (how & LIPC_MSG_COPY) return -ENOSYS;
#endif
  ssize_t n = msgrcv(id, m, size, type, flags);
  if (n < 0) return errno == ENOMSG && !(how & LIPC_MSG_COPY) ? -EAGAIN : -errno;
  *ret_n = (size_t)n;
  return 0;
}

/* Of an id that was valid once, EINVAL says that the queue is gone. */
static int removed (int err) { return err == EINVAL ? -EIDRM : -err; }

static int get (int id, struct msqid_ds *ds) {
  return msgctl(id, IPC_STAT, ds) < 0 ? removed(errno) : 0;
}

int lipcsys_msgstat (int id, struct lipcsys_msgstat *ret_stat) {
  struct msqid_ds ds;
  int r = get(id, &ds);
  if (r < 0) return r;
  memset(ret_stat, 0, sizeof *ret_stat);
#ifdef __linux__
  ret_stat->perm.key = ds.msg_perm.__key;
  ret_stat->cbytes = ds.__msg_cbytes;
#endif
  ret_stat->perm.uid = ds.msg_perm.uid;
  ret_stat->perm.gid = ds.msg_perm.gid;
  ret_stat->perm.cuid = ds.msg_perm.cuid;
  ret_stat->perm.cgid = ds.msg_perm.cgid;
  ret_stat->perm.mode = ds.msg_perm.mode & 0777;
  ret_stat->qnum = ds.msg_qnum;
  ret_stat->qbytes = ds.msg_qbytes;
  ret_stat->lspid = ds.msg_lspid;
  ret_stat->lrpid = ds.msg_lrpid;
  ret_stat->stime = ds.msg_stime;
  ret_stat->rtime = ds.msg_rtime;
  ret_stat->ctime = ds.msg_ctime;
  return 0;
}

int lipcsys_msgset (int id, const struct lipcsys_msgstat *stat) {
  struct msqid_ds ds;
  int r = get(id, &ds);
  if (r < 0) return r;
  ds.msg_perm.uid = stat->perm.uid;
  ds.msg_perm.gid = stat->perm.gid;
  ds.msg_perm.mode = (unsigned short)stat->perm.mode;
  ds.msg_qbytes = stat->qbytes;
  return msgctl(id, IPC_SET, &ds) < 0 ? -errno : 0;
}

int lipcsys_msgrm (int id) { return msgctl(id, IPC_RMID, NULL) < 0 ? removed(errno) : 0; }
