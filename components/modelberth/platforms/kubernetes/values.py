"""How names, addresses and quantities are written on Kubernetes, checked with words before the cluster is asked.

Source: Kubernetes documentation, "Object Names and IDs", "Labels and Selectors" and "Resource Management".
"""

import re
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from ...quantities import TextInput

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"
_LABEL_NAME = r"(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_LABEL_VALUE = rf"|{_LABEL_NAME}"
_QUANTITY = r"\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"


def check_namespace(value: Any) -> Any:
    """Refuse what is no name of a namespace; what is known only later is the cluster's to judge."""
    if isinstance(value, str) and not re.fullmatch(_LABEL, value):
        raise ValueError(
            "is no name of a namespace: use at most 63 lower-case letters, digits and hyphens, with a letter or digit "
            "at both ends"
        )
    return value


def check_object_name(value: Any) -> Any:
    """Refuse what no object can be called; what is known only later is the cluster's to judge."""
    if isinstance(value, str) and not re.fullmatch(_SUBDOMAIN, value):
        raise ValueError(
            "is no name of an object: use at most 253 lower-case letters, digits, hyphens and dots, with a letter or "
            "digit at both ends of each part"
        )
    return value


def check_secret(value: str) -> str:
    """Refuse what is neither `<name>` nor `<namespace>/<name>`."""
    namespace, slash, name = value.rpartition("/")
    if not re.fullmatch(_SUBDOMAIN, name) or (slash and not re.fullmatch(_LABEL, namespace)):
        raise ValueError(
            "names no Secret: write <name> or <namespace>/<name>, in lower-case letters, digits, hyphens and dots"
        )
    return value


def check_host(value: str) -> str:
    """Refuse what is no host name."""
    if not re.fullmatch(_SUBDOMAIN, value):
        raise ValueError("is no host name: write one such as models.example.org, without scheme, port and path")
    return value


def check_url(value: str) -> str:
    """Refuse what is no address by HTTP."""
    if _port(value) is None:
        raise ValueError("is no address: write http://<host>:<port> or https://<host>")
    return value


def check_origin(value: str) -> str:
    """Refuse what is no address of a whole server."""
    if _port(value) is None or urlsplit(value)[2:] != ("", "", ""):
        raise ValueError(
            "is no address of a store: write https://<host> or https://<host>:<port>, and nothing after it"
        )
    return value


def _port(value: str) -> int | None:
    """The port of an address by HTTP; nothing where it is none."""
    try:
        parts = urlsplit(value)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    whole = parts.scheme in ("http", "https") and parts.hostname and not re.search(r"\s|@", value)
    return port if whole else None


def port_of(url: str) -> int:
    """Return the port of an address that was checked."""
    port = _port(url)
    assert port is not None
    return port


def check_address_range(value: str) -> str:
    """Refuse what is no range of addresses in CIDR notation (RFC 4632); one address is a range of one."""
    try:
        return str(ip_network(value))
    except ValueError:
        pass
    try:
        meant = f": {ip_network(value, strict=False)} is the range that it lies in"
    except ValueError:
        meant = ", such as 10.1.0.0/16"
    raise ValueError(f"is no range of addresses{meant}")


def check_bucket(value: str) -> str:
    """Refuse what is no bucket's name. Source: Amazon S3 User Guide, "General purpose buckets naming rules"."""
    if not re.fullmatch(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ValueError(
            "is no name of a bucket: use 3 to 63 lower-case letters, digits, hyphens and single dots, with a letter or "
            "digit at both ends"
        )
    return value


def parse_quantity(value: object) -> str:
    """Return a quantity as text; a plain number is a count.

    Raises:
        ValueError: it is none.
    """
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(_QUANTITY, text):
        raise ValueError("is no quantity of Kubernetes: write a number, such as 40, 500m or 64Gi")
    return text


def check_extended_resource(value: str) -> str:
    """Refuse what is no extended resource: cpu and memory have keys of their own."""
    prefix, _, name = value.rpartition("/")
    if not re.fullmatch(_SUBDOMAIN, prefix) or not re.fullmatch(_LABEL_NAME, name):
        raise ValueError("is no extended resource: write <domain>/<name>, such as nvidia.com/gpu")
    return value


def is_label_key(value: str) -> bool:
    """Whether a text can be the key of a label or of an annotation."""
    prefix, slash, name = value.rpartition("/")
    return bool(re.fullmatch(_LABEL_NAME, name) and (not slash or re.fullmatch(_SUBDOMAIN, prefix)))


def is_label_value(value: str) -> bool:
    """Whether a text can be the value of a label."""
    return bool(re.fullmatch(_LABEL_VALUE, value))


def is_service_name(value: str) -> bool:
    """Whether a text can be the name of a Service: a DNS label that begins with a letter (RFC 1035)."""
    return bool(re.fullmatch(_LABEL, value)) and value[0].isalpha()


Namespace = Annotated[str, AfterValidator(check_namespace)]
NamespaceInput = Annotated[TextInput, AfterValidator(check_namespace)]
ObjectName = Annotated[str, AfterValidator(check_object_name)]
ObjectNameInput = Annotated[TextInput, AfterValidator(check_object_name)]
SecretName = Annotated[str, AfterValidator(check_secret)]
Host = Annotated[str, AfterValidator(check_host)]
Url = Annotated[str, AfterValidator(check_url)]
Origin = Annotated[str, AfterValidator(check_origin)]
AddressRange = Annotated[str, AfterValidator(check_address_range)]
Bucket = Annotated[str, AfterValidator(check_bucket)]
Quantity = Annotated[str, BeforeValidator(parse_quantity)]
ExtendedResource = Annotated[str, AfterValidator(check_extended_resource)]
