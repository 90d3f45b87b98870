; bpf_ringbuf_output: r1 = map, r2 = data, r3 = bytes, r4 = flags; r0 = 0, -EAGAIN or -EINVAL.
	if r4 > 3 goto invalid
	r6 = r2
	r7 = r3
	r8 = r4
	if r7 > 0x3fffffff goto again
	r1 = *(u64 *)(r1 +64)       ; ring
	r4 = *(u64 *)(r1 +16)       ; pending
	r5 = *(u64 *)(r1 +8)        ; producer
	r9 = *(u64 *)(r1 +24)       ; mask
pending:                            ; skip what was finished at the front
	if r4 == r5 goto pended
	r3 = r9
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
	r3 = r7
	r3 += 15
	r3 &= -8
	r3 += r5                    ; where the producer will be
	r0 = r3
	r0 -= r4
	if r0 > r9 goto again
	r2 = *(u64 *)(r1 +0)        ; consumer
	r0 = r3
	r0 -= r2
	if r0 > r9 goto again
	*(u64 *)(r1 +8) = r3
	r0 = r5
	r0 &= r9
	r4 = r0
	r4 >>= 12
	r4 += 1                     ; pages back to the ring
	r0 += r1
	*(u32 *)(r0 +4100) = r4
	*(u32 *)(r0 +4096) = r7
copy_word:
	if r7 < 8 goto copy_byte
	r3 = *(u64 *)(r6 +0)
	*(u64 *)(r0 +4104) = r3
	r6 += 8
	r0 += 8
	r7 -= 8
	goto copy_word
copy_byte:
	if r7 == 0 goto copied
	r3 = *(u8 *)(r6 +0)
	*(u8 *)(r0 +4104) = r3
	r6 += 1
	r0 += 1
	r7 -= 1
	goto copy_byte
copied:
	if r8 & 2 goto wake         ; BPF_RB_FORCE_WAKEUP
	if r8 & 1 goto end          ; BPF_RB_NO_WAKEUP
	r2 ^= r5
	r2 &= r9
	if r2 != 0 goto end         ; the reader is not waiting for this record
wake:
	r3 = *(u64 *)(r1 +32)       ; wakeups
	r3 += 1
	*(u64 *)(r1 +32) = r3
end:
	r0 = 0
	exit
again:
	r0 = -11                    ; EAGAIN
	exit
invalid:
	r0 = -22                    ; EINVAL
	exit
