# pyright: basic
# (a parsed document has no types)
"""Checks a model that XGBoost saved as JSON: every index that the native code follows leads to something.

The fields are those of https://xgboost.readthedocs.io/en/stable/dev/structxgboost_1_1RegTree.html and of the
schema in XGBoost's own documentation, doc/model.schema.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from ..documents import load_object
from ..errors import PackageError

MAX_BYTES = 2 * 1024**3

_NODES = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "split_type",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
)


def check_model(content: bytes, file: str) -> None:
    """Raise PackageError when the content is not a model that can be read safely."""
    document = load_object(content, file, MAX_BYTES)
    try:
        learner = document["learner"]
        features = int(learner["learner_model_param"]["num_feature"])
        groups = max(int(learner["learner_model_param"]["num_class"]), 1)
        targets = int(learner["learner_model_param"].get("num_target", 1))
        booster = learner["gradient_booster"]
        names = learner.get("feature_names") or []
        if names and len(names) != features:
            raise ValueError(f"{len(names)} feature names for {features} features")
        if booster["name"] == "gblinear":
            weights = booster["model"]["weights"]
            _check(
                (features + 1) * groups == len(weights), "learner.gradient_booster.model.weights", "has a wrong length"
            )
            return
        model = (booster["gbtree"] if booster["name"] == "dart" else booster)["model"]
        trees = model["trees"]
        _check(len(trees) == int(model["gbtree_model_param"]["num_trees"]), "num_trees", f"is not {len(trees)}")
        info = _integers(model["tree_info"], "tree_info", len(trees))
        _check(
            bool(((info >= 0) & (info < max(groups, targets))).all()), "tree_info", "names a class that is not there"
        )
        bounds = _integers(model.get("iteration_indptr", [0, len(trees)]), "iteration_indptr", None)
        _check(bool((np.diff(bounds) >= 0).all()) and bounds[0] == 0 and bounds[-1] == len(trees), "iteration_indptr",
               "does not cover the trees")  # fmt: skip
        if model.get("cats"):
            _check_columns(model["cats"], features)
        if booster["name"] == "dart":
            _check(len(booster["weight_drop"]) == len(trees), "weight_drop", "has a wrong length")
        for index, tree in enumerate(trees):
            _check_tree(tree, index, features)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PackageError(f"{file}: not a model that XGBoost saved: {reason}", file=file) from None
    except (ValueError, OverflowError) as error:
        raise PackageError(f"{file}: not a model that XGBoost saved: {error}", file=file) from None


def _check_columns(cats: dict[str, Any], features: int) -> None:
    """The categories that columns had in training: of each, texts by their offsets, or numbers."""
    columns = cats["enc"]
    if not columns:
        return
    _check(len(columns) == features, "cats.enc", f"has {len(columns)} columns for {features} features")
    sizes: list[int] = []
    for index, column in enumerate(columns):
        where = f"cats.enc {index}"
        values = np.asarray(column["values"]) if column["values"] else np.zeros(0, dtype=np.int64)
        _check(values.ndim == 1 and values.dtype.kind in "iuf", f"{where}: values", "must hold numbers")
        if "offsets" not in column:
            sizes.append(values.size)
            continue
        offsets = _integers(column["offsets"], f"{where}: offsets", None)
        fit = offsets.size == 0 or (
            offsets[0] == 0 and offsets[-1] == values.size and bool((np.diff(offsets) >= 0).all())
        )
        _check(fit, f"{where}: offsets", "do not fit the values")
        sizes.append(max(offsets.size - 1, 0))
    segments = _integers(cats["feature_segments"], "cats.feature_segments", features + 1)
    _check(segments.tolist() == [0, *np.cumsum(sizes).tolist()], "cats.feature_segments", "do not fit the categories")
    order = _integers(cats["sorted_idx"], "cats.sorted_idx", int(segments[-1]))
    for start, end in pairwise(segments.tolist()):
        part = order[start:end]
        _check(sorted(part.tolist()) == list(range(end - start)), "cats.sorted_idx", "is no order of the categories")


def _check_tree(tree: dict[str, Any], index: int, features: int) -> None:
    where = f"tree {index}"
    parameters = tree["tree_param"]
    count = int(parameters["num_nodes"])
    _check(count >= 1, where, "has no node")
    _check(int(parameters.get("size_leaf_vector", 1)) <= 1, where, "has leaves of more than one number")
    _check(int(tree["id"]) == index, f"{where}: id", f"is {tree['id']}")
    for name in _NODES:
        _check(len(tree[name]) == count, f"{where}: {name}", f"has {len(tree[name])} entries for {count} nodes")
    left = _integers(tree["left_children"], f"{where}: left_children", count)
    right = _integers(tree["right_children"], f"{where}: right_children", count)
    for name, children in (("left_children", left), ("right_children", right)):
        _check(bool(((children >= -1) & (children < count)).all()), f"{where}: {name}", "leads out of the tree")
    inner = left >= 0
    _check(bool((inner == (right >= 0)).all()), where, "has a node with one child")
    children = np.concatenate([left[inner], right[inner]])
    # Each node has one parent and the root none, so following children ends at a leaf.
    _check(np.unique(children).size == children.size and 0 not in children, where, "is not a tree")
    parents = _integers(tree["parents"], f"{where}: parents", count)
    nodes = np.flatnonzero(inner)
    _check(bool((parents[left[inner]] == nodes).all() and (parents[right[inner]] == nodes).all()), f"{where}: parents",
           "do not fit the children")  # fmt: skip
    split = _integers(tree["split_indices"], f"{where}: split_indices", count)
    _check(bool(((split >= 0) & (split < max(features, 1))).all()), f"{where}: split_indices", "names no feature")
    _check(bool(np.isin(_integers(tree["split_type"], f"{where}: split_type", count), (0, 1)).all()),
           f"{where}: split_type", "must be 0 or 1")  # fmt: skip
    for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
        _numbers(tree[name], f"{where}: {name}")
    _check_categories(tree, where, count)


def _check_categories(tree: dict[str, Any], where: str, count: int) -> None:
    categories = _integers(tree["categories"], f"{where}: categories", None)
    nodes = _integers(tree["categories_nodes"], f"{where}: categories_nodes", None)
    starts = _integers(tree["categories_segments"], f"{where}: categories_segments", nodes.size)
    sizes = _integers(tree["categories_sizes"], f"{where}: categories_sizes", nodes.size)
    _check(bool(((categories >= 0) & (categories < 2**24)).all()), f"{where}: categories", "are out of range")
    _check(bool(((nodes >= 0) & (nodes < count)).all()), f"{where}: categories_nodes", "leads out of the tree")
    fit = (starts >= 0) & (sizes >= 0) & (starts + sizes <= categories.size)
    _check(bool(fit.all()), f"{where}: categories_segments", "leads out of the categories")


def _integers(values: Any, where: str, count: int | None) -> np.ndarray:
    _check(isinstance(values, list), where, "is not a list")
    found = np.asarray(values)
    if found.size == 0:
        found = found.astype(np.int64)
    _check(found.ndim == 1 and found.dtype.kind in "iub", where, "must hold whole numbers")
    _check(count is None or found.size == count, where, f"has {found.size} entries, must have {count}")
    found = found.astype(np.int64)
    _check(bool((np.abs(found) <= 2**31).all()), where, "is out of range")
    return found


def _numbers(values: Any, where: str) -> None:
    found = np.asarray(values)
    _check(found.ndim == 1 and found.dtype.kind in "iuf", where, "must hold numbers")


def _check(good: bool, where: str, problem: str) -> None:
    if not good:
        raise ValueError(f"{where} {problem}")
