"""A process that has imported what takes long, and forks a ``python -m bot`` at a word.

The bot's own modules are imported by each of them anew, which then reads its own environment. Run
as ``python -m tests.forks NUMBER``, the number being that of a socket. Each message on it is a
JSON object of ``arguments``, ``environment`` and ``folder``, with two pipes: for the output, and
for what becomes of the process, which are two lines: its number and, in the end, its status.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys

#: Imported by the bot, by the commands of its command line or by its engine.
SLOW = (
    "aiohttp.web",
    "aiosqlite",
    "cv2",
    "diffusers.pipelines.flux.pipeline_flux_controlnet",
    "diffusers.pipelines.flux.pipeline_flux_kontext",
    "discord.ext.commands",
    "fastapi",
    "prometheus_client",
    "pydantic_settings",
    "rich.table",
    "slack_bolt.async_app",
    "tokenizers",
    "torch._dynamo",
    "transformers.models.clip.modeling_clip",
    "transformers.models.t5.modeling_t5",
    "typer",
    "uvicorn",
)

#: The longest message, in bytes.
LONGEST = 1 << 17


def main():
    orders = socket.socket(fileno=int(sys.argv[1]))
    for name in SLOW:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each walks through all that was imported, and copies its pages
    watched = selectors.DefaultSelector()
    watched.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not orders:
                watched.unregister(key.fileobj)
                _tell_end(key.fileobj, *key.data)
                continue
            message, pipes, *_ = socket.recv_fds(orders, LONGEST, 2)
            if not message:
                return None
            output, fate = pipes
            if (pid := os.fork()) == 0:
                watched.close()
                orders.close()
                os.close(fate)
                return _become(json.loads(message), output)
            os.close(output)
            os.write(fate, b"%d\n" % pid)
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fate))


def _become(order, output):
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["bot", *order["arguments"]]
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


def _tell_end(descriptor, pid, fate):
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    os.write(fate, b"%d\n" % os.waitstatus_to_exitcode(status))
    os.close(fate)


if __name__ == "__main__":
    main()
