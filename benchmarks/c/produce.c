// Makes COUNT system calls on one processor: getpgid of numbers of all sizes below 32,768, in no order that a
// branch predictor could learn, or rmdir(PATH) of a path that does not exist. Both are calls that next to
// nothing else makes, so that a tracepoint on them sees only these.
//
//   produce CPU COUNT RATE [PATH]     RATE in calls a second, 0 for as fast as possible
//
// Each call waits for its moment by the clock, so a late one is followed by a few quick ones. Prints the
// nanoseconds that it took.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: produce CPU COUNT RATE [PATH]\n");
		return 2;
	}
	long count = atol(argv[2]);
	double rate = atof(argv[3]), period = rate > 0 ? 1e9 / rate : 0;
	const char *path = argc > 4 ? argv[4] : NULL;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("sched_setaffinity");
		return 1;
	}
	unsigned random = 1;
	long long began = now_ns();
	for (long i = 0; i < count; i++) {
		while (period && now_ns() < began + (long long)(i * period))
			;
		if (path)
			rmdir(path);
		else
			getpgid((random >> 17) >> (random >> 8 & 15));
		random = random * 1664525u + 1013904223u;
	}
	printf("%lld\n", now_ns() - began);
	return 0;
}
