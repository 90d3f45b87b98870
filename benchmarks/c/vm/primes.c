/* How many primes are below 20,000, by trial division. */
#include "vm.h"

#define LIMIT 20000

ALWAYS u32 is_prime(u32 n)
{
	for (u32 d = 3; d * d <= n; d += 2)
		if (n % d == 0)
			return 0;
	return 1;
}

#ifdef KERNEL

/* The verifier would follow numbers in registers: in memory it does not know them. */
u64 run(u8 *memory, u64 size)
{
	volatile u32 *next = (volatile u32 *)memory, *found = next + 1;

	*next = 3;
	*found = 1;
	for (;;) {
		u32 n = *next;

		MAY_LEAVE;
		if (n >= LIMIT)
			break;
		*next = n + 2;
		*found += is_prime(n);
	}
	return *found;
}

#else

u64 run(u8 *memory, u64 size)
{
	u32 found = 1;

	for (u32 n = 3; n < LIMIT; n += 2)
		found += is_prime(n);
	return found;
}

#endif
