"""The translator: a program as Python source, made once and exec-ed, for where no machine code can be had."""
