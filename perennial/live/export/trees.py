"""Decision trees of scikit-learn and LightGBM as one ONNX node in float64.

skl2onnx and onnxmltools round thresholds to float32 and send missing values down a fixed side, so that rows
near a threshold or with gaps get other answers than the fitted model gives. The `TreeEnsemble` operator
(ai.onnx.ml 5) holds thresholds and leaves in float64, and a side for missing values per node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.live.export.graph import Graph, UnsupportedError

LEQ, MEMBER = 0, 6


@dataclass(frozen=True)
class Tree:
    """One tree with m nodes, the root first; every array has the length m.

    A row goes `left` where `x[feature] <= threshold`, or where `x[feature]` is in `members[node]` if the node
    is there; missing values go left where `nan_left`. A node is a leaf where `left` is -1. `value` has the
    shape (m, n_targets), and counts at leaves only.
    """

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    nan_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    members: dict[int, tuple[float, ...]]


def forest_trees(estimators: Iterable[Any], classifier: bool) -> list[Tree]:
    """The trees of fitted scikit-learn decision trees; a classifier's leaves hold class shares."""
    trees = []
    for estimator in estimators:
        tree = estimator.tree_
        if tree.value.shape[1] != 1:
            raise UnsupportedError("several targets in one forest")
        value = tree.value[:, 0, :].astype(np.float64)
        if classifier:
            value = value / value.sum(axis=1, keepdims=True)
        trees.append(
            Tree(
                feature=tree.feature.astype(np.int64),
                threshold=tree.threshold.astype(np.float64),
                left=tree.children_left.astype(np.int64),
                right=tree.children_right.astype(np.int64),
                nan_left=tree.missing_go_to_left.astype(bool),
                value=value,
                members={},
            )
        )
    return trees


def histogram_trees(model: Any) -> list[Tree]:
    """The trees of a fitted HistGradientBoosting model, in the order iteration, class.

    A category that no tree saw goes the way of missing values.
    """
    known, places = model._bin_mapper.make_known_categories_bitsets()
    trees = []
    for iteration in model._predictors:
        for predictor in iteration:
            nodes = predictor.nodes
            members = {}
            for index in np.flatnonzero(nodes["is_categorical"]):
                node = nodes[index]
                goes_left = _bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
                if node["missing_go_to_left"]:
                    goes_left |= ~_bits(known[places[node["feature_idx"]]])
                members[int(index)] = tuple(np.flatnonzero(goes_left).astype(np.float64).tolist())
            leaf = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    feature=nodes["feature_idx"].astype(np.int64),
                    threshold=nodes["num_threshold"].astype(np.float64),
                    left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    nan_left=nodes["missing_go_to_left"].astype(bool),
                    value=nodes["value"].astype(np.float64).reshape(-1, 1),
                    members=members,
                )
            )
    return trees


