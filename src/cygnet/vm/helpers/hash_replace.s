; bpf_map_update_elem of a hash, after hash_seek, for a key that is there: the spare entry takes its place, so that
; the old value stays readable. A new key goes on at `absent`, in hash_insert.
	if r9 > 2 goto invalid
	if r0 == 0 goto absent
	if r9 == 1 goto exists      ; BPF_NOEXIST
	r3 = *(u64 *)(r1 +136)      ; spare
	r4 = *(u64 *)(r0 +0)
	*(u64 *)(r3 +0) = r4
	*(u64 *)(r6 +0) = r3
	r4 = 1                      ; not in use
	*(u64 *)(r0 +0) = r4
	*(u64 *)(r1 +136) = r0
	r0 = r3
	goto copy_key
