"""How the places for workers are shared: one owner takes those of no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def why_no_place(owner: str, taken: Mapping[str, int], owners: Collection[str], places: int) -> str | None:
    """Why ``owner`` gets no further place, in words; None if there is one.

    Args:
        owner: of the worker that comes.
        taken: the number of places that each owner has.
        owners: whoever has a secret. For each that has no place one is kept.
        places: of all.
    """
    used = sum(taken.values())
    if used >= places:
        return f"all {places} places for workers are taken"
    kept = sum(each != owner and not taken.get(each) for each in owners)
    if taken.get(owner) and used + kept >= places:
        return f"{owner} has {taken[owner]} of {places} places for workers, and the others are kept for other owners"
    return None
