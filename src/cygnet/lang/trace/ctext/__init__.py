"""C text in a script: the preprocessor's lines, definitions of types, constant expressions; a reader of our own."""
