"""The command `python -m labutils.workbook`."""

from labutils.workbook import main

raise SystemExit(main())
