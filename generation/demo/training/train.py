"""Train the demo model, one stage after the other.

    python -m generation.demo.training.train vae --seconds 600

A stage that is stopped goes on where it was; delete its checkpoint in the work folder to begin
again. Everything runs on a processor without an accelerator.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

STAGES = {
    "vae": ("vae_stage", "train"),
    "words": ("words_stage", "train"),
    "base": ("base_stage", "train"),
    "distill": ("distill_stage", "train"),
    "decoder": ("decoder_stage", "train"),
    "canny": ("control_stage", "train_canny"),
    "blobs": ("control_stage", "train_blobs"),
    "lora": ("lora_stage", "train"),
    "edit": ("edit_stage", "train"),
}
"""The module and the function of each stage, in the order in which they build on each other."""

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
    "OMP_WAIT_POLICY": "passive",
}
"""glibc returns big blocks to the system after every use, which took half of the time; threads
that spin while they wait take it from each other on a machine that is busy with other things."""


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
    _start_in_our_environment()

    from generation.demo.training.loop import use_the_processor_well

    use_the_processor_well(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    module, function = STAGES[arguments.stage]
    train = getattr(importlib.import_module(f"generation.demo.training.{module}"), function)
    train(arguments.work, arguments.seconds, arguments.seed)


def _start_in_our_environment() -> None:
    """Start again with glibc's settings in place: it reads them only at the very start."""
    if sys.platform == "linux" and not ENVIRONMENT.keys() <= os.environ.keys():
        command = [sys.executable, "-m", "generation.demo.training.train", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})


if __name__ == "__main__":
    main()
