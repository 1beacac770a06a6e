"""`python -m model_packaging` is the command `modelberth`."""

from .cli import main

main()
