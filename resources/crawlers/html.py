"""HTML to text, by trafilatura: fragments as posts carry them, and the body of a page."""

import re

from resources.crawlers import source

_BREAK = re.compile(r"<br\s*/?>|</p>", re.IGNORECASE)
_SHELL = re.compile(r"</?(?:html|head|body)\b[^>]*>", re.IGNORECASE)
_SPACE = re.compile(r"\s*\n\s*")


def fragment_text(fragment: str) -> str:
    """All text of a piece of HTML; line breaks stay, tags and scripts go."""
    if "<" not in fragment and "&" not in fragment:
        return fragment.strip()
    from lxml import etree, html

    marked = _BREAK.sub(lambda match: match.group() + "\n", _SHELL.sub("", fragment))
    root = html.fragment_fromstring(source.storable(marked), create_parent="div")
    hidden = ("script", "style", etree.Comment, etree.ProcessingInstruction)
    etree.strip_elements(root, *hidden, with_tail=False)
    return _SPACE.sub("\n", "".join(root.itertext())).strip()


def page_text(page: str, url: str) -> str | None:
    """The main text of a page, without navigation and boilerplate; None if it has none."""
    import trafilatura

    found: str | None = trafilatura.extract(page, url=url, include_comments=True)
    return found
