"""The reference pages are what the code says."""

from pathlib import Path

import pytest

from docs import generate
from sandbox.settings import ROOT


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: page.name)
def test_a_page_is_current(page: Path) -> None:
    assert page.read_text() == generate.PAGES[page](), f"{page.relative_to(ROOT)} is old: run python docs/generate.py"


def test_no_meaning_is_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()

    class Seen(dict[str, str]):
        def __getitem__(self, key: str) -> str:
            used.add(key)
            return super().__getitem__(key)

    monkeypatch.setattr(generate, "MEANINGS", Seen(generate.MEANINGS))
    generate.configuration()
    assert generate.MEANINGS.keys() - used == set()


def test_a_key_that_nobody_explains_is_refused() -> None:
    with pytest.raises(LookupError, match=r"^endpoint\.colour: no docstring"):
        generate.meaning("endpoint.colour", None)
