"""The command `python -m labutils.baseline`."""

from labutils.baseline import main

raise SystemExit(main())
