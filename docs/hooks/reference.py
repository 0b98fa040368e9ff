"""The generated pages of `docs/reference/`, made from the code each time the site is built.

MkDocs calls `on_files` (`hooks` in mkdocs.yml). Nothing here is written by hand but headings: what
a page says of a key, a column, a job or a command is what the code says of it.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import dagster as dg
from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chillguard.settings import Settings, TrainingConfig
from chillguard.tables import ALL, training
from chillguard.tables.reasons import Reason, reasons
from chillguard.tables.table import Column
from pipelines import definitions, profile

DROP_REASONS = "reference/drop-reasons.md"
ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in `docs/`."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}", content=page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the vocabulary of drop reasons into its page, before what is written by hand."""
    return markdown if page.file.src_uri != DROP_REASONS else _REASONS.sub(drop_reasons, markdown)


def drop_reasons(_: re.Match[str]) -> str:
    """Every drop reason with its sentence, and the reasons of each stage."""
    by_stage: dict[str, list[str]] = {}
    for reason, stage, _sentence in reasons():
        by_stage.setdefault(stage, []).append(reason)
    stages = [(f"`{stage}`", _code(names)) for stage, names in by_stage.items()]
    told = [(f"`{reason.value}`", reason.sentence, _code(reason.stages)) for reason in Reason]
    return (
        f"## By reason\n\n{_markdown_table(('reason', 'means', 'given by'), told)}\n\n"
        f"## By stage\n\n{_markdown_table(('stage', 'reasons'), stages)}"
    )


def profile_keys() -> str:
    """Every key of a profile, part by part, from the models that validate it."""
    return _page(
        "Profile keys",
        "A profile is one YAML file. `extends` names another profile that it is merged over: "
        "mappings merge, lists are replaced. Paths are relative to the file. A key that is not "
        "listed here is an error that names the file and the key. The numbers of each stage, "
        "under `settings`, have [a page of their own](settings.md).",
        map(_section, _models_under(profile.Profile)),
    )


def settings_keys() -> str:
    """Every science setting, stage by stage, with its default."""
    return _page(
        "Settings",
        "Science settings stand under `settings` in a profile. The default is the paper's number "
        "where the paper has one: [the paper index](../explanation/paper-index.md) says which.",
        [*_settings_sections(Settings(), ""), *map(_section, _left_out(Settings()))],
    )


def table_columns() -> str:
    """Every table and its columns, and what is true of each."""
    heads = ("column", "type", "null, values", "meaning", "facts")
    sections = []
    for name, table in ALL.items():
        rows = [
            (f"`{c.name}`", f"`{c.type}`", _allowed(c), c.doc, _code(_facts(c)))
            for c in table.columns
        ]
        place = f"iteration_<n>/{name}" if name in training.TABLES else name
        sections.append(
            f"## {name}\n\nOne row per {table.row}. Key: {_code(table.key)}. Asset: `{place}`.\n\n"
            + _markdown_table(heads, rows)
        )
    said = re.findall(r"^(\w+): (.+?)(?=^\w+:|\Z)", _doc(Column), re.M | re.S)
    facts = [(f"`{fact}`", meaning) for fact, meaning in said if fact in _SHOWN_FACTS]
    return _page(
        "Tables and columns",
        "Every table of the lineage, as `CHILLGUARD_HOME/tables/<asset>/part-00000.parquet` holds "
        "it. A table that breaks its schema is not written. The same fact has the same column name "
        "in every table. Rows are sorted by key, and no column holds a clock time or a latency.",
        ["What is true of a column:\n\n" + _markdown_table(("fact", "means"), facts), *sections],
    )


