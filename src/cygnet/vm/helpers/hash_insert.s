; A new key in a hash: an entry that is free, or one that was never used, becomes the end of the chain. Goes on with the
; entry in r0, at `copy_key`; with no entry left at `full`.
absent:
	if r9 == 2 goto missing     ; BPF_EXIST
	r0 = *(u64 *)(r1 +96)       ; free
	if r0 == 1 goto fresh
	r0 &= -2
	r3 = *(u64 *)(r0 +0)
	*(u64 *)(r1 +96) = r3
	goto claimed
fresh:
	r0 = *(u64 *)(r1 +104)      ; fresh
	r3 = *(u64 *)(r1 +112)      ; end
	if r0 == r3 goto full
	r4 = *(u64 *)(r1 +72)       ; stride
	r4 += r0
	*(u64 *)(r1 +104) = r4
	goto prepare
missing:
	r0 = -2                     ; ENOENT
	exit
invalid:
	r0 = -22                    ; EINVAL
	exit
exists:
	r0 = -17                    ; EEXIST
	exit
