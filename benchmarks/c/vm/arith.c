/* An arithmetic loop: multiply, shift, exclusive or; every round needs the one before. */
#include "vm.h"

#ifndef ROUNDS
#define ROUNDS 10000000
#endif

u64 run(u8 *memory, u64 size)
{
	u64 x = size + 88172645463325252ull;

	for (u32 i = 0; i < ROUNDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		x += i;
	}
	return x;
}
