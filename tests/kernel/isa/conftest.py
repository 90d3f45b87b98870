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

    def load(self, code, prog_type=SOCKET_FILTER, log_level=2, license=b"GPL", attach_type=0, btf_id=0, flags=0):
        """(fd or the errno negated, log)"""
        log = ctypes.create_string_buffer(1 << 18)
        insns, name = ctypes.create_string_buffer(code), ctypes.create_string_buffer(license)
        head = (prog_type, len(code) // 8, ctypes.addressof(insns), ctypes.addressof(name), log_level)
        logs = (len(log), ctypes.addressof(log)) if log_level else (0, 0)
        attr = struct.pack("=IIQQIIQII16xxxxxI36xI", *head, *logs, 0, flags, attach_type, btf_id)
        try:
            fd = self.call(5, attr)
            self.fds.append(fd)
        except OSError as error:
            fd = -error.errno
        return fd, log.value.decode()

    def map(self, map_type, key_size=4, value_size=8, max_entries=1, flags=0, btf=(0, 0, 0)):
        """The fd of a new map; `btf` is (fd, key type, value type)."""
        head = (map_type, key_size, value_size, max_entries, flags)
        fd = self.call(0, struct.pack("=IIIII28xIII", *head, *btf))
        self.fds.append(fd)
        return fd

    def btf(self, data):
        buffer = ctypes.create_string_buffer(data, len(data))
        fd = self.call(18, struct.pack("=QQI", ctypes.addressof(buffer), 0, len(data)))
        self.fds.append(fd)
        return fd

    def array(self, value_size):
        return self.map(2, 4, value_size)

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
