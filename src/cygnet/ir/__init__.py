"""The shared intermediate representation: typed SSA values in blocks with parameters."""
