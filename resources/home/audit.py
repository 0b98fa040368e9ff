"""The audit sheet that people filled in: a CSV file, or none."""

import csv
from pathlib import Path

import dagster as dg

from chillguard.rows import records


class AuditSheet(dg.ConfigurableResource):
    """A filled copy of a release's `audit_sample.csv`, if the profile names one."""

    path: str | None = None

    def rows(self) -> list[records.Parsed]:
        """Its rows by line; none without a file. Raises `dg.Failure` if it cannot be read."""
        if self.path is None:
            return []
        try:
            with Path(self.path).open(encoding="utf-8-sig", newline="") as lines:
                reader = csv.DictReader(lines)
                return [_parsed(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise dg.Failure(
                f"audit sheet {self.path} cannot be read: {error}; save it as CSV in UTF-8, or "
                "leave `audit_decisions` out of the profile"
            ) from None


def _parsed(line: int, row: dict[str | None, object]) -> records.Parsed:
    extra = row.pop(None, None)
    columns = {str(name): value for name, value in row.items()}
    return records.Parsed(line, columns, "more fields than the header names" if extra else None)
