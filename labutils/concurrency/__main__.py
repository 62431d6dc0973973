"""The command `python -m labutils.concurrency`."""

from labutils.concurrency.command import main

raise SystemExit(main())
