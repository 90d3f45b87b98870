"""Front ends: each turns a text, or Python functions, into specs."""
