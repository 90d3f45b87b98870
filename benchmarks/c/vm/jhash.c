/* Bob Jenkins' hash of 1,200 bytes. */
#include "vm.h"

#define WORDS 300

ALWAYS u32 rol32(u32 word, u32 shift)
{
	return word << shift | word >> (32 - shift);
}

u64 run(u8 *memory, u64 size)
{
	u32 *k = (u32 *)memory;
	u32 a = 0xdeadbeef + WORDS, b = a, c = a;

	for (u32 i = 0; i < WORDS; i += 3) {
		a += k[i];
		b += k[i + 1];
		c += k[i + 2];
		a -= c; a ^= rol32(c, 4); c += b;
		b -= a; b ^= rol32(a, 6); a += c;
		c -= b; c ^= rol32(b, 8); b += a;
		a -= c; a ^= rol32(c, 16); c += b;
		b -= a; b ^= rol32(a, 19); a += c;
		c -= b; c ^= rol32(b, 4); b += a;
	}
	c ^= b; c -= rol32(b, 14);
	a ^= c; a -= rol32(c, 11);
	b ^= a; b -= rol32(a, 25);
	c ^= b; c -= rol32(b, 16);
	a ^= c; a -= rol32(c, 4);
	b ^= a; b -= rol32(a, 14);
	c ^= b; c -= rol32(b, 24);
	return c;
}
