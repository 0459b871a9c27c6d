"""Figures of answers: accuracy, bytes, paired differences, and the early exit; pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine import Answers


def _paired(hit: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """Mean of hit - base over the same pictures, and its standard error."""
    difference = hit.astype(float) - base
    error = difference.std(ddof=1) / len(hit) ** 0.5 if len(hit) > 1 else 0.0
    return round(float(difference.mean()), 4), round(float(error), 4)


def figures(answers: Answers, local: Answers, yardstick: Answers, expected: np.ndarray,
            sets: np.ndarray) -> dict[str, Any]:
    """Figures of one point over all pictures, and its top-1 in each set.

    `difference` is the top-1 beyond that of the whole network on the same uncompressed pictures,
    `against_jpeg` that beyond the whole network on JPEGs of quality 75; `_se` standard errors.
    """
    hit = answers.top[:, 0] == expected
    result: dict[str, Any] = {
        "pictures": len(expected),
        "bytes_mean": round(float(answers.frame_bytes.mean()), 1),
        "bytes_p95": round(float(np.quantile(answers.frame_bytes, 0.95)), 1),
        "top1": round(float(hit.mean()), 4),
        "top1_se": round(float((hit.mean() * (1 - hit.mean()) / len(hit)) ** 0.5), 4),
        "top5": round(float((answers.top == expected[:, None]).any(1).mean()), 4),
        "top1_by_set": {str(name): round(float(hit[sets == name].mean()), 4)
                        for name in sorted(set(sets))},
    }
    for key, base in (("difference", local), ("against_jpeg", yardstick)):
        result[key], result[f"{key}_se"] = _paired(hit, base.top[:, 0] == expected)
    return result


def pair_figures(answers: Answers, original: Answers, expected: np.ndarray) -> dict[str, Any]:
    """A point beside the same one of another bundle: top-1 beyond it, how often they agree."""
    top, before = answers.top[:, 0], original.top[:, 0]
    difference, error = _paired(top == expected, before == expected)
    return {"against_original": difference, "against_original_se": error,
            "same_class": round(float((top == before).mean()), 4)}


def combine_exit(early: Answers, split: Answers, threshold: float) -> tuple[Answers, float]:
    """An exit's answers where it is confident, else those of a split point.

    Confident pictures send nothing. Returns (answers, share of the pictures that left early).
    """
    leaves = early.confidence >= threshold
    return Answers(np.where(leaves[:, None], early.top, split.top),
                   np.where(leaves, 0, split.frame_bytes),
                   np.where(leaves, early.confidence, split.confidence)), float(leaves.mean())