def _bits(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """A set of numbers below 256, kept as eight 32-bit words, as a mask of shape (256,)."""
    return (words[:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)).astype(bool).reshape(-1)


def lightgbm_trees(dump: dict[str, Any]) -> list[Tree]:
    """The trees of `Booster.dump_model()`, in the order iteration, class.

    A feature without missing values in training (missing type "None") reads a missing value as 0.
    """
    return [_lightgbm_tree(info["tree_structure"]) for info in dump["tree_info"]]


def _lightgbm_tree(root: dict[str, Any]) -> Tree:
    nodes: list[dict[str, Any]] = []
    children: list[tuple[int, int]] = []
    pending = [(root, -1, 0)]
    while pending:
        node, parent, side = pending.pop()
        index = len(nodes)
        nodes.append(node)
        children.append((-1, -1))
        if parent >= 0:
            pair = list(children[parent])
            pair[side] = index
            children[parent] = (pair[0], pair[1])
        if "split_feature" in node:
            pending += [(node["right_child"], index, 1), (node["left_child"], index, 0)]
        elif "leaf_coeff" in node:
            raise UnsupportedError("linear trees of LightGBM")
    members: dict[int, tuple[float, ...]] = {}
    threshold, nan_left = np.zeros(len(nodes)), np.zeros(len(nodes), dtype=bool)
    for index, node in enumerate(nodes):
        if "split_feature" not in node:
            continue
        if node["decision_type"] == "==":
            members[index] = tuple(float(code) for code in str(node["threshold"]).split("||"))
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise UnsupportedError(f"LightGBM splits {node['decision_type']} with zero as missing")
        threshold[index] = float(node["threshold"])
        nan_left[index] = node["default_left"] if node["missing_type"] == "NaN" else threshold[index] >= 0
    pairs = np.array(children, dtype=np.int64)
    return Tree(
        feature=np.array([n.get("split_feature", -1) for n in nodes], dtype=np.int64),
        threshold=threshold,
        left=pairs[:, 0],
        right=pairs[:, 1],
        nan_left=nan_left,
        value=np.array([n.get("leaf_value", 0.0) for n in nodes], dtype=np.float64).reshape(-1, 1),
        members=members,
    )


def ensemble(graph: Graph, x: str, trees: Sequence[Tree], targets: Sequence[int], n_targets: int) -> str:
    """Add a node that sums tree i's leaf values into column `targets[i]`; the output has (n_rows, n_targets).

    A tree with vector leaves is repeated for every column of its values, from `targets[i]` on.
    """
    copies = [(t, c, k + c) for t, k in zip(trees, targets, strict=True) for c in range(t.value.shape[1])]
    parts: dict[str, list[npt.NDArray[Any]]] = {
        n: []
        for n in (
            "feature",
            "split",
            "mode",
            "nan",
            "true",
            "false",
            "true_leaf",
            "false_leaf",
            "id",
            "weight",
        )
    }
    roots, members, n_nodes, n_leaves = [], [], 0, 0
    for tree, column, target in copies:
        leaf = tree.left < 0
        inner = np.flatnonzero(~leaf)
        place = np.where(leaf, np.cumsum(leaf) - 1 + n_leaves, np.cumsum(~leaf) - 1 + n_nodes)
        roots.append(n_nodes)
        if leaf[0]:  # a root that is a leaf: a node with the same leaf on both sides
            inner, left, right = np.array([0]), np.array([0]), np.array([0])
        else:
            left, right = tree.left[inner], tree.right[inner]
        parts["feature"].append(np.maximum(tree.feature[inner], 0))
        parts["split"].append(np.where(leaf[inner], 0.0, tree.threshold[inner]))
        parts["mode"].append(np.array([MEMBER if int(i) in tree.members else LEQ for i in inner]))
        parts["nan"].append(tree.nan_left[inner].astype(np.int64))
        parts["true"].append(place[left])
        parts["false"].append(place[right])
        parts["true_leaf"].append(leaf[left].astype(np.int64))
        parts["false_leaf"].append(leaf[right].astype(np.int64))
        parts["id"].append(np.full(int(leaf.sum()), target))
        parts["weight"].append(tree.value[leaf, column])
        for i in inner:
            if int(i) in tree.members:
                members += [*tree.members[int(i)], np.nan]
        n_nodes, n_leaves = n_nodes + len(inner), n_leaves + int(leaf.sum())
    flat = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    extra = {"membership_values": graph.tensor(np.array(members))} if members else {}
    return graph.op(
        "TreeEnsemble",
        x,
        domain="ai.onnx.ml",
        aggregate_function=1,
        post_transform=0,
        n_targets=n_targets,
        tree_roots=roots,
        nodes_featureids=flat["feature"].tolist(),
        nodes_splits=graph.tensor(flat["split"]),
        nodes_modes=graph.tensor(flat["mode"].astype(np.uint8)),
        nodes_missing_value_tracks_true=flat["nan"].tolist(),
        nodes_truenodeids=flat["true"].tolist(),
        nodes_falsenodeids=flat["false"].tolist(),
        nodes_trueleafs=flat["true_leaf"].tolist(),
        nodes_falseleafs=flat["false_leaf"].tolist(),
        leaf_targetids=flat["id"].tolist(),
        leaf_weights=graph.tensor(flat["weight"]),
        **extra,
    )
