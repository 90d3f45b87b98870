"""Helper functions in user space: one module a family, all entered in one registry."""
