"""Where the sandbox keeps what it makes, and what a shell needs to use it with ordinary clients."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".sandbox"
BIN = HOME / "bin"
PULUMI_HOME = HOME / "pulumi"
"""The folder of an engine that was built here, for its plugins. An installed Pulumi keeps its own."""
DEFAULT_STACK = "local-sagemaker"
"""What `make up` deploys where no stack is named."""
ACCESS_KEY = SECRET_KEY = "sandbox"
_HIDDEN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "PULUMI_STACK",
    "KUBECONFIG",
)
"""What a user's shell may have set that would lead the clients elsewhere."""


def backend(*, built: bool) -> dict[str, str]:
    """Return the variables by which the engine keeps the state of local stacks in the project's own folder.

    Args:
        built: Whether the engine was built here, so that it finds its plugins here too.
    """
    state = HOME / "state"
    state.mkdir(parents=True, exist_ok=True)
    return {
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    } | ({"PULUMI_HOME": str(PULUMI_HOME)} if built else {})


def clients(url: str, region: str) -> dict[str, str]:
    """Return the variables by which boto3 and the aws command line reach the emulator at `url`."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        **without_proxy(),
    }


def without_proxy() -> dict[str, str]:
    """Return the variable by which an emulator on loopback is not reached through a proxy."""
    return {"NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1,localhost"]))}


def path() -> str:
    """Return the search path, with the sandbox's programs and the project's environment before the user's own."""
    return os.pathsep.join([str(BIN), str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])


def shell_lines(variables: dict[str, str]) -> str:
    """Return lines for `eval` that set `variables` and forget what would lead clients elsewhere."""
    import shlex

    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    return "\n".join([f"unset {' '.join(_HIDDEN)}", *lines])


def process_environment(variables: dict[str, str]) -> dict[str, str]:
    """Return this process's environment, changed in the same way."""
    kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    return kept | variables
