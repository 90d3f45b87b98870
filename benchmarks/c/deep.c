// Ten thousand different user stacks, one system call (getpgid) on each. Prints its process id, waits for a line on
// standard input, makes the stacks, says "done", and waits for another line, so that it lives while they are named.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 14

static int left(unsigned bits, int depth);
static int right(unsigned bits, int depth);

static int __attribute__((noinline)) walk(unsigned bits, int depth)
{
	volatile int used;

	if (depth == DEPTH)
		used = (int)syscall(SYS_getpgid, 0);
	else if (bits & 1)
		used = left(bits >> 1, depth + 1);
	else
		used = right(bits >> 1, depth + 1);
	return used + 1;
}

static int __attribute__((noinline)) left(unsigned bits, int depth)
{
	volatile int used = walk(bits, depth);

	return used + 1;
}

static int __attribute__((noinline)) right(unsigned bits, int depth)
{
	volatile int used = walk(bits, depth);

	return used + 1;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	char line[16];

	printf("%d\n", getpid());
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (unsigned n = 0; n < count; n++)
		walk(n, 0);
	printf("done\n");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
