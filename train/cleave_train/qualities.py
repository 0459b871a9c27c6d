"""Points that send the picture as a smaller JPEG of some quality: metadata of a bundle."""

from __future__ import annotations

from .bundle import MEASURED, Bundle, fingerprint

QUALITIES = range(1, 101)  # libjpeg's scale
POINTS_MOST = 64           # of a bundle


def add_qualities(bundle: Bundle, qualities: list[int]) -> None:
    """Appends a point for each quality, `offload-q75` for 75, unmeasured, and a new fingerprint.

    The points that are there keep their numbers; devices fetch the new list because the
    fingerprint is another one.
    """
    points = bundle.document["points"]
    whole = next((p for p in points if p["kind"] == "offload"), None)
    if whole is None:
        raise SystemExit("the bundle has no point that sends the picture")
    for quality in qualities:
        point_id = f"{whole['id']}-q{quality}"
        if quality not in QUALITIES:
            raise SystemExit(f"quality {quality} is not from 1 to 100")
        if any(p["id"] == point_id for p in points):
            raise SystemExit(f"the bundle has a point {point_id} already")
        kept = {key: value for key, value in whole.items() if key not in MEASURED}
        points.append({**kept, "id": point_id, "quality": quality})
    if len(points) > POINTS_MOST:
        raise SystemExit(f"a bundle has at most {POINTS_MOST} points, not {len(points)}")
    bundle.document["fingerprint"] = fingerprint(bundle)
