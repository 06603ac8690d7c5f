"""Become another program that dies with the process that started it.

Run as a script, before anything of the package is imported: `launch.py PARENT SIGNAL USER DAC_OVERRIDE PROGRAM ARGS…`.

This is a program of its own, and not a `preexec_fn`, because code between fork and exec may deadlock in a process that
has threads. The order matters: changing the user clears the parent-death signal.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _checked(libc: ctypes.CDLL, name: str, *arguments: object) -> None:
    """Call a C function; raise OSError when it fails."""
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def become(libc: ctypes.CDLL, user: str, *, dac_override: bool) -> None:
    """Drop from root to `user`, for good.

    With `dac_override`, keep the one capability to pass directories that only root may enter: a virtual environment
    in the home of root, pytest's temporary directories.
    """
    account = pwd.getpwnam(user)
    if dac_override:
        _checked(libc, "prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    if dac_override:
        mask = 1 << CAP_DAC_OVERRIDE
        header = _Header(CAPABILITY_VERSION_3, 0)
        data = (_Data * 2)(_Data(mask, mask, mask), _Data(0, 0, 0))
        _checked(libc, "capset", ctypes.byref(header), data)
        _checked(libc, "prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    """Change the user if asked to, bind to the parent's life, and exec the program."""
    parent, death_signal, user, dac_override, *program = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if user:
            become(libc, user, dac_override=dac_override == "1")
        _checked(libc, "prctl", PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the signal was set
        os.kill(os.getpid(), signal.SIGKILL)
    os.execv(program[0], program)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
