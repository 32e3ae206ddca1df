/* shmtwin.c - the other side of shared memory objects, in plain C:
**   shmtwin make name size             makes one, and fills it with its offsets modulo 251
**   shmtwin get name offset n          prints the bytes
**   shmtwin put name offset data
**   shmtwin sum name                   of its int32_t
**   shmtwin cut name size              ftruncate
** SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed (const char *what) {
  perror(what);
  return 1;
}

int main (int argc, char **argv) {
  struct stat st;
  if (argc < 3) return 2;
  const char *verb = argv[1], *name = argv[2];
  long a = argc > 3 ? atol(argv[3]) : 0;
  int make = strcmp(verb, "make") == 0;
  int fd = shm_open(name, O_RDWR | (make ? O_CREAT | O_EXCL : 0), 0600);
  if (fd < 0) return failed("shm_open");
  if ((make || strcmp(verb, "cut") == 0) && ftruncate(fd, a) < 0) return failed("ftruncate");
  if (fstat(fd, &st) < 0) return failed("fstat");
  if (st.st_size == 0) return 0;
  char *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return failed("mmap");
  if (make) {
    for (off_t i = 0; i < st.st_size; i++) p[i] = (char)(i % 251);
  } else if (strcmp(verb, "get") == 0) {
    fwrite(p + a, 1, (size_t)atol(argv[4]), stdout);
  } else if (strcmp(verb, "put") == 0) {
    memcpy(p + a, argv[4], strlen(argv[4]));
  } else if (strcmp(verb, "sum") == 0) {
    int64_t sum = 0;
    for (off_t i = 0; i < st.st_size / 4; i++) sum += ((int32_t *)(void *)p)[i];
    printf("%lld\n", (long long)sum);
  }
  return 0;
}
