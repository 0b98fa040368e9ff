"""`make check-profile`: whether the active profile can be run, in one sentence per fault."""

import sys

from pipelines import profile as profiles
from pipelines.documents import ProfileError


def main() -> None:
    """Print what is wrong with the active profile, or that nothing is; exit 1 where it is."""
    try:
        profile = profiles.active()
        profile.price_list()
        unset = profiles.unset_variables(profile)
    except ProfileError as error:
        raise SystemExit(str(error)) from None
    # The graph can be looked at without them: `make ui` says so and goes on.
    if unset and "--graph" not in sys.argv[1:]:
        raise SystemExit("\n".join(unset))
    lines = unset or [f"profile {profile.name}: nothing is wrong with it"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
