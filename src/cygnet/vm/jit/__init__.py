"""Machine code: programs translated into executable memory, with checks or, for a verified program, without."""
