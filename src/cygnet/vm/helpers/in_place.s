; bpf_map_update_elem of a per-CPU hash, after hash_seek, for a key that is there: the value is overwritten.
; A new key goes on at `absent`, in hash_insert.
	if r9 > 2 goto invalid
	if r0 == 0 goto absent
	if r9 == 1 goto exists      ; BPF_NOEXIST
	goto copy_key
