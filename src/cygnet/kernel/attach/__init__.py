"""One file for each kind of place that a program is attached to: `attach(prog_fd, target) -> Attachment`."""
