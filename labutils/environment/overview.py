"""The survey of a machine: a table of what is there, what is missing, and what to do about it."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labutils import tables
from labutils.environment import machine
from labutils.environment.capabilities import HARDWARE, TOOLS, Capability, gpu_names, package_row
from labutils.environment.packages import PACKAGES, torch_cuda

__all__ = ["Survey", "survey"]

_NO_GPU = (
    "Every notebook runs on the processor; a cell that needs a GPU shows figures recorded on a "
    "named GPU, with date and versions."
)


@dataclass(frozen=True)
class Survey:
    """The survey's rows, iterable and by name: `survey()["tensorrt"].found`."""

    rows: tuple[Capability, ...]
    verdict: str
    kind: str
    has_gpu: bool = False

    def __iter__(self) -> Iterator[Capability]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Capability:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name}; rows are: {', '.join(row.name for row in self.rows)}")

    def _table(self) -> list[Capability]:
        """The rows for reading: packages that are all right share one."""
        fine = [row for row in self.rows if row.is_package and row.state == "ok"]
        together = Capability(
            "packages",
            ", ".join(
                f"{row.name}\N{NO-BREAK SPACE}{row.found}" for row in fine if row.name != "torch"
            ),
            "all notebooks",
        )
        rows = [row for row in self.rows if row not in fine or row.name == "torch"]
        after = max(i for i, row in enumerate(rows) if row.name in {"torch", "CUDA of torch"}) + 1
        return [*rows[:after], *([together] if together.found else []), *rows[after:]]

    def _word(self, row: Capability) -> str:
        """What the table says for a state: a missing part that does not matter is no alarm."""
        if row.matters or row.state == "ok":
            return row.state
        if row.name == "GPU":
            return "none"
        return "optional" if self.has_gpu else "needs a GPU"

    def __repr__(self) -> str:
        rows = [
            {
                "": row.name,
                "state": self._word(row),
                "found": row.found,
                "what to do": row.fix,
            }
            for row in self._table()
        ]
        return f"{self.verdict}\n\n{tables.text_table(rows)}".replace("`", "")

    def _repr_html_(self) -> str:
        kinds = {"ok": "good", "missing": "warn", "too old": "bad"}
        rows = [
            {
                "part": _part(row),
                "state": tables.badge(
                    self._word(row), kinds[row.state] if row.matters else "quiet"
                ),
                "found": row.found,
                "what to do": row.fix,
            }
            for row in self._table()
        ]
        widths = {"part": "26%", "found": "28%", "what to do": "34%"}
        note = (
            "Commands are for a terminal in the workbook's folder, with its environment active "
            "(`source .venv/bin/activate`)."
        )
        return (
            tables.strip([("this machine", self.kind)], self.verdict)
            + tables.table(rows, html_columns=["part", "state"], widths=widths)
            + f'<div style="opacity: 0.75; padding: 2px 12px">{tables.code(note)}</div>'
        )


def _part(row: Capability) -> str:
    """HTML of a part's name, with what needs it in a quieter line below."""
    if row.needed_for in {"", "all notebooks"}:
        return tables.code(row.name)
    quiet = f'<div style="opacity: 0.75">{tables.code(row.needed_for)}</div>'
    return f"{tables.code(row.name)}{quiet}"


def survey() -> Survey:
    """Look at this machine: hardware, driver, tools and packages, each with what to do about it.

    Takes well under 3 s: nothing heavy is imported. Never raises: what can not be read says so.
    """
    try:
        gpus = gpu_names()
    except Exception:
        gpus = []
    rows = []
    probes: list[Callable[[list[str]], Capability]] = [*HARDWARE]
    probes += [functools.partial(package_row, facts) for facts in PACKAGES]
    probes += TOOLS
    for probe in probes:
        try:
            rows.append(probe(gpus))
        except Exception as error:
            name = getattr(probe, "__name__", "package").strip("_")
            rows.append(Capability(name, None, "", f"could not be read: {error}", "missing"))
    return Survey(tuple(rows), *_verdict(gpus, rows), has_gpu=bool(gpus))


def _verdict(gpus: list[str], rows: list[Capability]) -> tuple[str, str]:
    broken = [row.name for row in rows if row.state != "ok" and row.matters]
    if not gpus:
        text, kind = f"No NVIDIA GPU found. {_NO_GPU}", "info"
    elif machine.hidden_gpus() or torch_cuda() is None or "driver" in broken:
        text, kind = f"There is an NVIDIA GPU, but torch can not use it yet. {_NO_GPU}", "warn"
    else:
        text, kind = f"Cells that need a GPU are measured here, on {gpus[0]}.", "good"
    if broken:
        text += f" Look at: {', '.join(broken)}."
    return text, kind
