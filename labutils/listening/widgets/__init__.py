"""Listening tests in the page: widgets (anywidget, WebAudio) that need no network.

`AbxTest.widget()` and `MushraTest.widget()` make them. The sounds of a page go to the browser when
it asks for them, in the order of the trial and without names; answers come back and are stored
before the next trial is shown.
"""

from labutils.listening.widgets.abx import AbxWidget
from labutils.listening.widgets.base import ListeningWidget
from labutils.listening.widgets.mushra import MushraWidget

__all__ = ["AbxWidget", "ListeningWidget", "MushraWidget"]
