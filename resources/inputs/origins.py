"""Which lines of a source's files hold a text: what no table of the lineage remembers."""

from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from chillguard.rows import intake, records
from resources.inputs.files import parsed_rows


def lines(
    sources: Sequence[records.RowSource], name: str, text: str, codes: Collection[str]
) -> Iterator[str]:
    """Every `file, line` of the source called `name` that holds this text, as it stands now.

    `text` is as it was admitted, its personal data replaced. Of texts that stand several times, all
    are told: they are one prompt, and its copies. A data set on the hub is not read again.
    """
    for source in sources:
        if source.name != name:
            continue
        if not isinstance(source, records.SourceConfig):
            yield f"{source.name}: a data set on the hub, which is not read again"
            continue
        try:
            for row in parsed_rows(source):
                if _text(row, source, codes) == text:
                    yield f"{source.path / row.file if row.file else source.path}, line {row.line}"
        except dg.Failure as failure:
            yield f"cannot be told: {failure.description}"


def _text(row: records.Parsed, source: records.SourceConfig, codes: Collection[str]) -> str | None:
    try:
        found = next(iter(records.accept([row], source, codes, [])), None)
    except records.RecordError:
        return None
    return intake.admit(found["text"]).text if found else None
