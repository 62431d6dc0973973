"""The command `python -m labutils.shapes`."""

from labutils.shapes.command import main

raise SystemExit(main())
