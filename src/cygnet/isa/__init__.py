"""The instruction set: eBPF instructions, the opcode table, assembler and disassembler (RFC 9669 and Linux 6.18)."""
