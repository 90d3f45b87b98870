"""The live kernel: bpf(2), perf_event_open(2), tracefs. The only room that makes these calls."""
