/* Calls a function many times, as native code is measured: what it gives last. */
#include "vm.h"

u64 repeat(u64 (*run)(u8 *, u64), u8 *memory, u64 size, u64 times)
{
	u64 result = 0;

	while (times--)
		result = run(memory, size);
	return result;
}
