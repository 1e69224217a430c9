"""The switch from horde-safety: the decisions of its class ``NSFWChecker`` from CLIP, written as a policy of ours.

The package is licensed under the AGPL. Its words and thresholds are read from the installed package when a person asks
for them, and none is in this repository. Its second model (DeepDanbooru) and the prompts of generated pictures, which
it also takes into account, have no counterpart here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from serve_app.domain import PolicyError
from serve_app.policy.parsing import parse_policy

PACKAGE = "horde-safety"
KNOWN_VERSIONS = ("0.2.3", "0.3.0", "0.3.1")
"""Versions whose rules were read; ``make parity`` compares. Their words may differ, and are read each time."""

MODEL = "ViT-L-14/openai"
"""The model that the package loads where nobody chooses another, and that its thresholds were set for."""

DECIMALS = 4

_CLEARLY_DRAWN = 0.20795
"""The package asks for a cosine of at least 0.208, which with four decimals is one above this."""

_CLEARLY_A_PHOTO = 0.24
_PHOTO = "photo"

_SECOND_PASS = 0.4
_SECOND_PASS_DRAWN = 0.05
"""The second pass raises a threshold by this share of the way to the one that is enough alone."""

Thresholds = Mapping[str, float]
"""Prompts, each with the cosine that it must exceed."""


@dataclass(frozen=True, slots=True)
class Lists:
    """The prompts of the package, in the form in which its rules use them.

    ``minor`` is enough alone; of the ``second_pass`` two are needed, after ``wordings`` (singular and plural) are
    folded. ``drawn`` pictures have a second pass and a list of sexual content of their own.
    """

    drawn: Thresholds
    subject: Thresholds
    sexual: Thresholds
    sexual_drawn: Thresholds
    minor: Thresholds
    second_pass: Thresholds
    second_pass_drawn: Thresholds
    wordings: tuple[tuple[str, str], ...]


def installed_lists() -> tuple[str, Lists]:
    """The version of the installed package, and its lists.

    Raises:
        PolicyError: it is not installed, cannot be imported, or is a version whose rules are not known.
    """
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise PolicyError(
            f"{PACKAGE} is not installed beside this command: `{sys.executable} -m pip install "
            f"{PACKAGE}=={KNOWN_VERSIONS[-1]}` installs it, and docs/policy.md says how to give both an environment of "
            "their own"
        ) from error
    if version not in KNOWN_VERSIONS:
        raise PolicyError(
            f"{PACKAGE} {version} is installed, and the rules of these versions are known: "
            f"{', '.join(KNOWN_VERSIONS)}. Install one of them"
        )
    os.environ.setdefault("LOGURU_LEVEL", "WARNING")  # it logs its own start, which says nothing here
    try:
        checker = importlib.import_module("horde_safety.nsfw_checker_class").NSFWChecker
    except ImportError as error:
        raise PolicyError(f"{PACKAGE} {version} cannot be imported: {error}") from error
    return version, read_lists(checker)


def read_lists(checker_class: Any) -> Lists:
    """The lists of the package's ``NSFWChecker``, of which one is made without a model."""
    checker = checker_class(None, None)
    code = _Code.of(checker_class.check_for_nsfw)
    predicates: Thresholds = checker.all_predicates
    minor: Thresholds = checker._combined_underage_danger_concepts  # noqa: SLF001 - it has no public name for these
    combined: Thresholds = checker._combined_underage_predicates  # noqa: SLF001 - as above
    plain, modifiers = checker.underage_predicates, checker.underage_danger_modifiers
    in_second_pass = [
        word for word in plain if word not in code.skipped and not any(part in word for part in code.skipped_parts)
    ]
    second_pass_drawn = {word: plain[word] + modifiers[word] * _SECOND_PASS_DRAWN for word in in_second_pass}
    for word in sorted(code.asked_directly):
        second_pass_drawn[word] = min(predicates[word], second_pass_drawn.get(word, 1.0))
    concepts, drawn = checker.all_nsfw_concepts, checker.nsfw_post_anime_concepts
    return Lists(
        drawn=dict(checker.anime_cartoon_predicates),
        subject={word: min(threshold, minor.get(word, 1.0)) for word, threshold in predicates.items()},
        sexual=concepts,
        sexual_drawn={word: threshold for word, threshold in drawn.items() if word in concepts},
        minor=dict(minor),
        second_pass={
            word: threshold + (minor[word] - threshold) * _SECOND_PASS for word, threshold in combined.items()
        },
        second_pass_drawn=second_pass_drawn,
        wordings=code.wordings,
    )


