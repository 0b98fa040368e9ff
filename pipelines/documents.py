"""Profile documents: YAML files that extend one another, merged, with paths made absolute.

What a document may say is `pipelines.profile`.
"""

import difflib
import math
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parent / "profiles"
_SOURCES = ("posts", "real_prompts", "public_prompts", "benchmarks")
_MAX_DEPTH = 8
_PATHS = frozenset(
    (
        "path",
        "samples",
        "taxonomy",
        "seed_keywords",
        "anchors",
        "review_decisions",
        "audit_decisions",
        "prices",
        "approval",
        "tables",
    )
)
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class ProfileError(ValueError):
    """A profile that cannot be used; each line names the file, a setting and the mend."""


def document(path: Path) -> dict[str, Any]:
    """A profile merged over what it extends; `samples` give the sources where it names none.

    Raises `ProfileError` for what cannot be read.
    """
    try:
        merged = _merged(path, 0)
    except RecursionError:
        raise ProfileError(f"profile {path} is not YAML: it is too deep, or holds itself") from None
    samples = merged.pop("samples", None)
    if samples is not None and not any(key in merged for key in _SOURCES):
        given = _merged(Path(samples), 0)
        merged |= {key: given[key] for key in _SOURCES if key in given}
    return merged


def find(name: str, folder: Path) -> Path:
    """A shipped profile by name, or a YAML file by path."""
    shipped = SHIPPED / f"{name}.yaml"
    path = shipped if shipped.exists() else (folder / name)
    if not path.is_file():
        names = sorted(p.stem for p in SHIPPED.glob("*.yaml"))
        raise ProfileError(
            f"profile {name!r} is neither a file ({path}) nor one of {', '.join(names)}"
            f"{meant(name, names)}; set CHILLGUARD_PROFILE to a profile name or to the path of a "
            "YAML file"
        )
    return path


def meant(name: object, known: Iterable[str]) -> str:
    """`, did you mean …?` where a known name is near; else nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def read_yaml(path: Path) -> Any:
    """A YAML document in which yes and no are words, keys are text, and no key stands twice."""
    return yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader


class _Loader(yaml.SafeLoader):
    """Booleans are `true` and `false`, as in YAML 1.2: labels and names may be yes and no."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping; a key that stands twice is an error, not the last of its values."""
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            # 1 and true are one key to Python, and two to whoever wrote them.
            key.tag = key.tag if key.tag == _MERGE else _STR
        written = [key.value for key in keys]
        twice = next((key for key in written if written.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, form)
        for tag, form in forms
        if tag != "tag:yaml.org,2002:bool" or first in ("t", "T", "f", "F")
    ]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _merged(path: Path, depth: int) -> dict[str, Any]:
    try:
        given = read_yaml(path)
    except OSError as error:
        raise ProfileError(f"profile {path} cannot be read: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        raise ProfileError(f"profile {path} is not YAML: {words}") from None
    if not isinstance(given, dict) or depth > _MAX_DEPTH:
        raise ProfileError(f"profile {path} is not a mapping, or extends itself")
    parent = given.pop("extends", None)
    own: dict[str, Any] = _absolute(given, path.parent, path, "")
    if parent is None:
        return own
    base = _merged(find(str(parent), path.parent), depth + 1)
    base.pop("name", None)
    merged: dict[str, Any] = _over(base, own)
    return merged


def _over(base: Any, top: Any) -> Any:
    if isinstance(base, dict) and isinstance(top, dict):
        return {key: _over(base.get(key), top[key]) if key in top else base[key]
                for key in base | top}  # fmt: skip
    return top


def _absolute(value: Any, folder: Path, file: Path, place: str) -> Any:
    """Paths in a profile are relative to its file; numbers are finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ProfileError(f"profile {file}: {place}: {value} is no number that a setting takes")
    if isinstance(value, list):
        return [_absolute(one, folder, file, f"{place}.{n}") for n, one in enumerate(value)]
    if isinstance(value, dict):
        return {
            key: _resolved(key, one, folder, file, f"{place}.{key}".lstrip("."))
            for key, one in value.items()
        }
    return value


def _resolved(key: str, value: Any, folder: Path, file: Path, place: str) -> Any:
    if key in _PATHS and isinstance(value, str):
        elsewhere = value.startswith("packaged:") or "://" in value
        return value if elsewhere else str((folder / value).resolve())
    return _absolute(value, folder, file, place)
