"""IR to eBPF instructions: selection, registers, stack frame, bytes and relocations."""
