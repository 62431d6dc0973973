"""The hash of source code: what code does counts, how it is written does not."""

import pytest

from labutils import records
from labutils.records import Experiment, hashing
from labutils.records.hashing import SourceError

SAME = [
    "def f(a, b=1):\n    return a + b\n",
    'def f(a, b=1):\n    """Doc."""\n    # why\n    return (a +\n            b)\n',
    "@records.experiment('x', needs='cuda')\ndef f(a, b=1): return a + b\n",
    "@experiment('y')\ndef f(a, b=1):\n\n    return a + b  # sum\n",
]


def test_comments_docstrings_layout_and_the_own_decorator_do_not_count():
    hashes = {hashing.fingerprint_text(s, "f", without_decorator="experiment") for s in SAME}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, b=2):\n    return a + b\n",
        "def f(a, b=1):\n    return a - b\n",
        "def f(a, b=1):\n    return b + a\n",
        "@torch.no_grad()\ndef f(a, b=1):\n    return a + b\n",
        "def f(a, b=True):\n    return a + b\n",
        "def f(a, b=1.0):\n    return a + b\n",
        "def f(a, b='1'):\n    return a + b\n",
        "def f(a, b=None):\n    return a + b\n",
        "def f(a, b=1):\n    'doc'\n    'more'\n    return a + b\n",
    ],
)
def test_what_code_does_counts(other):
    assert hashing.fingerprint_text(other, "f") != hashing.fingerprint_text(SAME[0], "f")


def test_hash_does_not_depend_on_the_version_of_python():
    body = (
        "class A(B, metaclass=M):\n    x: int = 1\n    def m(self):\n"
        "        with a as b, c: yield f'{x!r:>{w}} y'\n        return None\n"
        "match v:\n    case [1, *_]: pass\n    case {'k': 2.5} | None: pass\n"
        "z = [i async for i in y if i] if 1j else lambda q, /, r=b'x': ...\n"
    )
    # Fixed once: a Python whose syntax tree gives another value would make every record stale.
    assert hashing.fingerprint_text(body, "f") == "414331fa10fc9336"


def test_source_that_can_not_be_read_is_a_clear_error():
    scope = {}
    exec("def ghost():\n    return 1\n", scope)
    with pytest.raises(SourceError, match="the source of .*ghost can not be read"):
        Experiment(scope["ghost"], "ghost")
    with pytest.raises(SourceError, match="lambda"):
        Experiment(lambda: 1, "nameless")
    with pytest.raises(SourceError, match="there is no module no_such_module"):
        Experiment(test_what_code_does_counts, "covers-nothing", covers=["no_such_module"])
    with pytest.raises(SourceError, match="no Python source"):
        hashing.fingerprint("math")


def test_indented_functions_methods_classes_and_packages_have_a_hash():
    class Inner:
        text = """
not indented"""

        def method(self):
            return 1

    assert len({hashing.fingerprint(x) for x in (Inner, Inner.method, "labutils")}) == 3
    assert hashing.fingerprint(records) == hashing.fingerprint("labutils.records")


def test_package_hash_sees_files_added_and_renamed(tmp_path, monkeypatch):
    package = tmp_path / "covered_package"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "a.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = hashing.fingerprint("covered_package")
    (package / "deep" / "a.py").rename(package / "a.py")
    moved = hashing.fingerprint("covered_package")
    (package / "b.py").write_text("")
    assert len({first, moved, hashing.fingerprint("covered_package")}) == 3
