#include "common.h"

SEC("tracepoint/syscalls/sys_enter_getpgid")
int on_enter(void *ctx)
{
	return 0;
}
