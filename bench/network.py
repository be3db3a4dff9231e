#!/usr/bin/env python3
"""Runs two ranks under Open MPI as if on two machines: over TCP, on a link of a stated rate and delay. Needs root.

    bench/network.py --rate 1 --delay 0.1 -- build/ftc run model.ftc --train FILE.csv --threads 1

Each rank has a network namespace of its own. A pair of veth devices joins them, with the rate and the delay of each
direction set by tc's netem. Where the kernel has no netem, its tbf sets the rate of a link without a delay. For one with
a delay two tun devices join them then, and a process for each direction that hands packets on when a wire would: at that
rate, and so much later; that comes to 3 or 4 Gb/s at most. All take time of the processors that two machines would have
for the ranks.

What the link comes to, by a stream of TCP and by messages of one byte, is told on standard error. Nothing outlives the
script, however it ends: namespaces and devices are those of processes that end with it.
"""

import argparse
import collections
import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

from jobs import Failure, last_line, mpi_environment

ADDRESSES = ("10.119.7.1", "10.119.7.2")
DEVICE = "wire"
TUN_MTU = 65000  # fewer calls a byte
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
ENDING = (signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG, PR_SET_TIMERSLACK = 1, 29
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*words):
    done = subprocess.run([str(w) for w in words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"`{' '.join(map(str, words))}`: {last_line(done.stderr)}")


def check_call(result, what):
    if result != 0:
        raise Failure(f"{what}: {os.strerror(ctypes.get_errno())}")


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def carry(source, sink, bits_per_second, delay):
    """Hands packets on as a wire does, each behind those before it, to arrive `delay` seconds later; never returns."""
    underway, free = collections.deque(), 0.0
    while True:
        wait = max(underway[0][0] - time.perf_counter(), 0) if underway else None
        if select.select([source], [], [], wait)[0]:
            packet = os.read(source, TUN_MTU)
            free = max(free, time.perf_counter()) + 8 * len(packet) / bits_per_second
            underway.append((free + delay, packet))
        while underway and underway[0][0] <= time.perf_counter():
            os.write(sink, underway.popleft()[1])


class Network:
    """Two namespaces joined by a link of `rate` Gb/s and of `delay` ms in each direction; a context manager."""

    def __init__(self, rate, delay):
        self.rate, self.delay = rate, delay
        self.children = []
        self.folder = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise Failure("network namespaces are made by root alone")
        for tool in ("ip", "tc", "nsenter", "mpirun.openmpi"):
            if not shutil.which(tool):
                raise Failure(f"no {tool} here: it takes iproute2, util-linux and Open MPI (./dev setup --mpi)")
        try:
            self.holders = [self.fork(self.hold) for _ in ADDRESSES]
            self.kind = self.join_by_veth()
            tuns = [] if self.kind else [self.open_tun(side) for side in range(2)]
            self.kind = self.kind or "tun devices, for want of netem"
            for holder, address in zip(self.holders, ADDRESSES, strict=True):
                inside = self.inside(holder)
                run(*inside, "ip", "addr", "add", f"{address}/24", "dev", DEVICE)
                for device in ("lo", DEVICE):
                    run(*inside, "ip", "link", "set", device, "up")
            for source, sink in (tuns, tuns[::-1]) if tuns else []:
                self.fork(lambda told, source=source, sink=sink: self.be_wire(told, source, sink))
            for tun in tuns:
                os.close(tun)
            self.write_hosts()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.children = []
        if self.folder:
            self.folder.cleanup()

    # --- processes ----------------------------------------------------------------------------------------

    def fork(self, work):
        """A process that does `work` until it is killed. It is there when its first byte has come."""
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                end_with_parent()
                for number in ENDING:
                    signal.signal(number, signal.SIG_DFL)
                work(told)
            except BaseException as failure:  # noqa: BLE001 (it must not go on as its parent)
                print(f"network: {failure}", file=sys.stderr)
            os._exit(1)
        self.children.append(child)
        os.close(told)
        with open(ready, "rb") as file:
            if not file.read(1):
                raise Failure("a process of the network did not begin")
        return child

    def hold(self, told):
        """Has a namespace of its own as long as it lives."""
        check_call(LIBC.unshare(CLONE_NEWNET), "no network namespace")
        os.write(told, b".")
        while True:
            signal.pause()

    @staticmethod
    def inside(holder):
        return ["nsenter", "-t", holder, "-n"]

    @contextlib.contextmanager
    def entered(self, side):
        """This thread is in the namespace; what it opens there stays there."""
        with open("/proc/thread-self/ns/net", "rb") as own, open(f"/proc/{self.holders[side]}/ns/net", "rb") as other:
            check_call(LIBC.setns(other.fileno(), CLONE_NEWNET), "cannot enter a namespace")
            try:
                yield
            finally:
                check_call(LIBC.setns(own.fileno(), CLONE_NEWNET), "cannot leave a namespace")

    # --- the link -----------------------------------------------------------------------------------------

    def join_by_veth(self):
        """What joins them, in words; None where the kernel has nothing that makes such a link of veth devices."""
        one, other = self.holders
        run("ip", "link", "add", DEVICE, "netns", one, "type", "veth", "peer", "name", DEVICE, "netns", other)
        # As much may be underway as TCP ever sends.
        rate, shapes = ["rate", f"{self.rate}gbit"], {}
        shapes["netem"] = [*rate, "delay", f"{self.delay}ms", "limit", 100000]
        if self.delay == 0:
            shapes["tbf"] = [*rate, "burst", "512kb", "limit", "64mb"]
        for kind, shape in shapes.items():
            with contextlib.suppress(Failure):
                for holder in self.holders:
                    run(*self.inside(holder), "tc", "qdisc", "replace", "dev", DEVICE, "root", kind, *shape)
                return f"veth devices and {kind}"
        run(*self.inside(one), "ip", "link", "del", DEVICE)
        return None

    def open_tun(self, side):
        with self.entered(side):
            tun = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
        run(*self.inside(self.holders[side]), "ip", "link", "set", DEVICE, "mtu", TUN_MTU)
        return tun

    def be_wire(self, told, source, sink):
        LIBC.prctl(PR_SET_TIMERSLACK, 1)
        with contextlib.suppress(PermissionError):  # ranks that wait for it would keep it from its processor
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.write(told, b".")
        carry(source, sink, 1e9 * self.rate, 1e-3 * self.delay)

    def measure(self):
        """Bits a second of a stream, and the seconds that a message of one byte takes."""
        with self.entered(1):
            listening = socket.create_server((ADDRESSES[1], 0))
        with self.entered(0):
            one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
        for end in (one, other):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(200):
            start = time.perf_counter()
            for source, sink in ((one, other), (other, one)):
                source.send(b".")
                sink.recv(1)
            trips.append(time.perf_counter() - start)
        size = int(min(self.rate, 20) * 1e9 / 8)  # a second's worth
        sender = threading.Thread(target=lambda: (one.sendall(bytes(size)), one.shutdown(socket.SHUT_WR)))
        start = time.perf_counter()
        sender.start()
        buffer = bytearray(1 << 20)
        while other.recv_into(buffer):
            pass
        seconds = time.perf_counter() - start
        sender.join()
        for end in (one, other, listening):
            end.close()
        return 8 * size / seconds, statistics.median(trips) / 2

    # --- ranks --------------------------------------------------------------------------------------------

    def write_hosts(self):
        """What mpirun reads: who takes part, and what starts a process there in place of ssh."""
        self.folder = tempfile.TemporaryDirectory()
        self.hosts, self.agent = (os.path.join(self.folder.name, name) for name in ("hosts", "agent"))
        with open(self.hosts, "w", encoding="utf-8") as file:
            file.write("".join(f"{address} slots=1\n" for address in ADDRESSES))
        with open(self.agent, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nshift # the host\nexec nsenter -t {self.holders[1]} -n sh -c "$*"\n')
        os.chmod(self.agent, 0o755)

    def mpirun(self):
        """The words that start two ranks, one in each namespace."""
        words = [
            *self.inside(self.holders[0]),
            "mpirun.openmpi",
            "--hostfile",
            self.hosts,
            "-np",
            2,
            "--bind-to",
            "none",
        ]
        only = {
            "btl": "tcp,self",
            "btl_tcp_if_include": DEVICE,
            "oob_tcp_if_include": DEVICE,
            "plm_rsh_agent": self.agent,
        }
        for name, value in only.items():
            words += ["--mca", name, value]
        return [str(word) for word in words]


def tell(network):
    bits, seconds = network.measure()
    print(
        f"network: asked {network.rate:g} Gb/s and {network.delay:g} ms, "
        f"come to {bits / 1e9:.2f} Gb/s and {1e3 * seconds:.3f} ms ({network.kind})",
        file=sys.stderr,
    )
    return bits, seconds


def end_by_signal():
    """A signal ends the script as an exception does, so that what it has made is undone."""
    for number in ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=10, help="Gb/s (default 10)")
    parser.add_argument("--delay", type=float, default=0.1, help="ms in each direction (default 0.1)")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    end_by_signal()
    try:
        with Network(args.rate, args.delay) as network:
            tell(network)
            process = subprocess.Popen(
                [*network.mpirun(), *args.command], env=mpi_environment(), preexec_fn=end_with_parent
            )
            try:
                return process.wait()
            finally:
                process.kill()
    except Failure as failure:
        print(f"network: {failure}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
