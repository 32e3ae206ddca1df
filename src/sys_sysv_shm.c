/* sys_sysv_shm.c - System V shared memory; shmget(2), shmop(2), shmctl(2).
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lipc_sys.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int lipcsys_shmget (int32_t key, size_t n, int flags) {
  int id = shmget(key, n, flags);
  return id < 0 ? -errno : id;
}

int lipcsys_shmhuge (void) {
#ifdef SHM_HUGETLB
  return SHM_HUGETLB;
#else
  return 0;
#endif
}

/* Of an id that was valid once, EINVAL says that the segment is gone. */
static int removed (int err) { return err == EINVAL ? -EIDRM : -err; }

int lipcsys_shmat (int id, bool readonly, void **ret_addr) {
  void *addr = shmat(id, NULL, readonly ? SHM_RDONLY : 0);
  if (addr == (void *)-1) return removed(errno); /* an address of its own choice is never wrong */
  *ret_addr = addr;
  return 0;
}

int lipcsys_shmdt (void *addr) { return shmdt(addr) < 0 ? -errno : 0; }

static int get (int id, struct shmid_ds *ds) {
  return shmctl(id, IPC_STAT, ds) < 0 ? removed(errno) : 0;
}

int lipcsys_shmstat (int id, struct lipcsys_shmstat *ret_stat) {
  struct shmid_ds ds;
  int r = get(id, &ds);
  if (r < 0) return r;
  memset(ret_stat, 0, sizeof *ret_stat);
#ifdef __linux__
  ret_stat->perm.key = ds.shm_perm.__key;
  ret_stat->dest = (ds.shm_perm.mode & SHM_DEST) != 0;
  ret_stat->locked = (ds.shm_perm.mode & SHM_LOCKED) != 0;
#endif
  ret_stat->perm.uid = ds.shm_perm.uid;
  ret_stat->perm.gid = ds.shm_perm.gid;
  ret_stat->perm.cuid = ds.shm_perm.cuid;
  ret_stat->perm.cgid = ds.shm_perm.cgid;
  ret_stat->perm.mode = ds.shm_perm.mode & 0777;
  ret_stat->size = ds.shm_segsz;
  ret_stat->nattch = ds.shm_nattch;
  ret_stat->cpid = ds.shm_cpid;
  ret_stat->lpid = ds.shm_lpid;
  ret_stat->atime = ds.shm_atime;
  ret_stat->dtime = ds.shm_dtime;
  ret_stat->ctime = ds.shm_ctime;
  return 0;
}

int lipcsys_shmset (int id, const struct lipcsys_sysvperm *perm) {
  struct shmid_ds ds;
  int r = get(id, &ds);
  if (r < 0) return r;
  ds.shm_perm.uid = perm->uid;
  ds.shm_perm.gid = perm->gid;
  ds.shm_perm.mode = (unsigned short)perm->mode;
  return shmctl(id, IPC_SET, &ds) < 0 ? -errno : 0;
}

int lipcsys_shmrm (int id) { return shmctl(id, IPC_RMID, NULL) < 0 ? removed(errno) : 0; }
