"""Every figure of this workbook that needs an NVIDIA GPU, measured again by one command.

    python -m labutils.remeasure --list                  what there is, and what is out of date
    python -m labutils.remeasure --save data/records --missing --seconds 3600
    python -m labutils.remeasure --save data/records gates "engines melgan"

Each step is a process of its own on a GPU of its own; with several GPUs several steps run at once.
"""

from labutils.remeasure.lanes import Done, run
from labutils.remeasure.steps import STEPS, Step, select

__all__ = ["STEPS", "Done", "Step", "run", "select"]
