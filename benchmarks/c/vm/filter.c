/* Is this frame a TCP segment to port 443? IPv4 with options, fragments refused. */
#include "vm.h"

ALWAYS u32 be16(const u8 *p)
{
	return __builtin_bswap16(*(const u16 *)p);
}

u64 run(u8 *memory, u64 size)
{
	u8 *end = memory + size;

	if (memory + 14 + 20 > end || be16(memory + 12) != 0x0800)
		return 0;
	if (memory[14] >> 4 != 4 || memory[23] != 6 || be16(memory + 20) & 0x1fff)
		return 0;
	u8 *tcp = memory + 14 + (memory[14] & 15) * 4;
	if (tcp + 20 > end)
		return 0;
	return be16(tcp + 2) == 443;
}
