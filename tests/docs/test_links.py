"""Every link to a file of the project leads somewhere, and every link to a heading to one that is there."""

import re
from pathlib import Path

import pytest

from sandbox.settings import ROOT
from tests.docs.conftest import MARKDOWN

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names by which GitHub and others link to a page's headings."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


def problems(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    found: list[str] = []
    # A link's own text may be code; what stands within code is none.
    for target in _LINK.findall(_CODE.sub("", re.sub(r"\[`[^`\]]*`\]", "[code]", page.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            found.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(file.read_text()):
            found.append(f"{target}: no such heading")
    return found


def test_there_are_pages() -> None:
    assert {ROOT / "README.md", ROOT / "docs" / "guides" / "deploy-to-aws.md"} <= set(MARKDOWN)


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert problems(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One heading: `code`\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) [b](there.md#one-heading-code) [c](gone.md) [d](there.md#two) `[e](code.md)`\n")
    assert problems(page) == ["gone.md: no such file", "there.md#two: no such heading"]
