"""A running question: attach, poll, decode events, aggregate, render, end."""
