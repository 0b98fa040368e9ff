"""Sizes, names and habits that DESIGN.md sets for every file of the product."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("pipelines", "assets", "resources", "chillguard", "prompts")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
TEXTS = sorted(
    path.relative_to(ROOT)
    for room in ROOMS
    for ending in ("*.py", "*.jinja")
    for path in (ROOT / room).rglob(ending)
)
MAX_FILE, MAX_ASSET, MAX_FUNCTION = 300, 30, 40
# One line per column of every table; may shrink, not grow.
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}


def _tree(path):
    return ast.parse((ROOT / path).read_text("utf-8"))


def _functions(tree):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _is_asset(function):
    """Whether a function is decorated by dg.asset, dg.multi_asset or an asset check."""
    names = (ast.unparse(decorator).split("(")[0] for decorator in function.decorator_list)
    return any(name.split(".")[-1].endswith(("asset", "asset_check")) for name in names)


def _body_lines(function):
    return function.end_lineno - function.body[0].lineno + 1


def _lines(function):
    return function.end_lineno - function.lineno + 1


def _over(tree, wanted, size, limit):
    return [
        f"{function.name}: {size(function)} lines"
        for function in _functions(tree)
        if wanted(function) and size(function) > limit
    ]


def _environment_readers(tree):
    """Lines that read the environment."""
    attributes = ("environ", "getenv", "environb")
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in attributes)
        or (isinstance(node, ast.alias) and node.name in attributes)
    ]


def _opens(tree):
    """Lines that open a file themselves."""
    names = ("open", "read_text", "write_text", "read_bytes", "write_bytes")
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        node.lineno
        for node in found
        if (isinstance(node.func, ast.Name) and node.func.id in names[:1])
        or (isinstance(node.func, ast.Attribute) and node.func.attr in names[1:])
    ]


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_a_file_has_at_most_300_lines(path):
    lines = (ROOT / path).read_text("utf-8").splitlines()
    assert len(lines) <= MAX_FILE


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "assets"], ids=str)
def test_the_body_of_an_asset_has_at_most_30_lines(path):
    assert _over(_tree(path), _is_asset, _body_lines, MAX_ASSET) == []


def test_assets_are_found_at_all():
    trees = [_tree(path) for path in FILES if path.parts[0] == "assets"]
    assert sum(_is_asset(function) for tree in trees for function in _functions(tree)) >= 25


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_function_has_at_most_40_lines_beside_its_declared_tables(path):
    # `definitions.build` lists every asset of the lineage.
    allowed = {"build"} if path == Path("pipelines/definitions.py") else set()
    found = _over(_tree(path), lambda f: f.name not in allowed, _lines, MAX_FUNCTION)
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_module_is_named_after_nothing(path):
    assert not BANNED & {part.removesuffix(".py") for part in path.parts}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_states_its_charter(path):
    docstring = ast.get_docstring(_tree(path))
    assert docstring
    assert docstring.rstrip().endswith(".")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_the_profile_reads_the_environment(path):
    found = _environment_readers(_tree(path))
    assert bool(found) is (path == Path("pipelines/profile.py"))


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "assets"], ids=str)
def test_no_asset_opens_a_file(path):
    assert _opens(_tree(path)) == []


def _planted(source):
    return ast.parse(source)


def test_an_asset_that_is_too_long_is_noticed():
    body = "\n".join(["    x = 1"] * 31)
    tree = _planted(f"@dg.asset(group_name='x')\ndef made():\n{body}\n")
    assert _over(tree, _is_asset, _body_lines, MAX_ASSET) == ["made: 31 lines"]
    nested = _planted(
        "def factory():\n    @dg.multi_asset(\n        name='x',\n    )\n    def made():\n"
        + "\n".join(["        x = 1"] * 31)
    )
    assert _over(nested, _is_asset, _body_lines, MAX_ASSET) == ["made: 31 lines"]
    short = "\n".join(["    x = 1"] * 30)
    assert not _over(_planted(f"@dg.asset\ndef f():\n{short}"), _is_asset, _body_lines, MAX_ASSET)


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['X']", "import os\nos.getenv('X')", "from os import environ"]
)
def test_reading_the_environment_is_noticed(source):
    assert _environment_readers(_planted(source))


@pytest.mark.parametrize("source", ["open('x')", "Path('x').read_text()", "path.write_bytes(b'')"])
def test_opening_a_file_is_noticed(source):
    assert _opens(_planted(source))
