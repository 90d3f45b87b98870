; An XDP program: TCP to the port in map 0 is dropped, everything else passes. Map 1 counts the packets by verdict.
        r6 = r1
        r2 = *(u32 *)(r1 +0)            ; data
        r3 = *(u32 *)(r1 +4)            ; data_end
        r7 = 2                          ; XDP_PASS
        r4 = r2
        r4 += 54                        ; Ethernet, IPv4, TCP
        if r4 > r3 goto count
        r4 = *(u16 *)(r2 +12)
        if r4 != 0x8 goto count         ; ETH_P_IP, in network order
        r4 = *(u8 *)(r2 +14)
        if r4 != 0x45 goto count        ; no options
        r4 = *(u8 *)(r2 +23)
        if r4 != 6 goto count           ; TCP
        r8 = *(u16 *)(r2 +36)           ; destination port
        r8 = be16 r8
        r1 = 0
        *(u32 *)(r10 -4) = r1
        r1 = map[idx:0]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto count
        r1 = *(u32 *)(r0 +0)
        if r1 != r8 goto count
        r7 = 1                          ; XDP_DROP
count:
        *(u32 *)(r10 -4) = r7
        r1 = map[idx:1]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto end
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
end:
        r0 = r7
        exit
