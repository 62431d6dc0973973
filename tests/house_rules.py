"""What no file of the project may hold: paths of one machine, hosts of package registries."""

import re
from pathlib import Path

from labutils import ROOT

_BANNED = {
    "a path of one machine": re.compile(r"(?<![\w.-])/(?:home|root|Users|work|farm)/[\w.-]+"),
    "a folder beside the checkout": re.compile(r"\.\./shared\b|\bgpu[-]lab\b"),
    "the host of a package registry": re.compile(
        r"\b(?:pypi\.\w+|pythonhosted\.org|download\.pytorch\.org|anaconda\.(?:org|com)|npmjs\.\w+)"
    ),
}
_BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")


def banned(text: str) -> list[str]:
    """One line for each thing in `text` that means nothing, or too much, to a reader."""
    text = _BASE64.sub("", text)
    found = [
        f"{what}: {match.group()}"
        for what, pattern in _BANNED.items()
        for match in pattern.finditer(text)
    ]
    for path, what in ((ROOT, "the path of this checkout"), (Path.home(), "the path of this home")):
        if len(path.parts) > 1 and re.search(rf"(?<![\w.-]){re.escape(str(path))}(?![\w-])", text):
            found.append(f"{what}: {path}")
    return found
