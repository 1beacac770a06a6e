"""The platforms that the sandbox stands in for: one module each, with the same functions, and one line here.

Each module has:
- `is_local(stack)`: whether the stack is deployed to what runs here;
- `problems(stack)`: what a stack elsewhere lacks, before anything is done;
- `variables(stack)`: what clients and the engine need to reach it;
- `ensure(stack)`: start what does not run; returns an identity that changes when everything is gone;
- `reasons_against_deploying(stack)`: why this machine can only preview the stack; empty where it can deploy it;
- `stop(stack)`: end it; tells whether there was anything;
- `predict`, `alarm_states`, `command`: for the table after `make up`.
"""

from types import ModuleType

from model_packaging.errors import ModelberthError, choices
from sandbox.clouds import aws, google, kubernetes
from sandbox.stack_file import StackFile

CLOUDS: dict[str, ModuleType] = {"kubernetes": kubernetes, "sagemaker": aws, "vertex": google}
"""By the platform's name in the registry."""


def of(stack: StackFile) -> ModuleType:
    """Return the module of a stack's platform.

    Raises:
        ModelberthError: the stack names none that the sandbox has.
    """
    platform = str(stack.config.get("modelberth:platform") or "")
    if platform not in CLOUDS:
        raise ModelberthError(
            f"{stack.path.name}: modelberth:platform: {platform!r} is none that the sandbox has: {choices(CLOUDS)}"
        )
    return CLOUDS[platform]
