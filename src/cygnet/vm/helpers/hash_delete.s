; bpf_map_delete_elem of a hash, after hash_seek: the entry goes to the front of those that are free.
	if r0 == 0 goto missing
	r3 = *(u64 *)(r0 +0)
	*(u64 *)(r6 +0) = r3
	r3 = *(u64 *)(r1 +96)       ; free
	*(u64 *)(r0 +0) = r3
	r0 |= 1                     ; not in use
	*(u64 *)(r1 +96) = r0
	r3 = *(u64 *)(r1 +144)      ; count
	r3 -= 1
	*(u64 *)(r1 +144) = r3
	r0 = 0
	exit
missing:
	r0 = -2                     ; ENOENT
	exit
