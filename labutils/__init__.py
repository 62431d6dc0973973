"""Support code of the vocoder workbook: one module a step, from speech to a served engine."""

from pathlib import Path

__version__ = "0.1.0"
__all__ = ["DATA", "ROOT", "__version__"]

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
