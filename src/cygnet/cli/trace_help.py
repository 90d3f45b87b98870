"""The text of `cygnet trace --help`."""

TEXT = """\
Ask a running system a question in the tracing language (bpftrace's).

USAGE: cygnet trace [OPTION…] -e 'PROGRAM' [PARAMETER…]
       cygnet trace [OPTION…] FILE [PARAMETER…]      (- reads the program from standard input)
       cygnet trace -l[v] [PATTERN|FILE]
       … -- --name=value gives the program a named parameter

  -e PROGRAM              run this text
  -c, --cmd COMMAND       start COMMAND when the probes are attached; end with it
  -p, --pid PID           watch only this process; end with it
  -l, --list [PATTERN]    list probes (-lv: with fields and types)
  -f FORMAT               text or json (docs/json.md); --json is short for -f json
  -o, --output FILE       write results to FILE
  -B MODE                 buffering: line, full or none
  -q, --quiet             no message about attached probes
  -v, --verbose           tell more, the kernel's log of a refused program included
  -k, --warnings          also warn of failed reads and missing keys
      --no-warnings       do not warn at all
      --unsafe            allow system(), signal() and the like
      --explain           say what it would attach to, make, need and cost an event; attach nothing (--json: as JSON)
      --live[=SECONDS]    redraw the maps in place while it runs, every second (wants the Python package rich)
      --dry-run           compile and load, then end
      --emit-elf FILE     write the programs and maps as an object file that libbpf and bpftool load; run nothing
  -I DIR, --include FILE  more C headers
      --debuginfo DIRS    where to look for debug information, separated by colons
      --no-feature LIST   do as if the kernel lacked these features, separated by commas
      --traceable-functions FILE   the functions that can be traced, as available_filter_functions lists them
      --usdt-file-activation       nothing to do: the kernel raises semaphores of static probes itself
      --probe-filter RE   attach, or run, only the probes whose names match; begin and end stay
      --test, --bench     run the program's test: or bench: probes
      --mode MODE         test, bench, format (the same as --fmt), or codegen: only compile
      --fmt               print the program in standard layout
  -d, --debug STAGE       show the program after a stage of compilation (parse, ast, types, ir, codegen, dis, …)
      --info              what this machine can do
  -V, --version           -h, --help

Settings come from a `config = { … }` block or from the environment (BPFTRACE_MAX_STRLEN=64 …).

Examples:
  cygnet trace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }'
  cygnet trace -e 'tracepoint:syscalls:sys_enter_openat { printf("%s %s\\n", comm, str(args.filename)); }'
  cygnet trace -e 'profile:hz:99 { @[kstack] = count(); }'
  cygnet trace -c 'ls -l' -e 'tracepoint:syscalls:sys_exit_read /args.ret > 0/ { @ = hist(args.ret); }'"""
