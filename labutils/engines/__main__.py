"""The command `python -m labutils.engines`."""

from labutils.engines.command import main

raise SystemExit(main())
