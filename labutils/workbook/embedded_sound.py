"""Sound in a notebook's outputs: megabytes of it are left out of saved notebooks, visibly."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

__all__ = ["SOUND_NOTE", "holds_sound", "strip_sound"]

SOUND_NOTE = "sound left out of the saved notebook: run this cell to hear it"

_NOTE_HTML = f"<em>{SOUND_NOTE}</em>"
_NOTE_URI = "about:blank#" + SOUND_NOTE.split(":")[0].replace(" ", "-")
_INSIDE = r"(?:(?!</audio>).)*"
_AUDIO_ELEMENT = re.compile(rf"<audio\b{_INSIDE}?data:audio/{_INSIDE}</audio>", re.S | re.I)
_AUDIO_URI = re.compile(r"data:audio/[\w.+-]+(?:;[\w=.+-]+)*,[A-Za-z0-9+/=%_-]*", re.I)
# A WAV file in base64 without a data URI, as a script would hold it: "RIFF....WAVE".
_WAV_BASE64 = re.compile(r"UklGR[A-Za-z0-9+/]{7}QVZF")


def strip_sound(notebook: NotebookNode) -> int:
    """Put a visible note in place of every sound in this notebook; return how many there were.

    Sounds are audio outputs and data URIs of audio; what a script holds in another way stays.
    """
    count = 0
    for data in _bundles(notebook):
        for mime in [mime for mime in data if mime.startswith("audio/")]:
            del data[mime]
            data["text/html"] = data.get("text/html", "") + _NOTE_HTML
            count += 1
        for mime, value in list(data.items()):
            if isinstance(value, str) and "data:audio/" in value:
                value, elements = _AUDIO_ELEMENT.subn(_NOTE_HTML, value)
                data[mime], others = _AUDIO_URI.subn(_NOTE_URI, value)
                count += elements + others
    return count


def holds_sound(notebook: NotebookNode) -> bool:
    """Whether outputs or metadata (the state of widgets) hold a sound in any of the usual forms."""
    texts = _texts([*_bundles(notebook), notebook.metadata])
    return any(
        text.startswith("audio/") or "data:audio/" in text or _WAV_BASE64.search(text)
        for text in texts
    )


def _bundles(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                yield output.data


def _texts(value: object) -> Iterator[str]:
    """Every string in nested lists and mappings, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
