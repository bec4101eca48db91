"""Servers under a profile of seccomp(2), as containers and services have."""
import ctypes
import platform
import struct

NUMBERS = {"x86_64": {"process_vm_readv": 310}}.get(platform.machine(), {"process_vm_readv": 270})  # asm-generic
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
LOAD, IS_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7fff0000
EPERM = 1


class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def forbid(name):
    """For preexec_fn: the process, and what it executes, gets EPERM from this system call."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in [
        (LOAD, 0, 0, 0), (IS_EQUAL, 0, 1, NUMBERS[name]), (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)])
    program = Program(4, code)
    libc = ctypes.CDLL(None, use_errno=True)

    def become():
        for arguments in [(SET_NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0)]:
            if libc.prctl(*arguments):
                raise OSError(ctypes.get_errno(), "prctl")
    return become
