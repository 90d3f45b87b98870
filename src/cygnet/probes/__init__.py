"""Probe providers, one file each: what an attach point means, which events it names, what a program there sees."""
