; bpf_map_update_elem of an array, first part: r1 = map, r2 = key, r3 = value, r4 = flags.
; Leaves where the value goes in r2, this CPU's in a per-CPU array; goes on with copy_value.
	if r4 > 2 goto invalid
	r0 = *(u32 *)(r2 +0)
	r5 = *(u32 *)(r1 +16)       ; max_entries
	if r0 >= r5 goto full
	if r4 == 1 goto exists      ; BPF_NOEXIST: every index exists
	r2 = *(u64 *)(r1 +72)       ; stride
	r2 *= r0
	r5 = *(u64 *)(r1 +64)       ; data
	r2 += r5
	r5 = *(u64 *)(r1 +24)       ; where the CPU's number is
	r5 = *(u64 *)(r5 +0)
	r0 = *(u64 *)(r1 +80)       ; bytes of one CPU, 0 when the array is shared
	r5 *= r0
	r2 += r5
	goto place
invalid:
	r0 = -22                    ; EINVAL
	exit
full:
	r0 = -7                     ; E2BIG
	exit
exists:
	r0 = -17                    ; EEXIST
	exit
place:
