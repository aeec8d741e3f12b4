"""The report of a run: ``report.html`` to read and ``report.md`` with the figures alone."""
