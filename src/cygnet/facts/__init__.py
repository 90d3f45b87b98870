"""The tables: helpers, map types, program types, sections, contexts, and numbers with names."""
