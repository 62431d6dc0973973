"""Experiments: measured where the machine can, otherwise shown as they were recorded elsewhere.

    @experiment("fp16-engine", needs="tensorrt", covers=[labutils.trt.build])
    def fp16_engine(batch=1): ...     # returns plain data

    fp16_engine(batch=8)              # measured here, or recorded on a named machine

A record is one JSON file for an experiment, its arguments and a machine, in data/records/. Records
are written only where the environment variable LABUTILS_RECORD names a folder, or by
`fp16_engine.measure(save=folder)`.
"""

import functools
import inspect
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labutils import DATA, environment, weights
from labutils.environment import machine
from labutils.records import provenance
from labutils.records.files import FORMAT, file_stem, read_record, same, write_record
from labutils.records.hashing import fingerprint, name_of
from labutils.records.measurement import Measurement, RecordError, plain

__all__ = ["Experiment", "Measurement", "Noted", "RecordError", "experiment", "read_record"]

RECORDS = DATA / "records"
_STALE = "recorded with an earlier version of this cell"
_BROKEN_OFF = "the run was broken off before its end"
_NEED_WORDS = {"cuda": "an NVIDIA GPU", "tensorrt": "TensorRT"}


class Noted:
    """What an experiment returns to say more about how its figures were made.

    `return Noted(rows, tactic_sources="none")`: the note `tactic_sources` goes where a record keeps
    TensorRT's facts, others go into its notes.
    """

    def __init__(self, data: Any, **notes: Any) -> None:
        self.data = data
        self.notes = notes


def experiment(
    name: str, *, needs: str | Iterable[str] = (), covers: Iterable[Any] = ()
) -> "Callable[[Callable[..., Any]], Experiment]":
    """Decorator that makes a function an Experiment.

    `name` (lower case, digits, hyphens) names its records. `needs` are what `environment.has`
    knows: without them the record is shown. `covers` are the functions, modules, packages or dotted
    module names whose code the figures depend on: a change there makes a record stale, like a
    change of the function or of the shipped weights that it read. Arguments of the function are
    plain data and part of the record's name.
    Raises ValueError for a bad name or need, SourceError for code that can not be read.
    """

    def decorate(function: Callable[..., Any]) -> Experiment:
        return Experiment(function, name, needs, covers)

    return decorate


