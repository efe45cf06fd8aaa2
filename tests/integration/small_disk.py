"""Disks of a few MiB that a test can fill: tmpfs mounts which only this process and its children see, and which end
with them. Where none may be mounted, `possible` says so."""

import ctypes
import errno
import os
import subprocess

CLONE_NEWNS = 0x00020000
PIECE = 1 << 16

_possible = None


def possible():
    """Whether small disks may be mounted here; what is mounted from then on, nobody else sees."""
    global _possible
    if _possible is None:
        library = ctypes.CDLL(None, use_errno=True)
        _possible = library.unshare(CLONE_NEWNS) == 0 and _mount("--make-rprivate", "/")
    return _possible


def _mount(*arguments):
    return subprocess.run(["mount", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


class SmallDisk:
    """A disk over a folder, which is made and must be empty."""

    def __init__(self, folder, mib):
        self.folder, self.filler = folder, os.path.join(folder, "filler")
        os.makedirs(folder, exist_ok=True)
        if not _mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder):
            raise OSError(errno.EPERM, f"cannot mount a disk over {folder}")

    def fill(self):
        """Takes all the room that is left."""
        piece = PIECE
        with open(self.filler, "ab", buffering=0) as file:
            while piece > 0:
                try:
                    file.write(bytes(piece))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 16

    def is_full(self):
        return os.path.exists(self.filler)

    def free(self):
        if self.is_full():
            os.remove(self.filler)

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=False)
