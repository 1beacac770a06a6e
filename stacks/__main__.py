"""Every model of the stack's configuration, `Pulumi.<stack>.yaml` beside this file."""

import os
from pathlib import Path

from modelberth import deploy_stack

# Paths in a configuration are relative to the project's folder, from wherever the engine starts the program.
os.chdir(Path(__file__).resolve().parents[1])
deploy_stack()