class Experiment:
    """A function whose call gives a Measurement: measured here, or read from a record."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        needs: str | Iterable[str] = (),
        covers: Iterable[Any] = (),
    ) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(
                f'an experiment can not be called "{name}": lower case, digits, single hyphens only'
            )
        functools.update_wrapper(self, function)
        self.name = name
        self.needs = (needs,) if isinstance(needs, str) else tuple(needs)
        self.source = {
            "function": fingerprint(function, without_decorator="experiment"),
            "covers": {name_of(part): fingerprint(part) for part in covers},
        }
        self._function = function
        self._signature = inspect.signature(function)
        for key, parameter in self._signature.parameters.items():
            if key == "save" or parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                raise ValueError(f"experiment {name}: its parameters can not hold {parameter}")
        for need in self.needs:  # a spelling mistake is found now, not on the GPU machine
            environment.check_need(need)

    def missing(self) -> list[str]:
        """The needs that this machine does not meet."""
        return [need for need in self.needs if not environment.has(need)]

    def __call__(self, *args: Any, **kwargs: Any) -> Measurement:
        """Measure where every need is met; otherwise show the record.

        A GPU that runs out of memory shows the record, too; other errors are the caller's to see.
        """
        missing = self.missing()
        if missing:
            words = " and ".join(_NEED_WORDS.get(need, need) for need in missing)
            return self._show(f"not measured here: needs {words}", args, kwargs)
        try:
            return self.measure(*args, **kwargs)
        except Exception as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            shown = self._show("not measured here: the GPU ran out of memory", args, kwargs)
            if not shown.available:
                raise
            return shown

    def measure(
        self, *args: Any, save: str | os.PathLike[str] | None = None, **kwargs: Any
    ) -> Measurement:
        """Run the function here. `save` (or LABUTILS_RECORD) names the folder that gets a record.

        A function that yields hands over all its figures so far each time, and each time the record
        is written anew: a long run that is broken off leaves what it had, and the record says so.
        Raises RecordError where a need is not met or the function returns more than plain data.
        """
        missing = self.missing()
        if missing:
            raise RecordError(f"{self.name} can not be measured here: needs {', '.join(missing)}")
        arguments, stem = self._arguments(args, kwargs)
        folder = save or os.environ.get("LABUTILS_RECORD")
        start = time.perf_counter()
        made = None
        with weights.noting() as read:
            result = self._function(*args, **kwargs)
            steps = result if inspect.isgenerator(result) else iter((result,))
            for step in steps:
                seconds = time.perf_counter() - start
                source = self.source | {"weights": dict(read)}
                made = (step, seconds, source, arguments, stem, folder)
                if inspect.isgenerator(result):
                    self._measured(*made, broken_off=True)
        if made is None:
            raise RecordError(f"{self.name} yielded nothing: an experiment yields its figures")
        return self._measured(*made, broken_off=False)

    def _measured(
        self,
        result: Any,
        seconds: float,
        source: Mapping[str, Any],
        arguments: dict[str, Any],
        stem: str,
        folder: Any,
        *,
        broken_off: bool,
    ) -> Measurement:
        """What the function gave, as a Measurement, and as a record where a folder is named."""
        notes: Mapping[str, Any] = {}
        if isinstance(result, Noted):
            result, notes = result.data, plain(result.notes, f"the notes of {self.name}")
        if result is None:
            raise RecordError(f"{self.name} returned nothing: an experiment returns its figures")
        data = plain(result, f"the result of {self.name}")
        facts = provenance.collect(needs=self.needs, seconds=seconds, **notes)
        caption = f"measured here, {provenance.describe(facts, needs=self.needs, full=False)}"
        path = None
        if folder:
            path = Path(folder) / f"{stem}.{machine.slug(facts['machine'])}.json"
            write_record(path, {
                "format": FORMAT, "experiment": self.name, "arguments": arguments,
                "machine": machine.slug(facts["machine"]), "data": data, "provenance": facts,
                "source": source, **({"broken_off": True} if broken_off else {}),
            })  # fmt: skip
        return Measurement(
            self.name, caption, data, arguments=arguments, provenance=facts, path=path
        )

    def recorded(self, *args: Any, **kwargs: Any) -> Measurement:
        """Show the record without running anything: this GPU's if there is one, else the newest."""
        return self._show("", args, kwargs)

    def _arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str]:
        """All arguments as plain data, and the record's name made of those that are no defaults."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments, named = {}, {}
        for key, value in bound.arguments.items():
            arguments[key] = plain(value, f"argument {key} of {self.name}")
            if not self._is_default(key, value):
                named[key] = arguments[key]
        return arguments, file_stem(self.name, named)

    def _is_default(self, key: str, value: Any) -> bool:
        default = self._signature.parameters[key].default
        return default is not inspect.Parameter.empty and same(value, default)

    def _fits(self, record: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
        """Whether a record answers this call; a parameter newer than it must have its default."""
        known = record["arguments"]
        return (
            record["experiment"] == self.name
            and known.keys() <= arguments.keys()
            and all(
                same(known[key], value) if key in known else self._is_default(key, value)
                for key, value in arguments.items()
            )
        )

    def _show(self, note: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Measurement:
        arguments, stem = self._arguments(args, kwargs)
        found, damaged = [], []
        for path in sorted(RECORDS.glob("*.json")):
            # What a record holds decides, not its name: a parameter's default may have changed.
            if path.name.startswith((f"{self.name}.", f"{self.name}--")):
                try:
                    record = read_record(path)
                except RecordError as error:
                    if path.name.removesuffix(".json").rpartition(".")[0] == stem:
                        damaged.append((path.name, str(error)))
                    continue
                if self._fits(record, arguments):
                    found.append((record, path))
        shown = functools.partial(Measurement, self.name, arguments=arguments)
        if not found and damaged:
            names = ", ".join(name for name, _ in damaged)
            note = "; ".join([*([note] if note else []), *(reason for _, reason in damaged)])
            return shown(f"record damaged: {names}", available=False, damaged=True, note=note)
        if not found:
            return shown(f"there is no record {stem} yet", available=False, note=note)

        here = machine.slug(provenance.machine_name()) if environment.has("cuda") else None
        record, path = max(
            found, key=lambda item: (item[0]["machine"] == here, item[0]["provenance"]["date"])
        )
        changed = _changed(record["source"], self.source)
        caption = f"recorded on {provenance.describe(record['provenance'], needs=self.needs)}"
        remarks = [note] if note else []
        broken_off = bool(record.get("broken_off"))
        if broken_off:
            caption = f"{caption}; {_BROKEN_OFF}"
        if changed:
            caption = f"{caption}; {_STALE}"
            remarks.append(f"changed since: {', '.join(changed)}")
        remarks += [f"damaged record passed over: {name}" for name, _ in damaged]
        return shown(
            caption,
            record["data"],
            recorded=True,
            stale=bool(changed),
            broken_off=broken_off,
            changed=tuple(changed),
            provenance=record["provenance"],
            note="; ".join(remarks),
            path=path,
        )


def _changed(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    parts = ["this cell"] if recorded.get("function") != current["function"] else []
    before, now = recorded.get("covers") or {}, current["covers"]
    parts += sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    return parts + [f"the weights of {n}" for n in weights.changed(recorded.get("weights", {}))]
