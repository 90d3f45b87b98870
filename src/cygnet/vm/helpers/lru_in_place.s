; bpf_map_update_elem of an LRU hash, after hash_seek, for a key that is there: the value is overwritten, and was used.
; A new key goes on at `absent`, in hash_insert.
	if r9 > 2 goto invalid
	if r0 == 0 goto absent
	if r9 == 1 goto exists      ; BPF_NOEXIST
	r3 = 1
	*(u64 *)(r0 -8) = r3
	goto copy_key
