"""The packaging commands. Whatever is heavy is imported by the function that needs it."""

import enum
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .errors import ModelberthError

if TYPE_CHECKING:
    from .package import Package

Address = Annotated[
    str, typer.Argument(help="A folder, a .tar, or a URL; may end in @sha256:<digest>.", metavar="PACKAGE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class _Kind(enum.Enum):
    ARTIFACT = "artifact"
    IMAGE = "image"


def pack(
    model: Annotated[
        Path,
        typer.Argument(help="A file of ONNX, XGBoost, LightGBM, CatBoost, skops or pickle, or a folder of MLflow."),
    ],
    name: Annotated[str, typer.Option(help="Name of the package: letters, digits, dashes.")],
    sample: Annotated[Path, typer.Option(help="Training rows: CSV, Parquet or JSON Lines.")],
    output: Annotated[Path, typer.Option(help="Folder of the package, or a path ending in .tar.")],
    task: Annotated[
        str | None, typer.Option(help="classification or regression, where the model does not tell.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help='The classes as a JSON list: ["no", "yes"].')] = None,
    target: Annotated[str | None, typer.Option(help="Column of the sample that is not an input.")] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Training data: the data version.")] = None,
    validation: Annotated[Path | None, typer.Option(help="A JSON file with metrics.")] = None,
    description: Annotated[str, typer.Option(help="One sentence for the card.")] = "",
    intended_use: Annotated[str, typer.Option(help="What the model is for, and what not, for the card.")] = "",
    examples: Annotated[
        Path | None, typer.Option(help="Rows to quote in the package. Without it, five of the sample.")
    ] = None,
    trusted: Annotated[list[str] | None, typer.Option("--trust", help="A further type that skops may load.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Convert to ONNX where that predicts the same.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read a pickle, which runs whatever code its maker put into it.")
    ] = False,
) -> None:
    """Make a package of a model file.

    Example: modelberth pack model.onnx --name churn --sample train.csv --target churned
    --task classification --classes '["no", "yes"]' --output packages/churn
    """
    from .datasets import data_version, read_table
    from .documents import load_object
    from .packing import pack as make

    rows = read_table(sample)
    own = read_table(examples) if examples else None
    if target is not None:
        if target not in rows:
            raise ModelberthError(f'{sample}: there is no column "{target}" to leave out')
        rows = rows.drop(columns=[target])
        own = None if own is None else own.drop(columns=[target], errors="ignore")
    package = make(
        model,
        name=name,
        inputs=rows,
        output=output,
        task=task,
        classes=_classes(classes),
        data=data_version(data, name=name) if data else None,
        validation=load_object(_bytes(validation), str(validation)) if validation else None,
        description=description,
        intended_use=intended_use,
        examples=5 if own is None else own,
        trusted=trusted or [],
        prefer_onnx=onnx,
        allow_pickle=allow_pickle,
    )
    typer.echo(f"{package.path}@{package.digest}")


def show(
    package: Annotated[str | None, typer.Argument(help="A folder, a .tar, or a URL.", metavar="PACKAGE")] = None,
    as_json: AsJson = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schemas of a package.")] = False,
) -> None:
    """Print what a package holds, after verifying it.

    Example: modelberth show ./packages/churn
    """
    from .package import open_package
    from .schema import DOCUMENTS, MANIFEST, Manifest

    if schema:
        _print_json({name: model.model_json_schema() for name, model in {MANIFEST: Manifest, **DOCUMENTS}.items()})
        return
    if package is None:
        raise typer.BadParameter("name a package, or give --schema")
    found = open_package(package)
    if as_json:
        documents = {name.removesuffix(".json"): value for name, value in sorted(found.documents.items())}
        _print_json({"digest": found.digest, "manifest": found.manifest, **documents})
        return
    for line in _summary(found, package):
        typer.echo(line)


def check(
    package: Address,
    rules: Annotated[Path | None, typer.Option(help="A JSON or YAML file with the gate's rules.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A limit, such as 'f1>=0.8' or 'brier<=0.2'.")] = None,
    require: Annotated[list[str] | None, typer.Option(help="Such as cross_validation.")] = None,
    champion: Annotated[str | None, typer.Option(help="The package it must be no worse than.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a package by the gate; exit code 1 when it is refused.

    Example: modelberth check ./packages/churn --metric 'f1>=0.8' --require cross_validation
    """
    from .gate import evaluate, parse_rules
    from .package import open_package

    document = _rules(rules)
    for item in metric or []:
        name, limit, value = _limit(item)
        cast(dict[str, Any], document.setdefault("metrics", {})).setdefault(name, {})[limit] = value
    if require:
        document["require"] = [*document.get("require", []), *require]
    if champion:
        document["no_worse_than"] = "champion"
    parsed = parse_rules(document, str(rules) if rules else "gate")
    found = open_package(package)
    report = evaluate(found, parsed, open_package(champion) if champion else None)
    if as_json:
        _print_json(report.to_dict())
    else:
        for result in report.results:
            typer.echo(f"{'pass' if result.passed else 'FAIL'}  {result.rule}: {result.message}")
    if not report.passed:
        count = len(report.failures)
        raise ModelberthError(f"{found.name}: refused by the gate: {count} of {len(report.results)} rules failed")


def publish(
    package: Address,
    destination: Annotated[
        str, typer.Argument(help="A bucket: s3://bucket, or another URL or folder; or oci://registry/repository[:tag].")
    ],
    kind: Annotated[
        _Kind,
        typer.Option("--as", help="In a registry: a ModelPack artifact, or an image that Kubernetes can mount."),
    ] = _Kind.ARTIFACT,
) -> None:
    """Copy a package into a bucket or a registry and print its address.

    Example: modelberth publish ./packages/churn s3://models
    """
    from .publish import publish as copy

    typer.echo(copy(package, destination, kind=kind.value))


def pull(
    address: Address,
    destination: Annotated[Path, typer.Argument(help="A new or empty folder.")],
) -> None:
    """Bring a published package to this machine, verified.

    Example: modelberth pull s3://models/packages/churn/<hex>@sha256:<hex> ./churn
    """
    from .publish import pull as bring

    package = bring(address, destination)
    typer.echo(f"{package.path}@{package.digest}")


def sign(
    package: Annotated[Path, typer.Argument(help="The folder of a package.", metavar="PACKAGE")],
    key: Annotated[Path, typer.Option(help="The private key: elliptic, in PEM.")],
    certificate: Annotated[
        list[Path] | None,
        typer.Option(help="The signing certificate, then those that it was issued by; the signature carries them."),
    ] = None,
    password: Annotated[
        str | None, typer.Option(envvar="MODELBERTH_KEY_PASSWORD", help="The password of the private key.")
    ] = None,
) -> None:
    """Sign a package by OpenSSF Model Signing and print the signature's path; the package's digest stays.

    Example: modelberth sign ./packages/churn --key signing.key
    """
    from .signing import sign as make

    typer.echo(make(package, key, password=password, certificates=certificate or []))


def verify(
    package: Address,
    key: Annotated[list[Path] | None, typer.Option(help="The public key of a trusted signer, in PEM.")] = None,
    certificate_chain: Annotated[
        list[Path] | None, typer.Option(help="A certificate, in PEM: whoever it was issued for or by it may sign.")
    ] = None,
) -> None:
    """Verify a package and that a trusted signer signed it; exit code 1 when not.

    Example: modelberth verify ./packages/churn --key signing.pub
    """
    from .package import open_package
    from .signing import verify_signature

    trusted = [*(key or []), *(certificate_chain or [])]
    if not trusted:
        raise typer.BadParameter("name a trusted signer: --key or --certificate-chain")
    found = open_package(package)
    signer = verify_signature(found, trusted)
    typer.echo(f"{package.partition('@')[0]}@{found.digest} signed by {signer}")


def _classes(text: str | None) -> list[Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise typer.BadParameter(f'--classes must be a JSON list such as ["no", "yes"], is {text!r}')
    return cast(list[Any], found)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelberthError(f"cannot read {path}: {error.strerror}") from error


def _rules(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from .documents import load_object

    content = _bytes(path)
    if path.suffix not in (".yaml", ".yml"):
        return load_object(content, str(path))
    import yaml

    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ModelberthError(f"{path}: not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise ModelberthError(f"{path}: must hold the rules as a mapping")
    return cast(dict[str, Any], found)


def _limit(text: str) -> tuple[str, str, float]:
    for sign, kind in ((">=", "min"), ("<=", "max")):
        name, found, value = text.partition(sign)
        if found and name.strip():
            try:
                return name.strip(), kind, float(value)
            except ValueError:
                break
    raise typer.BadParameter(f"--metric must be such as f1>=0.8 or brier<=0.2, is {text!r}")


def _summary(package: "Package", address: str) -> list[str]:
    manifest, outputs = package.manifest, package.signature["outputs"]
    described: dict[str, Any] = manifest.get("model") or {}
    model = described.get("type", "")
    columns = ", ".join(f"{item['name']} ({item['type']})" for item in package.signature["inputs"])
    classes = f" of {', '.join(map(str, outputs['classes']))}" if outputs.get("classes") else ""
    lines = [
        f"name         {package.name}",
        f"digest       {package.digest}",
        f"format       {package.format}  {model}".rstrip(),
        f"files        {len(package.files)}, {package.size:,} bytes",
        f"task         {outputs['task']}{classes}",
        f"inputs       {columns}",
    ]
    if manifest.get("description"):
        lines.insert(1, f"description  {manifest['description']}")
    data = package.data
    period = f", {data['time_range'][0]} to {data['time_range'][1]}" if data.get("time_range") else ""
    rows = "rows not counted" if not data or data["rows"] is None else f"{data['rows']:,} rows"
    lines.append(f"data         {data['name']}, {rows}{period}" if data else "data         none")
    metrics: dict[str, Any] = package.validation.get("metrics", {})
    for label, (name, entry) in zip(["metrics", *[""] * len(metrics)], sorted(metrics.items()), strict=False):
        lines.append(f"{label:<12} {name} {_value(entry)}")
    # Not the page in the package, which may come from a stranger.
    lines.append(f"card         modelberth card {shlex.quote(address)} --format html --output card.html")
    return lines


def _value(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    known = cast(dict[str, Any], entry)
    interval = known.get("interval")
    value = known.get("value")
    shown = f"{value:.4g}" if isinstance(value, int | float) else str(value)
    return f"{shown} ({interval[0]:.4g} to {interval[1]:.4g})" if interval else shown


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