def assets_and_checks() -> str:
    """Every asset of the profile `paper`, with its checks."""
    graph = _definitions().resolve_asset_graph()
    by_group: dict[str, list[tuple[str, ...]]] = {}
    for key in sorted(graph.get_all_asset_keys(), key=lambda one: one.to_user_string()):
        node = graph.get(key)
        said = _first_sentence(node.description or "")
        row = (f"`{key.to_user_string()}`", said, _code(sorted(node.kinds)))
        by_group.setdefault(node.group_name or "default", []).append(row)
    sections = [
        f"## Group {group}\n\n" + _markdown_table(("asset", "what it is", "works with"), rows)
        for group, rows in sorted(by_group.items())
    ]
    checks = [
        (f"`{key.name}`", f"`{key.asset_key.to_user_string()}`", graph.get_check_spec(key))
        for key in sorted(graph.asset_check_keys, key=lambda key: (key.name, key.asset_key))
        if not key.name.startswith("schema")
    ]
    rows = [
        (name, asset, _first_sentence(spec.description or ""), "yes" if spec.blocking else "warns")
        for name, asset, spec in checks
    ]
    sections.append(
        "## Checks\n\nA schema check stands behind every table, too, and blocks.\n\n"
        + _markdown_table(("check", "on", "holds when", "blocks"), rows)
    )
    return _page(
        "Assets and checks",
        "As profile `paper` has them, with one asset per enabled source, juror slot and "
        "classifier: your profile has as many as it names.",
        sections,
    )


def jobs_and_sensors() -> str:
    """Jobs, schedules and sensors of the profile `paper`."""
    found = _definitions()
    jobs = [
        (f"`{job.name}`", job.description or "")
        for job in sorted(found.jobs or [], key=lambda job: job.name)
    ]
    schedules = [
        (f"`{one.name}`", f"`{one.cron_schedule}`", f"`{one.job_name}`", one.description or "")
        for one in found.schedules or []
        if isinstance(one, dg.ScheduleDefinition)
    ]
    sensors = [
        (f"`{one.name}`", f"`{one.job_name}`", one.description or "") for one in found.sensors or []
    ]
    pages = [
        "## Jobs\n\n" + _markdown_table(("job", "does"), jobs),
        "## Schedules\n\nIn the time zone Asia/Shanghai.\n\n"
        + _markdown_table(("schedule", "when", "job", "brings"), schedules),
        "## Sensors\n\nOne for each kind of input that the profile names.\n\n"
        + _markdown_table(("sensor", "job", "does"), sensors),
    ]
    return _page(
        "Jobs, schedules and sensors",
        "Start a job in the browser or with "
        "`dagster job execute -m pipelines.definitions -j NAME`. "
        "Schedules and sensors are off until somebody switches them on: "
        "[Refresh by schedule or by file](../how-to/refresh.md).",
        pages,
    )


def commands() -> str:
    """The targets of the Makefile, from its own first lines."""
    rows = re.findall(r"^#   make (\S+)\s+(.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    return _page(
        "Commands",
        "Each sets up what it needs, so all of them work in a fresh clone. Each exits with another "
        "status than 0 when a step, a check or a setting failed; the last lines say which and why.",
        [_markdown_table(("command", "does"), ((f"`make {name}`", said) for name, said in rows))],
    )


PAGES: dict[str, Callable[[], str]] = {
    "profile.md": profile_keys,
    "settings.md": settings_keys,
    "tables.md": table_columns,
    "assets.md": assets_and_checks,
    "jobs.md": jobs_and_sensors,
    "commands.md": commands,
}


_REASONS = re.compile(r"<!-- reasons: .*? -->")
_SHOWN_FACTS = ("holds_text", "published", "trained", "personal")
_FRAMEWORK = (BaseModel, dg.Config)
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@cache
def _definitions() -> dg.Definitions:
    return definitions.build(profile.load("paper"), ROOT / "data")


