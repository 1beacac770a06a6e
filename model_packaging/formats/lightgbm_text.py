# pyright: basic
# (arrays parsed from text)
"""Checks a model that LightGBM saved as text: every index that the native code follows leads to something.

LightGBM ends the process on some damaged files, and follows a child beyond the end of a tree. The fields are those
that `Tree::ToString` and `GBDT::SaveModelToString` write (src/io/tree.cpp, src/boosting/gbdt_model_text.cpp).
"""

from dataclasses import dataclass

import numpy as np

from ..documents import loads
from ..errors import PackageError
from . import contents

_OF_LEAVES = ("leaf_weight", "leaf_count")
_OF_NODES = ("split_gain", "internal_value", "internal_weight", "internal_count")

MAX_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Header:
    """What stands before the trees."""

    text: str
    """The model without the parameters of its training, which predicting does not need."""

    objective: str
    """The objective's name; empty for one of the user's own."""

    classes: int
    features: list[str]


def check_model(content: bytes, file: str) -> Header:
    """The header of a model. Raises PackageError when the content cannot be read safely."""
    contents.require(content, "a LightGBM model", file)
    if len(content) > MAX_BYTES:
        raise PackageError(f"{file}: {len(content):,} bytes, the limit is {MAX_BYTES:,}", file=file)
    try:
        return _check(content, file)
    except UnicodeDecodeError:
        raise PackageError(f"{file}: not a model that LightGBM saved: not UTF-8 text", file=file) from None
    except KeyError as error:
        raise PackageError(f"{file}: not a model that LightGBM saved: {error} is missing", file=file) from None
    except (ValueError, OverflowError) as error:
        raise PackageError(f"{file}: not a model that LightGBM saved: {error}", file=file) from None


def _check(content: bytes, file: str) -> Header:
    text = content.decode("utf-8")
    head, found, rest = text.partition("\n\nTree=")
    _require(bool(found), "it has no tree")
    body, found, tail = rest.partition("end of trees\n")
    _require(bool(found), 'it breaks off before "end of trees"')
    _require("end of trees" not in tail, '"end of trees" appears twice')
    fields = _fields(head)
    classes, per_iteration = int(fields["num_class"]), int(fields["num_tree_per_iteration"])
    features = fields["feature_names"].split(" ")
    _require(1 <= classes <= 10_000 and 1 <= per_iteration <= 10_000, "the number of classes is out of range")
    _require(len(features) == int(fields["max_feature_idx"]) + 1, "feature_names and max_feature_idx differ")
    _require(len(fields["feature_infos"].split(" ")) == len(features), "feature_names and feature_infos differ")
    blocks = [f"Tree={block}" for block in body.split("\n\nTree=")]
    blocks = [block if block.endswith("\n\n") else f"{block}\n\n" for block in (part.rstrip("\n") for part in blocks)]
    _require(len(blocks) % per_iteration == 0, f"{len(blocks)} trees are no whole number of iterations")
    sizes = _integers(fields["tree_sizes"], "tree_sizes", len(blocks))
    for index, block in enumerate(blocks):
        # LightGBM jumps from tree to tree by these sizes.
        _require(sizes[index] == len(block.encode()) + 1, f"tree_sizes: tree {index} has another size")
        _check_tree(_fields(block), index, len(features))
    kept = f"{head}\n\nTree={body}end of trees\n\n{_categories(tail, file)}"
    return Header(kept, fields.get("objective", "").split(" ")[0], classes, features)


def _categories(tail: str, file: str) -> str:
    """The last line: the categories of pandas columns, as JSON."""
    _, found, text = tail.rpartition("\npandas_categorical:")
    _require(bool(found), "it breaks off before pandas_categorical")
    value = loads(text.strip().encode(), f"{file}: pandas_categorical")
    good = value is None or (isinstance(value, list) and all(isinstance(item, list) for item in value))
    _require(good, "pandas_categorical must be a list of lists, or null")
    return f"pandas_categorical:{text.strip()}\n"


def _check_tree(fields: dict[str, str], index: int, features: int) -> None:
    where = f"tree {index}"
    _require(fields["Tree"] == str(index), f"{where}: is numbered {fields['Tree']}")
    leaves = int(fields["num_leaves"])
    _require(1 <= leaves <= 2**24, f"{where}: num_leaves is {leaves}")
    _require(fields.get("is_linear", "0") == "0", f"{where}: linear trees are not supported")
    _numbers(fields["leaf_value"], f"{where}: leaf_value", leaves)
    _numbers(fields["shrinkage"], f"{where}: shrinkage", 1)
    if leaves == 1:
        return
    inner = leaves - 1
    for names, count in ((_OF_LEAVES, leaves), (_OF_NODES, inner)):
        for name in names:
            if fields.get(name):
                _numbers(fields[name], f"{where}: {name}", count)
    left = _integers(fields["left_child"], f"{where}: left_child", inner)
    right = _integers(fields["right_child"], f"{where}: right_child", inner)
    children = np.concatenate([left, right])
    # A child is an inner node, or a leaf as its complement. Each has one parent, and the root none.
    _require(bool(((children >= -leaves) & (children < inner)).all()), f"{where}: a child leads out of the tree")
    _require(np.unique(children).size == children.size and 0 not in children, f"{where}: is not a tree")
    split = _integers(fields["split_feature"], f"{where}: split_feature", inner)
    _require(bool(((split >= 0) & (split < features)).all()), f"{where}: split_feature names no feature")
    thresholds = _numbers(fields["threshold"], f"{where}: threshold", inner)
    decisions = _integers(fields["decision_type"], f"{where}: decision_type", inner)
    categorical = (decisions & 1).astype(bool)
    count = int(fields.get("num_cat", "0"))
    if count == 0:
        _require(not categorical.any(), f"{where}: decides by categories and has none")
        return
    bounds = _integers(fields["cat_boundaries"], f"{where}: cat_boundaries", count + 1)
    words = _integers(fields["cat_threshold"], f"{where}: cat_threshold", int(bounds[-1]))
    _require(bounds[0] == 0 and bool((np.diff(bounds) >= 0).all()), f"{where}: cat_boundaries is out of order")
    _require(bool(((words >= 0) & (words < 2**32)).all()), f"{where}: cat_threshold is out of range")
    chosen = thresholds[categorical]
    _require(bool(((chosen >= 0) & (chosen < count)).all()), f"{where}: threshold names no set of categories")


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        _require(key == "" or key not in found, f"{key} appears twice")
        found[key] = value
    return found


def _integers(text: str, where: str, count: int) -> np.ndarray:
    found = np.array(text.split(" ") if text else [], dtype=np.int64)
    _require(found.size == count, f"{where} has {found.size} numbers, must have {count}")
    return found


def _numbers(text: str, where: str, count: int) -> np.ndarray:
    found = np.array(text.split(" ") if text else [], dtype=np.float64)
    _require(found.size == count, f"{where} has {found.size} numbers, must have {count}")
    _require(not np.isnan(found).any(), f"{where} holds NaN")
    return found


def _require(good: bool, problem: str) -> None:
    if not good:
        raise ValueError(problem)
