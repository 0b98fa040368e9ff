import dagster as dg
import pyarrow as pa
import pytest

from pipelines import summary
from resources.home.releases import Releases


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    home = tmp_path / ("a-long-folder-name-" * 8)
    monkeypatch.setenv("CHILLGUARD_HOME", str(home))
    releases = Releases(folder=str(home / "release"))
    for version, count in (("zz", 1), ("aa", 1234)):
        sides = {side: pa.table({"prompt_id": ["x"] * count}) for side in ("train", "test")}
        releases.write(version, sides, {}, {"README.md": b""})
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: instance)
        summary.main()
    return home, capsys.readouterr().out


def test_the_newest_release_is_printed_with_its_row_counts(printed):
    _, out = printed
    assert out.startswith("release aa")
    assert out.count("1,234 rows") == 2


def test_paths_are_printed_whole(printed):
    home, out = printed
    lines = out.splitlines()
    for name in ("train.parquet", "test.parquet", "README.md", "report.html", "losses.parquet"):
        assert any(line.strip().startswith(str(home / "release" / "aa" / name)) for line in lines)


def test_the_paid_calls_are_counted(printed):
    home, out = printed
    [line] = [line for line in out.splitlines() if "ledger.db" in line]
    assert str(home / "ledger.db") in line
    assert "0 calls paid so far" in line
