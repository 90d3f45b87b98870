"""bpf(2) in a few lines of ctypes: enough to load, run and map, independent of the kernel room it helps to judge."""

import ctypes
import errno
import os
import struct

import pytest

from cygnet.errors import NotSupported

SOCKET_FILTER, SYSCALL = 1, 31
_libc = ctypes.CDLL(None, use_errno=True)


class RawBpf:
    def __init__(self):
        self.fds = []

    def call(self, command, attr):
        buffer = ctypes.create_string_buffer(attr, max(len(attr), 144))
        result = _libc.syscall({"x86_64": 321, "aarch64": 280}[os.uname().machine], command, buffer, len(buffer))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def load(self, code, prog_type=SOCKET_FILTER, log_level=2, license=b"GPL"):
        """(fd or the errno negated, log)"""
        log = ctypes.create_string_buffer(1 << 20)
        insns, name = ctypes.create_string_buffer(code), ctypes.create_string_buffer(license)
        attr = struct.pack(
            "=IIQQIIQ",
            prog_type,
            len(code) // 8,
            ctypes.addressof(insns),
            ctypes.addressof(name),
            log_level,
            len(log) if log_level else 0,
            ctypes.addressof(log) if log_level else 0,
        )
        try:
            fd = self.call(5, attr)
            self.fds.append(fd)
        except OSError as error:
            fd = -error.errno
        return fd, log.value.decode()

    def array(self, value_size):
        fd = self.call(0, struct.pack("=IIIII", 2, 4, value_size, 1, 0))
        self.fds.append(fd)
        return fd

    def _element(self, command, fd, value):
        key = ctypes.create_string_buffer(4)
        attr = struct.pack("=IxxxxQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0)
        self.call(command, attr)

    def write(self, fd, data):
        self._element(2, fd, ctypes.create_string_buffer(data, len(data)))

    def read(self, fd, size):
        value = ctypes.create_string_buffer(size)
        self._element(1, fd, value)
        return value.raw

    def run(self, fd, data=bytes(64)):
        packet = ctypes.create_string_buffer(data, len(data))
        attr = struct.pack("=IIIIQQII", fd, 0, len(data), 0, ctypes.addressof(packet), 0, 1, 0)
        self.call(10, attr)

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


@pytest.fixture
def rawbpf():
    bpf = RawBpf()
    try:
        bpf.array(8)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise NotSupported("bpf(2)", "root and a kernel with BPF") from None
        raise
    yield bpf
    bpf.close()
