"""Model roles by name, and which asset asks which of them.

Stages name a role by these words; the refresh plan and the placement of steps on a cluster read the
same table. Which model answers for a role is `resources.models.roles`.
"""

from collections.abc import Sequence

EXPANDER = "expander"
SYNTHESIZER = "synthesizer"
REWRITER = "rewriter"
TRANSLATOR = "translator"
TIE_BREAKER = "tie_breaker"
CATEGORIZER = "categorizer"
GENERATOR = "generator"
SCORER = "scorer"


def votes_of(juror: str) -> str:
    """The asset of one juror's votes."""
    return f"jury_votes/{juror}"


def asked_by(jurors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The roles that each asset asks; an asset that is not named asks none."""
    ruling = (TIE_BREAKER, CATEGORIZER)
    return {
        "expanded_keywords": (EXPANDER,),
        "synthesized_prompts": (SYNTHESIZER,),
        "annotated_prompts": (*jurors, *ruling),
        "rewritten_prompts": (REWRITER,),
        "candidate_prompts": (TRANSLATOR,),
        **{votes_of(juror): (juror,) for juror in jurors},
        "labeled_prompts": ruling,
        "anchor_votes": tuple(jurors),
        "iteration_1/generated_prompts": (GENERATOR, *jurors, *ruling),
        "iteration_2/generated_prompts": (GENERATOR, *jurors, *ruling),
        "iteration_2/graded_prompts": (GENERATOR, SCORER),
    }
