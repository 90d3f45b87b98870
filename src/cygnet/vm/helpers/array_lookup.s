; bpf_map_lookup_elem of an array: r1 = map, r2 = key; r0 = address of the value, or 0.
; Offsets are those of cygnet/maps/header.py.
	r0 = *(u32 *)(r2 +0)
	r3 = *(u32 *)(r1 +16)       ; max_entries
	if r0 >= r3 goto none
	r3 = *(u64 *)(r1 +72)       ; stride
	r0 *= r3
	r3 = *(u64 *)(r1 +64)       ; data
	r0 += r3
	exit
none:
	r0 = 0
	exit
