"""The BPF machine in user space: interpreter, translator to Python, machine code, and helper functions."""
