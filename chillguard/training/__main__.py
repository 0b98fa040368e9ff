"""`python -m chillguard.training SPEC.json`: one job, each report one JSON line on stdout.

Needs the training libraries only, no Dagster. Exit status 2 and one sentence on stderr for a job
that cannot be done.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from chillguard.training.data import TrainingError
from chillguard.training.run import run
from chillguard.training.spec import TrainingSpec


def main() -> int:
    """Run the job whose spec is the first argument."""
    try:
        spec = TrainingSpec.model_validate_json(Path(sys.argv[1]).read_text("utf-8"))
        run(spec, _tell)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the spec"
        sys.stderr.write(f"{sys.argv[1]}: {place}: {first['msg']}\n")
        return 2
    except TrainingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _tell(told: Mapping[str, float | int | str]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
