"""A request that cannot be answered, as the client will read it."""

from __future__ import annotations

MOST_SHOWN = 20
"""Problems named in one answer; a file with the wrong columns would otherwise fill pages."""


class RequestProblem(Exception):
    """Bad input. `status` is the HTTP status (4xx, or 503/504 for an overloaded server) and
    `problems` are sentences that name the row, the field, the value and what is allowed. `headers` are the answer's."""

    def __init__(self, status: int, problems: list[str] | str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = {"Retry-After": "1"} if status == 503 else headers
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("; ".join(self.problems))

    def body(self) -> dict[str, object]:
        """The JSON answer."""
        shown = self.problems[:MOST_SHOWN]
        hidden = len(self.problems) - len(shown)
        if hidden:
            shown = [*shown, f"and {hidden} more"]
        return {"error": "; ".join(shown), "problems": shown}


def quoted(value: object) -> str:
    """The value as it may appear in a message: JSON-like and short, whatever was sent."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a very long integer"  # printing one of a million digits would cost seconds
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text
