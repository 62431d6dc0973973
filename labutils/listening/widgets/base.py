"""What both widgets share: the script in the page, and the conversation with it.

The page sends `ready`, `begin` or `answer`; the reply is `start` (sounds to practise with), `trial`
(the one that is open), `done` (the result) or `problem` (one line). Sounds are in none of the
widget's traits, so a notebook that is saved with its widgets stays small, and blind.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

__all__ = ["FRAME", "ListeningWidget", "bundle", "pcm", "style"]

FRAME = ("page", "player", "wave", "log", "panel")  # the modules that both tests share
FOLDER = Path(__file__).parent
# A module that imports another by its place cannot be sent as one text.
IMPORT = re.compile(r"^import .*? from \"\./[\w.]+\";\n", re.M)
EXPORT = re.compile(r"^export (?!default)", re.M)

log = logging.getLogger(__name__)


def bundle(*names: str) -> str:
    """The named modules of this folder as one, in this order; the last one has the default."""
    text = "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in names)
    return EXPORT.sub("", IMPORT.sub("", text))


def style() -> str:
    return (FOLDER / "style.css").read_text(encoding="utf-8")


def pcm(samples: np.ndarray) -> bytes:
    """Samples (samples,) in [-1, 1] as 16-bit little-endian integers."""
    steps = np.rint(np.asarray(samples, np.float64) * 32768)
    return np.clip(steps, -32768, 32767).astype("<i2").tobytes()


class ListeningWidget(anywidget.AnyWidget):
    """A test in the page, for one listener. Use `AbxWidget` or `MushraWidget`.

    `test`: an `AbxTest` or `MushraTest`; it draws the trials and stores the answers. What goes
    wrong while an answer is stored stands in the page, where the listener can try again.
    """

    _css = style()

    def __init__(self, test: Any) -> None:
        super().__init__()
        self.test = test
        self.on_msg(self._hear)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.test!r}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = super()._repr_mimebundle_(**kwargs)
        data = found[0] if isinstance(found, tuple) else found
        # For pages that show no widgets.
        data["text/html"] = (
            f"<p>Listening test <b>{html.escape(self.test.design.name)}</b>: "
            "run this cell in JupyterLab to take it.</p>"
        )
        return found

    def _practice(self) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        """More for the message `start`, and its sounds."""
        raise NotImplementedError

    def _trial(self, trial: Any) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        """More for the message `trial`, and its sounds."""
        raise NotImplementedError

    def _hear(self, _widget: Any, content: Mapping[str, Any], _buffers: Any) -> None:
        # An error here would end in the kernel's log, where no listener looks.
        try:
            self._reply(content)
        except Exception as error:
            log.exception("listening test %s", self.test.design.name)
            lost = "This answer is not stored: " if content.get("kind") == "answer" else ""
            view = content.get("view")
            self.send({"kind": "problem", "text": f"{lost}{error}", "view": view})

    def _reply(self, content: Mapping[str, Any]) -> None:
        kind = content.get("kind")
        if kind == "ready" and not self.test.done:
            self._tell("start", *self._practice(), content.get("view"))
            return
        if kind == "begin" and not self.test.done:
            self.test.note("begin", answered=self.test.next().number)
        elif kind == "answer":
            self._store(content)
        trial, view = self.test.next(), content.get("view")
        if trial is None:
            self._tell("done", {"html": self._result()}, (), view)
        else:
            self._tell("trial", *self._trial(trial), view)

    def _result(self) -> str:
        # The answers are stored by now, whatever becomes of the figures.
        try:
            return self.test.result()._repr_html_()
        except Exception as error:
            log.exception("listening test %s", self.test.design.name)
            return f"<p>The result cannot be shown: {html.escape(str(error))}</p>"

    def _store(self, content: Mapping[str, Any]) -> None:
        trial = self.test.next()
        # Sent again because the reply was late: it is stored already.
        if trial is None or content["trial"] < trial.number:
            return
        self.test.answer(content["answer"], trial=content["trial"], **content.get("facts", {}))

    def _tell(
        self, kind: str, facts: Mapping[str, Any], sounds: Iterable[np.ndarray], view: str | None
    ) -> None:
        design = self.test.design
        trial = self.test.next()
        trials = len(design.trials)
        message = {
            "kind": kind,
            "view": view,
            "title": design.name,
            "trials": trials,
            "answered": trials if trial is None else trial.number,
            "rate": design.sample_rate,
            **facts,
        }
        self.send(message, [pcm(samples) for samples in sounds])
