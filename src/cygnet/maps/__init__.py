"""Maps in user space: every map type over native memory, with the kernel's semantics and error codes."""
