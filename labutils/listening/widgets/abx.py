"""The ABX test in the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from labutils.listening.design import AbxTrial
from labutils.listening.widgets.base import FRAME, ListeningWidget, bundle

__all__ = ["AbxWidget"]


class AbxWidget(ListeningWidget):
    """An `AbxTest` for a listener at the keyboard: A, B, X, then which of both X is."""

    _esm = bundle(*FRAME, "abx")

    def _practice(self) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        # The page draws its own X from these two.
        sounds = self.test.sounds[self.test.design.trials[0].item]
        return {}, [sounds["a"], sounds["b"]]

    def _trial(self, trial: AbxTrial) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        sounds = self.test.sounds[trial.item]
        return {"number": trial.number}, [sounds[trial.stimuli[label]] for label in "ABX"]
