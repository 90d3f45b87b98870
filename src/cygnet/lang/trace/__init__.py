"""The tracing language: text to syntax tree, to types, to IR."""
