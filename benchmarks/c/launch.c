// Starts a tracer and notes when things happen. Small, so that neither its start nor its memory is
// mistaken for the tracer's (peak memory is inherited through exec).
//
//   launch attach CMD...       until its probes are attached, then SIGINT
//   launch run CMD...          until it ends by itself
//   launch lines N GAP CMD...  once attached, N times: rest for GAP ms, make one getpgid call, wait for a
//                              line on its standard output
//
// `attach` and `run` print: attached_ns exit_ns processor_us peak_kib wait_status (attached_ns is -1 when it
// never said so). `lines` prints N times in nanoseconds, one a line; -1 for a line that did not come.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char WORD[] = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

struct stream {
	int fd;
	size_t kept;
	char tail[4096];
	long newlines;
};

static struct stream out, err;
static int attached;

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static pid_t start(char **argv)
{
	int o[2], e[2];

	if (pipe2(o, O_CLOEXEC) || pipe2(e, O_CLOEXEC))
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(o[1], 1);
		dup2(e[1], 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(o[1]);
	close(e[1]);
	out.fd = o[0];
	err.fd = e[0];
	return pid;
}

// Reads what there is, and looks for the word; the end of the last read is kept, for a word in two parts.
static void drain(struct stream *s)
{
	ssize_t n = read(s->fd, s->tail + s->kept, sizeof(s->tail) - s->kept);

	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		s->newlines += s->tail[s->kept + i] == '\n';
	size_t end = s->kept + n;
	if (memmem(s->tail, end, WORD, sizeof(WORD) - 1))
		attached = 1;
	s->kept = end < sizeof(WORD) ? end : sizeof(WORD);
	memmove(s->tail, s->tail + end - s->kept, s->kept);
}

// Waits up to `ms` for output and reads it; 0 when both streams are closed.
static int step(int ms)
{
	struct pollfd fds[2] = {{out.fd, POLLIN, 0}, {err.fd, POLLIN, 0}};

	if (out.fd < 0 && err.fd < 0)
		return 0;
	poll(fds, 2, ms);
	if (out.fd >= 0 && fds[0].revents)
		drain(&out);
	if (err.fd >= 0 && fds[1].revents)
		drain(&err);
	return 1;
}

// A tracer may miss a signal that comes right after attaching, so it is sent again.
static int finish(pid_t pid, int interrupt, struct rusage *usage)
{
	int status;
	long long again = 0;

	while (step(20)) {
		if (interrupt && now_ns() > again) {
			kill(pid, SIGINT);
			again = now_ns() + 200000000LL;
		}
	}
	if (wait4(pid, &status, 0, usage) != pid)
		die("wait4");
	return status;
}

static int measure(char **argv, int interrupt)
{
	struct rusage usage;
	long long began = now_ns(), when = -1;
	pid_t pid = start(argv);

	while (!attached && step(1000))
		;
	if (attached)
		when = now_ns() - began;
	int status = finish(pid, interrupt && attached, &usage);
	long used = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec +
		    usage.ru_stime.tv_usec;
	printf("%lld %lld %ld %ld %d\n", when, now_ns() - began, used, usage.ru_maxrss, status);
	return 0;
}

static int lines(int count, int gap_ms, char **argv)
{
	struct rusage usage;
	pid_t pid = start(argv);

	while (!attached && step(1000))
		;
	for (int i = 0; i < count; i++) {
		long long rest = now_ns() + gap_ms * 1000000LL;
		while (now_ns() < rest && step(gap_ms))
			;
		long seen = out.newlines;
		long long began = now_ns();
		getpgid(0);
		while (out.newlines == seen && now_ns() - began < 2000000000LL && step(100))
			;
		printf("%lld\n", out.newlines > seen ? now_ns() - began : -1LL);
	}
	finish(pid, 1, &usage);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "attach"))
		return measure(argv + 2, 1);
	if (argc > 2 && !strcmp(argv[1], "run"))
		return measure(argv + 2, 0);
	if (argc > 4 && !strcmp(argv[1], "lines"))
		return lines(atoi(argv[2]), atoi(argv[3]), argv + 4);
	fprintf(stderr, "usage: launch attach|run CMD... | launch lines N GAP_MS CMD...\n");
	return 2;
}
