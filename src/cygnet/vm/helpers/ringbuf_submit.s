; A record is finished: r1 = address of its data, r2 = flags.
	r3 = *(u32 *)(r1 -4)        ; pages back to the ring
	r3 <<= 12
	r4 = r1
	r4 -= 8
	r4 >>= 12
	r4 <<= 12
	r4 -= r3                    ; the ring
	r3 = *(u32 *)(r1 -8)
	r3 &= 0x3fffffff            ; not BUSY any more
	*(u32 *)(r1 -8) = r3
	if r2 & 2 goto wake         ; BPF_RB_FORCE_WAKEUP
	if r2 & 1 goto end          ; BPF_RB_NO_WAKEUP
	r3 = *(u64 *)(r4 +0)        ; consumer
	r5 = *(u64 *)(r4 +24)       ; mask
	r3 &= r5
	r3 += r4
	r3 += 4104
	if r3 != r1 goto end        ; the reader is not waiting for this record
wake:
	r3 = *(u64 *)(r4 +32)       ; wakeups
	r3 += 1
	*(u64 *)(r4 +32) = r3
end:
	r0 = 0
	exit
