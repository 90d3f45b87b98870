// Loads one object file, attaches every program in it, says so with the word that tracers use, and waits for
// SIGINT. Programs write into a ring buffer called `events`, if there is one; it is printed.
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static int print_event(void *ctx, void *data, size_t size)
{
	long long *pair = data;

	(void)ctx;
	(void)size;
	printf("%lld %lld\n", pair[0], pair[1]);
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *obj = argc > 1 ? bpf_object__open(argv[1]) : NULL;
	struct bpf_program *prog;
	struct bpf_map *events;
	struct ring_buffer *ring = NULL;

	signal(SIGINT, on_signal);
	if (!obj || bpf_object__load(obj))
		return 1;
	bpf_object__for_each_program(prog, obj)
		if (!bpf_program__attach(prog))
			return 1;
	events = bpf_object__find_map_by_name(obj, "events");
	if (events)
		ring = ring_buffer__new(bpf_map__fd(events), print_event, NULL, NULL);
	fprintf(stderr, "__BPFTRACE_NOTIFY_PROBES_ATTACHED\n");
	while (!stop)
		if (ring)
			ring_buffer__poll(ring, 100);
		else
			pause();
	return 0;
}
