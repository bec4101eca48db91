"""Does what a runtime of containers does, and becomes the command.

usage: enter.py ROOT USER DIRECTORY NAME=VALUE... -- COMMAND...
Run by `unshare --mount --pid --net --fork`, so the command is process 1. Its root is read-only and has a /tmp of its
own; it has no capability, and cannot get any.
"""
import ctypes
import os
import subprocess
import sys

NO_NEW_PRIVS = 38  # PR_SET_NO_NEW_PRIVS


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def main(root, user, directory, *rest):
    split = rest.index("--")
    environment = dict(word.split("=", 1) for word in rest[:split])
    command = rest[split + 1:]
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    for name in ["null", "zero", "random", "urandom"]:
        path = os.path.join(root, "dev", name)
        if not os.path.exists(path):
            open(path, "w").close()
        mount("--bind", "/dev/" + name, path)
    mount("-t", "proc", "proc", root + "/proc")
    mount("-t", "tmpfs", "-o", "size=64m,nosuid,nodev,noexec", "tmpfs", root + "/tmp")
    mount("-o", "remount,bind,ro", root)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.chroot(root)
    os.chdir(directory)
    uid, gid = map(int, user.split(":"))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if ctypes.CDLL(None).prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("prctl")
    os.execvpe(command[0], command, environment)


main(*sys.argv[1:])
