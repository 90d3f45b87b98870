"""Semantic analysis: what every name is, found from all of its uses, and what makes no sense."""
