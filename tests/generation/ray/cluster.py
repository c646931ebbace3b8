"""A Ray cluster on loopback, each of whose nodes is a handful of processes of this machine."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent.parent
#: ``ray``, which keeps nodes on loopback for other platforms alone, and lets only one of them be.
#: It ends with the tests, however they end.
RAY = """
import ctypes
ctypes.CDLL(None).prctl(1, 15)  # linux/prctl.h: PR_SET_PDEATHSIG, SIGTERM
from ray._private import ray_constants, services
ray_constants.ENABLE_RAY_CLUSTER = True
services.resolve_ip_for_localhost = str
from ray.scripts.scripts import main
main()
"""

#: In the environment of what a node starts.
MARK = "FLUXBOT_TEST_NODE"


#: Below those that the kernel gives to outgoing connections, one of which would take a port between
#: the look at it and the node's start (Linux, ip_local_port_range).
PORTS = range(11_000, 32_000)


def free_ports(count):
    sockets = []
    while len(sockets) < count:
        each = socket.socket()
        try:
            each.bind(("127.0.0.1", random.choice(PORTS)))
        except OSError:
            each.close()
        else:
            sockets.append(each)
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(is_true, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Node:
    """A node and everything that it has started, engines too.

    Attributes:
        process: The command that was given: ``ray start``.
    """

    def __init__(self, options, environment, log):
        self._mark = uuid.uuid4().hex
        ports = free_ports(6)
        names = (
            "node-manager-port",
            "object-manager-port",
            "dashboard-agent-grpc-port",
            "dashboard-agent-listen-port",
            "runtime-env-agent-port",
            "metrics-export-port",
        )
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    RAY,
                    "start",
                    "--block",
                    "--node-ip-address=127.0.0.1",
                    "--min-worker-port=0",
                    "--max-worker-port=0",
                    "--num-cpus=0",
                    "--object-store-memory=100000000",
                    "--include-log-monitor=false",
                    "--disable-usage-stats",
                    *(f"--{name}={port}" for name, port in zip(names, ports, strict=True)),
                    *options,
                ],
                env={**environment, MARK: self._mark},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_runs(self):
        def runs():
            text = self._log.read_text()
            assert self.process.poll() is None, text
            return "Ray runtime started" in text

        wait_until(runs, 60)

    def processes(self, words=""):
        """Its processes whose command has *words* in it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                # Agents write their titles over their environment, and engines are sessions.
                is_ours = (
                    os.getsid(process.pid) == self.process.pid
                    or process.environ().get(MARK) == self._mark
                )
                is_over = process.status() == psutil.STATUS_ZOMBIE
                if is_ours and not is_over and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def signal(self, number, words=""):
        for process in self.processes(words):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def kill(self):
        """End all of its processes, at once and for good."""
        while alive := self.processes():
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(alive, timeout=1)
        self.process.wait()


class Cluster:
    """A head without a GPU, and its nodes.

    Args:
        mode: Of Ray's authentication.
    """

    def __init__(self, mode="token"):
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")
        folder = Path(self._folder.name)
        token = folder / "token"
        token.write_text(uuid.uuid4().hex)
        token.chmod(0o600)
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        #: What a driver needs, too.
        self.environment = {
            "RAY_AUTH_TOKEN_PATH": str(token),
            # Ray's word for platforms whose nodes are all on loopback.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "4",
        }
        self._nodes_environment = {
            **os.environ,
            **self.environment,
            "RAY_AUTH_MODE": mode,
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": str(ROOT),
        }
        self.nodes = []
        self.start_head()

    def start_head(self):
        self.head = self._start(
            "--head",
            f"--port={self.port}",
            "--num-gpus=0",
            "--include-dashboard=false",
            "--no-monitor",
            f"--temp-dir={self._folder.name}",
        )
        self.head.wait_until_it_runs()

    def start_node(self, gpus=1, environment=None):
        """A node; *environment* has variables beside those of all others."""
        options = f"--address={self.address}", f"--num-gpus={gpus}"
        return self._start(*options, environment=environment)

    def close(self):
        for node in self.nodes:
            node.kill()
        assert not [each for node in self.nodes for each in node.processes()]
        self._folder.cleanup()

    def _start(self, *options, environment=None):
        log = Path(self._folder.name) / f"node-{len(self.nodes)}.log"
        node = Node(options, {**self._nodes_environment, **(environment or {})}, log)
        self.nodes.append(node)
        return node


STOP, CONTINUE = signal.SIGSTOP, signal.SIGCONT
