"""The MUSHRA test in the page."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from labutils.listening.design import MushraPage
from labutils.listening.widgets.base import FRAME, ListeningWidget, bundle

__all__ = ["MushraWidget"]


class MushraWidget(ListeningWidget):
    """A `MushraTest` for a listener: each stimulus rated 0 to 100 beside the open reference."""

    _esm = bundle(*FRAME, "mushra")

    def _practice(self) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        # The last page's item, in another order, so that it tells nothing about that page.
        page = self.test.design.trials[-1]
        order = random.Random(f"practice {self.test.design.seed}").sample(
            page.order, len(page.order)
        )
        return self._page(page.item, order)

    def _trial(self, trial: MushraPage) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        facts, sounds = self._page(trial.item, trial.order)
        return {"number": trial.number, **facts}, sounds

    def _page(self, item: str, order: Sequence[str]) -> tuple[dict[str, Any], Iterable[np.ndarray]]:
        sounds = self.test.sounds[item]
        labels = [str(number) for number in range(1, len(order) + 1)]
        stimuli = [self.test.design.reference, *order]
        return {"labels": labels}, [sounds[stimulus] for stimulus in stimuli]
