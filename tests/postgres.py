"""A real PostgreSQL server of the tests' own: made in a temporary folder, on a socket of its own.

Uses the server programs that the machine has (`postgresql` of the distribution); the fixture that
starts it skips by name where there are none.
"""

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

_READY_WITHIN_S = 60


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, if the machine has them."""
    places = [Path(found).parent] if (found := shutil.which("initdb")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _owner() -> str | None:
    """Whom the server runs as: it refuses to run as root."""
    return "postgres" if os.getuid() == 0 else None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a server over `folder` (programs and data are its business); yields its base URL."""
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        home, owner = Path(name), _owner()
        if owner:
            shutil.chown(home, owner)
        settings = {"user": owner, "cwd": home, "env": {**os.environ, "LC_ALL": "C.UTF-8"}}
        made = [folder / "initdb", "-D", home / "data", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run(made, check=True, capture_output=True, **settings)
        quiet = [
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            f"unix_socket_directories={home}",
        ]
        command = [folder / "postgres", "-D", home / "data", *quiet]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **settings)
        try:
            url = f"postgresql+psycopg2://{owner or getpass.getuser()}@/postgres?host={home}"
            _wait(process, url)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            with engine.connect():
                return
        except sa.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def fresh(url: str, name: str) -> str:
    """The URL of a new, empty database."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)
