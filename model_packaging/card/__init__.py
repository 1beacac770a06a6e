"""The model card: a pure function of the package's documents, as Markdown and as standalone HTML."""

from .render import render

__all__ = ["render"]
