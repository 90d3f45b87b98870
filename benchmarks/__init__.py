"""Cygnet measured against bpftrace and against the same programs in C; `python -m benchmarks`."""
