/* viewtwin.c - a C program that shares memory with views, by structs of its own:
**   viewtwin offsets         prints sizes and offsets of its structs, a line for each
**   viewtwin write NAME      fills the POSIX shared memory object of that name
**   viewtwin read NAME       prints what it finds there
**   viewtwin count NAME N    adds 1 to the first word N times, atomically
** SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct inner {
  uint8_t flag;
  float xyz[3];
};

struct all {
  int8_t a;
  uint16_t b;
  int8_t c;
  int32_t d;
  char e;
  uint64_t f;
  double g;
  char name[5];
  struct inner in;
  struct inner list[2];
  int16_t m[2][3];
  char tags[2][4];
  uint8_t last;
};

struct __attribute__((packed)) tight {
  int8_t a;
  uint64_t b;
  uint16_t c;
  double d;
};

struct lines {
  _Alignas(64) int64_t a;
  _Alignas(64) int64_t b;
};

#define SHOW(s, f) printf(#s "." #f " %zu\n", offsetof(struct s, f))

static int offsets (void) {
  SHOW(all, a);
  SHOW(all, b);
  SHOW(all, c);
  SHOW(all, d);
  SHOW(all, e);
  SHOW(all, f);
  SHOW(all, g);
  SHOW(all, name);
  SHOW(all, in);
  SHOW(all, list);
  SHOW(all, m);
  SHOW(all, tags);
  SHOW(all, last);
  SHOW(inner, flag);
  SHOW(inner, xyz);
  SHOW(tight, a);
  SHOW(tight, b);
  SHOW(tight, c);
  SHOW(tight, d);
  SHOW(lines, a);
  SHOW(lines, b);
  printf("all %zu %zu\n", sizeof(struct all), _Alignof(struct all));
  printf("inner %zu %zu\n", sizeof(struct inner), _Alignof(struct inner));
  printf("tight %zu %zu\n", sizeof(struct tight), _Alignof(struct tight));
  printf("lines %zu %zu\n", sizeof(struct lines), _Alignof(struct lines));
  return 0;
}

static void fill (struct all *p, int n) {
  *p = (struct all){.a = (int8_t)-n,
                    .b = (uint16_t)(65535 - n),
                    .d = -100000 * n,
                    .f = UINT64_MAX - (uint64_t)n,
                    .g = n + 0.25,
                    .last = 255};
  memcpy(p->name, "five!", 5);
  p->in = (struct inner){1, {0.5f, 1.5f, (float)n}};
  p->list[1].xyz[2] = (float)-n;
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 3; j++) p->m[i][j] = (int16_t)(10 * i + j + n);
    snprintf(p->tags[i], sizeof p->tags[i], "t%d", i);
  }
}

static void show (const struct all *p) {
  printf("%d %u %d %d %d %" PRIu64 " %.5s %g", p->a, p->b, p->c, p->d, p->e, p->f, p->name, p->g);
  printf(" %u %g %g %g %g", p->in.flag, (double)p->in.xyz[0], (double)p->in.xyz[1],
         (double)p->in.xyz[2], (double)p->list[1].xyz[2]);
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++) printf(" %d", p->m[i][j]);
  printf(" %.4s %.4s %u\n", p->tags[0], p->tags[1], p->last);
}

int main (int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (strcmp(verb, "offsets") == 0) return offsets();
  int fd = argc > 2 ? shm_open(argv[2], O_RDWR, 0) : -1;
  void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || p == MAP_FAILED) {
    perror("viewtwin");
    return 1;
  }
  if (strcmp(verb, "count") == 0)
    for (long n = atol(argv[3]); n > 0; n--) atomic_fetch_add((_Atomic int32_t *)p, 1);
  else
    for (int i = 0; i < 2; i++)
      if (strcmp(verb, "write") == 0) fill((struct all *)p + i, i + 1);
      else show((struct all *)p + i);
  return 0;
}
