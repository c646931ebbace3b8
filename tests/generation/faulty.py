"""An engine that goes wrong as its prompt says, for the child process that draws."""

import os
import signal
import sys
import threading
import time

from generation.errors import DegenerateResult, EngineLost, OutOfMemory
from generation.stub import StubEngine
from generation.types import Step

POISON = "CUDA error: an illegal memory access was encountered"


class FaultyEngine(StubEngine):
    """``die``, ``stop``, ``hang``, ``lose``, ``poison``, ``noise``, ``memory``, ``blank``,
    ``leak`` and ``bug`` as the first word of a prompt happen after its second step.

    Args:
        folder: Where ``once`` as the second word leaves a note that it has happened.
    """

    def __init__(self, folder=None, **options):
        super().__init__(**options)
        self.folder = folder
        self.held_memory = 0

    def load(self):
        if self.folder is not None and (self.folder / "refuse").exists():
            raise OutOfMemory("the model does not fit")
        if self.folder is not None and (self.folder / "linger").exists():
            time.sleep(60)
        super().load()

    def generate(self, request, on_step):
        def step_done(step):
            on_step(step)
            if step.number == 2:
                self._go_wrong(*request.prompt.split()[:2])

        on_step(Step(0, note="downloading the ControlNet, 43 %"))
        return super().generate(request, step_done)

    def _go_wrong(self, what, how=""):
        if how == "once":
            done = self.folder / what
            if done.exists():
                return
            done.touch()
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif what == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            threading.Event().wait()
        elif what == "lose":
            raise EngineLost("its node has died", is_unrelated=True)
        elif what == "poison":
            raise RuntimeError(POISON)
        elif what == "noise":
            print("a library prints")
            sys.stdout.flush()
        elif what == "memory":
            raise OutOfMemory("ask for a smaller picture")
        elif what == "blank":
            raise DegenerateResult("the picture came out blank")
        elif what == "bug":
            raise ZeroDivisionError("division by zero")
        elif what == "leak":
            self.held_memory += 10**9