def _page(title: str, introduction: str, sections: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", introduction, *sections]) + "\n"


def _markdown_table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _first_sentence(text: str) -> str:
    return text.strip().split("\n\n")[0]


def _allowed(column: Column) -> str:
    values = [_code(column.values)] if column.values else []
    return ", ".join([*(["null"] if column.nullable else []), *values])


def _facts(column: Column) -> list[str]:
    return [fact for fact in _SHOWN_FACTS if getattr(column, fact)]


def _title(model: type[BaseModel]) -> str:
    """Its name, and its kind where its name does not tell what stands under `kind`."""
    kind = model.model_fields.get("kind")
    kinds = get_args(kind.annotation) if kind else ()
    return f"{model.__name__}, kind {kinds[0]}" if len(kinds) == 1 else model.__name__


def _doc(model: type) -> str:
    """What its class says, and those that it has keys from."""
    if not issubclass(model, BaseModel):
        return inspect.cleandoc(model.__doc__ or "")
    bases = [
        base
        for base in model.__mro__
        if issubclass(base, BaseModel) and base.__annotations__ and base not in _FRAMEWORK
    ]
    return "\n\n".join(inspect.cleandoc(base.__doc__ or "") for base in bases)


def _models_under(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model that its fields hold, each once; settings have their own page."""
    seen: dict[type[BaseModel], None] = {}
    waiting = [model]
    while waiting:
        first = waiting.pop(0)
        if first in seen or first is Settings:
            continue
        seen[first] = None
        waiting += [m for f in first.model_fields.values() for m in _models_of(f.annotation)]
    yield from seen


def _left_out(config: BaseModel) -> Iterator[type[BaseModel]]:
    """Models that a setting may hold and does not by default."""
    for name, value in config:
        if isinstance(value, BaseModel):
            yield from _left_out(value)
        else:
            yield from _models_of(type(config).model_fields[name].annotation)


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_of(part)


def _section(model: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", _takes(field), _shown_default(field))
        for name, field in model.model_fields.items()
        if field.annotation is not Settings
    ]
    return (
        f"## {_title(model)}\n\n{_doc(model)}\n\n"
        f"{_markdown_table(('key', 'takes', 'default'), rows)}"
    )


def _settings_sections(config: BaseModel, path: str) -> Iterator[str]:
    """A section per stage, and per part of `training`; a config inside a stage is in its table."""
    for name, stage in config:
        if isinstance(stage, TrainingConfig):
            plan = _setting(TrainingConfig, "plan", stage.plan, f"{name}.")
            yield _settings_section(name, stage, [plan])
            yield from _settings_sections(stage, f"{name}.")
        elif isinstance(stage, BaseModel):
            yield _settings_section(path + name, stage, _settings_rows(stage, f"{path}{name}."))


def _settings_section(name: str, config: BaseModel, rows: Iterable[tuple[str, ...]]) -> str:
    table = _markdown_table(("setting", "takes", "default"), rows)
    return f"## {name}\n\n{_doc(type(config))}\n\n{table}"


def _settings_rows(config: BaseModel, path: str) -> Iterator[tuple[str, ...]]:
    for name, value in config:
        if isinstance(value, BaseModel):
            yield from _settings_rows(value, f"{path}{name}.")
        else:
            yield _setting(type(config), name, value, path)


def _setting(model: type[BaseModel], name: str, value: Any, path: str) -> tuple[str, ...]:
    field = model.model_fields[name]
    return (f"`{path}{name}`", _takes(field), f"`{_plain(value)}`")


def _takes(field: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(bound, name)}"
        for bound in field.metadata
        for name, words in _BOUNDS.items()
        if hasattr(bound, name)
    ]
    return ", ".join([_shown_type(field.annotation), *bounds])


def _shown_type(annotation: Any) -> str:
    """A type in words: what stands in YAML, not what stands in Python."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shown_type(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_shown_type(part) for part in parts))
    if origin is Literal:
        return _code(str(part) for part in parts)
    if origin in (list, tuple, set, frozenset):
        inside = [part for part in parts if part is not Ellipsis]
        words = _shown_type(inside[0]) if inside else "anything"
        return f"list of ({words})" if " or " in words else f"list of {words}"
    if origin is not None and parts:
        return f"mapping of {_shown_type(parts[0])} to {_shown_type(parts[-1])}"
    return _shown_name(annotation)


def _shown_name(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        title = _title(annotation)
        return f"[{annotation.__name__}](#{slugify(title, '-')})"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    words |= {NoneType: "null", Path: "path", dict: "mapping"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _shown_default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "**required**"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """A default as it would stand in YAML."""
    if isinstance(value, BaseModel):
        given = {name: one for name, one in value if name in value.model_fields_set}
        return ", ".join(f"{name}: {_plain(one)}" for name, one in given.items()) or "as below"
    if isinstance(value, tuple | list | frozenset):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) + "}"
    words: dict[Any, str] = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
