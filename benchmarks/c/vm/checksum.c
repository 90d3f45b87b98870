/* Copy 1,496 bytes from the first half of the memory to the second, and add them up as the Internet checksum does. */
#include "vm.h"

#define BYTES 1496

u64 run(u8 *memory, u64 size)
{
	u32 *from = (u32 *)memory, *to = (u32 *)(memory + BYTES);
	u64 sum = 0;

	for (u32 i = 0; i < BYTES / 4; i++) {
		u32 word = from[i];

		to[i] = word;
		sum += word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}
