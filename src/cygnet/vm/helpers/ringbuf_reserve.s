; Room in a ring buffer: r1 = map, r2 = bytes, r3 = flags (there are none); r0 = address of the record's data, or 0.
	r0 = 0
	if r3 != 0 goto end
	if r2 > 0x3fffffff goto end
	r1 = *(u64 *)(r1 +64)       ; ring
	r4 = *(u64 *)(r1 +16)       ; pending
	r5 = *(u64 *)(r1 +8)        ; producer
pending:                            ; skip what was finished at the front
	if r4 == r5 goto pended
	r3 = *(u64 *)(r1 +24)       ; mask
	r3 &= r4
	r3 += r1
	r3 = *(u32 *)(r3 +4096)     ; the record's length
	r0 = r3
	r0 >>= 31                   ; BUSY
	if r0 != 0 goto pended
	r3 &= 0x3fffffff
	r3 += 15
	r3 &= -8
	r4 += r3
	goto pending
pended:
	*(u64 *)(r1 +16) = r4
	r3 = r2
	r3 += 15
	r3 &= -8
	r3 += r5                    ; where the producer would be
	r0 = r3
	r0 -= r4
	r4 = *(u64 *)(r1 +24)       ; mask
	if r0 > r4 goto none
	r0 = *(u64 *)(r1 +0)        ; consumer
	r0 -= r3
	r0 = -r0
	if r0 > r4 goto none
	*(u64 *)(r1 +8) = r3
	r5 &= r4
	r0 = r5
	r0 += r1
	r5 >>= 12
	r5 += 1                     ; pages back to the ring
	*(u32 *)(r0 +4100) = r5
	r3 = 1
	r3 <<= 31                   ; BUSY
	r2 |= r3
	*(u32 *)(r0 +4096) = r2
	r0 += 4104
	exit
none:
	r0 = 0
end:
	exit
