/* sys_step.c - where a test wants the process to stop; compiled for `make steps` only.
** SPDX-License-Identifier: MIT */
#include "lipc_sys.h"

#ifdef LIPC_STEPS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lipcsys_step (const char *name) {
  static _Atomic int seen;
  const char *want = getenv("LIPC_STEP");
  size_t n = strlen(name);
  if (want == NULL || strncmp(want, name, n) != 0 || (want[n] != '\0' && want[n] != ':')) return;
  int nth = want[n] == ':' ? atoi(want + n + 1) : 1;
  if (atomic_fetch_add(&seen, 1) + 1 == nth) kill(getpid(), SIGSTOP);
}
#endif
