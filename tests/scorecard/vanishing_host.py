"""A second machine on a cable of its own, which can be pulled: a network namespace of Linux. Needs to be root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import subprocess
from typing import Iterator

from tests.scorecard.outcome import NotRun


class VanishingHost:
    """Another host, as far as the network is concerned: sockets made inside of :meth:`entered` are there."""

    def __init__(self) -> None:
        number = random.SystemRandom().randrange(1 << 14)
        # From the addresses reserved for measurements between two machines (RFC 2544).
        network = f"198.18.{number >> 6}."
        first = (number & 63) * 4
        self.address = f"{network}{first + 2}"
        self._name = f"scorecard{number}"
        self._cable, self._far_end = f"card{number}", f"rac{number}"
        _ip("netns", "add", self._name)
        try:
            far = ["peer", "name", self._far_end, "netns", self._name]
            _ip("link", "add", self._cable, "type", "veth", *far)
            _ip("address", "add", f"{network}{first + 1}/30", "dev", self._cable)
            _ip("link", "set", self._cable, "up")
            _ip("-netns", self._name, "address", "add", f"{self.address}/30", "dev", self._far_end)
            _ip("-netns", self._name, "link", "set", self._far_end, "up")
        except BaseException:
            self.remove()
            raise

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on that host meanwhile."""
        system = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/var/run/netns/{self._name}", os.O_RDONLY)
        try:
            if system.setns(there, 0):
                raise NotRun(f"no other network namespace: {os.strerror(ctypes.get_errno())}")
            try:
                yield
            finally:
                system.setns(home, 0)
        finally:
            os.close(home)
            os.close(there)

    def vanish(self) -> None:
        """Pull the cable. Neither side is told."""
        _ip("-netns", self._name, "link", "set", self._far_end, "down")

    def remove(self) -> None:
        """Give everything back."""
        with contextlib.suppress(NotRun):
            _ip("link", "delete", self._cable)
        _ip("netns", "delete", self._name)


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        raise NotRun(f"no command ip: {error.strerror}") from None
    if done.returncode:
        raise NotRun(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
