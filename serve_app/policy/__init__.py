"""The policy: a YAML file, read once into frozen types, and evaluated over label scores.

    text -> document (values with positions) -> schema (Policy, or all errors at once) -> evaluation (Judgement)

It knows the domain, and nothing of models, media, databases or HTTP.
"""

from serve_app.policy.calibrated import (
    CalibratedModel,
    CalibratedRule,
    Calibration,
    section_text,
)
from serve_app.policy.concepts import Concept, ScoreKind
from serve_app.policy.conditions import Above, AllOf, AnyOf, AtLeast, Condition, Named, NamedCondition, Not
from serve_app.policy.evaluation import Margins, concept_scores, evaluate, margins_of
from serve_app.policy.explanation import ExplainedCondition, ExplainedRule, explain
from serve_app.policy.files import SHIPPED_PREFIX, load_policy, shipped_policies, shipped_text, text_of_policy
from serve_app.policy.parsing import parse_policy
from serve_app.policy.policies import Policies
from serve_app.policy.recorded import (
    Insufficient,
    RecordedJudgement,
    insufficiency_of,
    judge_recorded,
    may_reject,
)
from serve_app.policy.replay import Change, Replay, ReplayedDecision, ScoredDecision
from serve_app.policy.rounding import rounding_errors
from serve_app.policy.schema import Policy, Rule, heads_of, labels_of
from serve_app.policy.thresholds import STEP_DECIMALS, PolicyText, WrittenThreshold, with_section

__all__ = [
    "SHIPPED_PREFIX",
    "STEP_DECIMALS",
    "Above",
    "AllOf",
    "AnyOf",
    "AtLeast",
    "CalibratedModel",
    "CalibratedRule",
    "Calibration",
    "Change",
    "Concept",
    "Condition",
    "ExplainedCondition",
    "ExplainedRule",
    "Insufficient",
    "Margins",
    "Named",
    "NamedCondition",
    "Not",
    "Policies",
    "Policy",
    "PolicyText",
    "RecordedJudgement",
    "Replay",
    "ReplayedDecision",
    "Rule",
    "ScoreKind",
    "ScoredDecision",
    "WrittenThreshold",
    "concept_scores",
    "evaluate",
    "explain",
    "heads_of",
    "insufficiency_of",
    "judge_recorded",
    "labels_of",
    "load_policy",
    "margins_of",
    "may_reject",
    "parse_policy",
    "rounding_errors",
    "section_text",
    "shipped_policies",
    "shipped_text",
    "text_of_policy",
    "with_section",
]
