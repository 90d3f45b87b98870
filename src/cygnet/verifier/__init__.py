"""The verifier: would Linux 6.18 accept this program, and if not, why: abstract interpretation of every path."""
