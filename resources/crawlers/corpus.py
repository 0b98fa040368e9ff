"""What is known of the posts to come without crawling: which sources may bring other ones."""

from pathlib import Path

import dagster as dg

from resources.inputs.files import input_files


class Corpus(dg.ConfigurableResource):
    """The sources of posts: files (or folders of files) by name, and names of network sources."""

    files: dict[str, str] = {}
    networks: list[str] = []

    def may_bring(self, since: float | None) -> str:
        """Which sources may bring posts that were not there at `since`, in words; empty for none.

        None = nothing was read yet. A file that was only touched counts as changed.
        """
        if since is None:
            return "the posts are not read yet"
        newer = [name for name, path in self.files.items() if _changed_at(Path(path)) > since]
        told = [f"files of {name} changed" for name in newer]
        return "; ".join([*told, *(f"{name} is crawled" for name in self.networks)])


def _changed_at(path: Path) -> float:
    """When the newest file was written; of a folder also when a file came or went."""
    places = [path, *(input_files(path) if path.is_dir() else ())]
    return max((place.stat().st_mtime for place in places if place.exists()), default=float("inf"))