@dataclass(frozen=True, slots=True)
class _Code:
    """The words that stand in the package's code and not in its lists."""

    wordings: tuple[tuple[str, str], ...]
    skipped: frozenset[str]
    skipped_parts: frozenset[str]
    asked_directly: frozenset[str]

    @classmethod
    def of(cls, method: Any) -> _Code:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(method)))))
        pairs = next(
            ast.literal_eval(node.value)
            for node in nodes
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAIRS"
        )
        compared = [
            each
            for node in nodes
            if isinstance(node, ast.If) and isinstance(node.body[0], ast.Continue)
            for each in ast.walk(node.test)
            if isinstance(each, ast.Compare)
            and "predicate" in (ast.unparse(each.left), *map(ast.unparse, each.comparators))
        ]
        scores = "predicate_similarity_result"
        return cls(
            wordings=tuple({tuple(sorted(pair)): None for pair in pairs}),
            skipped=frozenset(_texts(each.comparators[0] for each in compared if isinstance(each.ops[0], ast.Eq))),
            skipped_parts=frozenset(_texts(each.left for each in compared if isinstance(each.ops[0], ast.In))),
            asked_directly=frozenset(
                _texts(
                    node.slice
                    for node in nodes
                    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == scores
                )
            ),
        )


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def policy_text(lists: Lists, version: str, model: str = MODEL) -> str:
    """The policy that decides as the package does, as the text of its file.

    Raises:
        PolicyError: the lists do not make a policy.
    """
    photos = [prompt for prompt in lists.subject if _PHOTO in prompt]
    clearly_drawn = {prompt: max(threshold, _CLEARLY_DRAWN) for prompt, threshold in lists.drawn.items()}
    text = _TEMPLATE.format(
        version=version,
        model=model,
        decimals=DECIMALS,
        clearly_a_photo=_CLEARLY_A_PHOTO,
        drawn=_prompts(lists.drawn),
        clearly_drawn=_prompts(clearly_drawn),
        photograph="\n".join(f"      - {_quoted(prompt)}" for prompt in photos),
        subject=_prompts(lists.subject),
        sexual=_prompts(lists.sexual),
        sexual_drawn=_prompts(lists.sexual_drawn),
        minor=_prompts(lists.minor),
        second_pass=_prompts(lists.second_pass, lists.wordings),
        second_pass_drawn=_prompts(lists.second_pass_drawn, lists.wordings),
    )
    parse_policy(text, "horde-safety.yaml")
    return text


def _prompts(thresholds: Thresholds, wordings: Iterable[tuple[str, str]] = ()) -> str:
    """One line for each prompt; two wordings of one share a line."""
    with_other = {one: other for pair in wordings for one, other in (pair, pair[::-1])}
    lines, done = [], set()
    for prompt in thresholds:
        if prompt not in done:
            group = [each for each in dict.fromkeys((prompt, with_other.get(prompt, prompt))) if each in thresholds]
            done.update(group)
            lines.append(f"      - {{{', '.join(f'{_quoted(each)}: {thresholds[each]!r}' for each in group)}}}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_TEMPLATE = """\
# What horde-safety {version} decides from CLIP, written as a policy by `pictwarden policy from-horde-safety`.
#
# The words and thresholds are those of the package, which is licensed under the AGPL-3.0; so is this file.
# They differ from a photo of something to a painting, a 3D render or an illustration of it, as in the package.
#
# Not here: its second model for drawn pictures (DeepDanbooru), and its look at the prompt of a generated picture.
# It scans the centre of a picture; Pictwarden scans all of it, and the worst view decides.

policy: horde-safety
model: {model}
# The package rounds a cosine to four places before it compares it.
cosine_decimals: {decimals}

concepts:
  # The picture is drawn.
  drawn:
    score: margin
    prompts:
{drawn}

  # The picture is drawn, without doubt.
  clearly_drawn:
    score: margin
    prompts:
{clearly_drawn}

  # The picture is a photograph of somebody.
  photograph:
    score: cosine
    prompts:
{photograph}

  # The gate: the picture shows something that must be looked at.
  subject:
    score: margin
    prompts:
{subject}

  # Sexual content, in a picture that is not drawn.
  sexual:
    score: margin
    prompts:
{sexual}

  # Sexual content, in a drawn picture.
  sexual_drawn:
    score: margin
    prompts:
{sexual_drawn}

  # A minor is depicted: one prompt is enough.
  minor:
    score: margin
    prompts:
{minor}

  # A minor is depicted: two prompts are needed. Wordings in one line count once.
  minor_second_pass:
    score: margin
    prompts:
{second_pass}

  # The same, in a drawn picture.
  minor_second_pass_drawn:
    score: margin
    prompts:
{second_pass_drawn}

conditions:
  is_drawn:
    all:
      - {{concept: drawn, above: 0}}
      - any:
          - {{concept: clearly_drawn, above: 0}}
          - {{not: {{concept: photograph, above: {clearly_a_photo}}}}}
  is_sexual:
    all:
      - {{concept: subject, above: 0}}
      - any:
          - {{all: [{{condition: is_drawn}}, {{concept: sexual_drawn, above: 0}}]}}
          - {{all: [{{not: {{condition: is_drawn}}}}, {{concept: sexual, above: 0}}]}}
  shows_minor:
    any:
      - {{concept: minor, above: 0}}
      - {{all: [{{condition: is_drawn}}, {{concept: minor_second_pass_drawn, above: 0, count: 2}}]}}
      - {{all: [{{not: {{condition: is_drawn}}}}, {{concept: minor_second_pass, above: 0, count: 2}}]}}

rules:
  - name: csam
    verdict: reject
    message: The picture was refused by this server's child-safety policy.
    when: {{all: [{{condition: shows_minor}}, {{condition: is_sexual}}]}}

  # What the package calls nsfw. To use it, write flag or reject instead of off.
  - name: nsfw
    verdict: off
    message: The picture was refused because this server does not allow sexual content.
    when: {{condition: is_sexual}}
"""
