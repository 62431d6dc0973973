"""Listening tests in the page: ABX for small differences, MUSHRA for how good several sounds are.

    test = listening.abx(fp32, fp16, name="fp16", folder="answers", sample_rate=22050)
    test.widget()    # in a notebook; a listener answers, each answer goes to the file at once
    test.result()    # the exact binomial test of what was answered

`test.simulate(listener)` walks the same path without a listener. ABX asks whether two sounds can be
told apart at all; MUSHRA (ITU-R BS.1534-3) is for differences that are plain to hear.
"""

from labutils.listening.design import (
    ANCHORS,
    REFERENCE,
    AbxDesign,
    AbxTrial,
    DesignError,
    MushraDesign,
    MushraPage,
)
from labutils.listening.session import AbxTest, MushraTest, abx, mushra
from labutils.listening.store import AnswerFile, StoreError, read

__all__ = [
    "ANCHORS",
    "REFERENCE",
    "AbxDesign",
    "AbxTest",
    "AbxTrial",
    "AnswerFile",
    "DesignError",
    "MushraDesign",
    "MushraPage",
    "MushraTest",
    "StoreError",
    "abx",
    "mushra",
    "read",
]
