"""Train the demo model, one stage after the other.

    python -m generation.demo.train vae --seconds 600

A stage that is stopped goes on where it was; delete its checkpoint in the work folder to begin
again. Everything runs on a processor without an accelerator.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

STAGES = {
    "vae": "generation.demo.vae_training",
    "words": "generation.demo.words_training",
    "base": "generation.demo.base_training",
}
"""In the order in which they build on each other."""

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
    "OMP_WAIT_POLICY": "passive",
}
"""glibc returns big blocks to the system after every use, which took half of the time."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--seconds", type=float, required=True, help="time to spend, in all")
    parser.add_argument("--work", type=Path, default=Path("download/demo-training"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    _with_our_allocator()

    from generation.demo.training import use_the_processor_well

    use_the_processor_well(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    stage = importlib.import_module(STAGES[arguments.stage])
    stage.train(arguments.work, arguments.seconds, arguments.seed)


def _with_our_allocator() -> None:
    """Start again with glibc's settings in place: it reads them only at the very start."""
    if sys.platform == "linux" and not ALLOCATOR.keys() <= os.environ.keys():
        command = [sys.executable, "-m", "generation.demo.train", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})


if __name__ == "__main__":
    main()
