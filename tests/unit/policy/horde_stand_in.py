"""A stand-in for the class ``NSFWChecker`` of horde-safety: its shape and its rule, with words for drawn shapes.

The rule is written anew from its description, one step after the other, for tests to compare our policy with. The real
one is compared by ``make parity``.
"""

from __future__ import annotations

from collections.abc import Mapping

Thresholds = dict[str, float]


class StandInChecker:
    """``scores`` are given instead of a model: the cosine of each prompt."""

    anime_cartoon_predicates: Thresholds = {"sketch": 0.2, "etching": 0.205}  # noqa: RUF012  as the package has them
    underage_predicates: Thresholds = {"dot": 0.189, "dots": 0.19, "speck": 0.19, "fleck": 0.2}  # noqa: RUF012
    underage_danger_modifiers: Thresholds = {"dot": 0.03, "dots": 0.0275, "speck": 0.045, "fleck": 0.035}  # noqa: RUF012
    nsfw_post_anime_concepts: Thresholds = {"red": 0.19, "purple": 0.2, "mauve": 0.1}  # noqa: RUF012

    def __init__(self, interrogator: Mapping[str, float] | None, deep_danbooru_model: None) -> None:
        self.scores = interrogator or {}
        self.deep_danbooru_model = deep_danbooru_model
        media = {"photo of": 0, "painting of": 0.005, "illustration of": 0.075}
        danger = {
            word: value + self.underage_danger_modifiers[word] for word, value in self.underage_predicates.items()
        }
        self._combined_underage_predicates = dict(self.underage_predicates)
        self._combined_underage_danger_concepts = dict(danger)
        subjects = {"shape": 0.19}
        self.all_nsfw_concepts: Thresholds = {"red": 0.2, "crimson": 0.21, "purple": 0.22}
        for medium, shift in media.items():
            subjects[f"{medium} square"] = 0.202 + shift + 0.01
            for word, value in danger.items():
                if word != "fleck":
                    self._combined_underage_danger_concepts[f"{medium} {word}"] = shift + value
                    self._combined_underage_predicates[f"{medium} {word}"] = shift + self.underage_predicates[word]
        self.all_predicates = {
            **self.anime_cartoon_predicates,
            "grain": 0.21,
            **subjects,
            **self._combined_underage_predicates,
        }

    @property
    def prompts(self) -> list[str]:
        return sorted({*self.all_predicates, *self.all_nsfw_concepts})

    def check_for_nsfw(self) -> tuple[bool, bool]:
        """Whether the package's rule rejects, and whether it calls the picture nsfw."""
        predicate_similarity_result = {prompt: round(score, 4) for prompt, score in self.scores.items()}

        def over(thresholds: Mapping[str, float]) -> dict[str, float]:
            scores = predicate_similarity_result
            return {prompt: scores[prompt] for prompt, value in thresholds.items() if scores[prompt] > value}

        drawn = over(self.anime_cartoon_predicates)
        photos = {prompt: 0.24 for prompt in self.all_predicates if "photo" in prompt}
        is_drawn = bool(drawn) and (max(drawn.values()) >= 0.208 or not over(photos))

        is_nsfw = False
        if over(self.all_predicates):
            of_drawn = {
                word: at for word, at in self.nsfw_post_anime_concepts.items() if word in self.all_nsfw_concepts
            }
            is_nsfw = bool(over(of_drawn if is_drawn else self.all_nsfw_concepts))

        alone = self._combined_underage_danger_concepts
        if over(alone):
            return is_nsfw, is_nsfw
        if is_drawn:
            found = {}
            if predicate_similarity_result["grain"] > self.all_predicates["grain"]:
                found["grain"] = predicate_similarity_result["grain"]
            for predicate, value in self.underage_predicates.items():
                if predicate == "fleck" or "photo" in predicate:
                    continue
                found.update(over({predicate: value + self.underage_danger_modifiers[predicate] * 0.05}))
        else:
            below = self._combined_underage_predicates
            found = over({word: value + (alone[word] - value) * 0.4 for word, value in below.items()})
        PAIRS = [("dot", "dots"), ("dots", "dot"), ("grain", "grains")]  # noqa: N806  named as in the package
        folded = sum(one in found and other in found for one, other in PAIRS[::2])
        return is_nsfw and len(found) - folded >= 2, is_nsfw
