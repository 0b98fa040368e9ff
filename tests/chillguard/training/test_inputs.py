import pytest

from chillguard.calls import call
from chillguard.tables import training
from chillguard.training import generation, inputs
from tests.chillguard.builders import labeled, mixed, released

TRAIN = released(
    "train",
    [
        labeled("a", mixed(1), "M1a"),
        labeled("b", mixed(2), origin="real"),
        labeled("c", mixed(3), decided_by="review"),
        labeled("d", mixed(4), "M1b", decided_by=None),
    ],
)


def _made(key, text, drop_reason=None):
    row = labeled(key, text, "M1a", origin="rewrite", drop_reason=drop_reason)
    return {**row, "parent_ids": ["a"], "candidate": 0}


GENERATED = training.GENERATED_PROMPTS.build(
    [_made("g1", mixed(5)), _made("g2", mixed(6)), _made("g3", mixed(7), "leak")]
)


def _ids(stage):
    return sorted(stage["prompt_id"].to_pylist())


def test_iteration_0_is_train_alone():
    [stage] = inputs.classifier(TRAIN, None, "single")
    assert stage.column_names == ["prompt_id", "text", "label", "micro_category"]
    assert _ids(stage) == ["a", "b", "c", "d"]


def test_later_iterations_add_the_kept_generated_prompts_only():
    [stage] = inputs.classifier(TRAIN, GENERATED, "single")
    assert _ids(stage) == ["a", "b", "c", "d", "g1", "g2"]


def test_the_curriculum_ends_with_real_and_reviewed_rows():
    made, real = inputs.classifier(TRAIN, GENERATED, "curriculum")
    assert (_ids(made), _ids(real)) == (["a", "d", "g1", "g2"], ["b", "c"])


@pytest.mark.parametrize(("origin", "lacking"), [("real", "made"), ("rag", "real")])
def test_a_curriculum_without_a_stage_is_refused(origin, lacking):
    train = released("train", [labeled("a", origin=origin)])
    with pytest.raises(ValueError, match=f"no {lacking} row; train with plan: single"):
        inputs.classifier(train, None, "curriculum")


def test_rows_stand_in_an_order_that_others_do_not_change():
    [whole] = inputs.classifier(TRAIN, GENERATED, "single")
    [part] = inputs.classifier(TRAIN, None, "single")
    order = whole["prompt_id"].to_pylist()
    assert [key for key in order if key in "abcd"] == part["prompt_id"].to_pylist()
    assert order != sorted(order)


def test_pairs_are_written_out_with_what_the_generator_was_told():
    pair = {
        "pair_id": "x",
        "seed_id": "a",
        "chosen_id": "g1",
        "rejected_id": "g2",
        "chosen_level": "L1",
        "rejected_level": "L4",
    }
    [row] = inputs.generator(training.PREFERENCE_PAIRS.build([pair]), GENERATED, TRAIN).to_pylist()
    [seed] = [row for row in TRAIN.to_pylist() if row["prompt_id"] == "a"]
    [request] = generation.requests([seed], generation.GenerationConfig(per_seed=1))
    assert tuple(row["prompt"]) == request.messages
    assert (row["chosen"], row["rejected"]) == (mixed(5), mixed(6))
    assert isinstance(request, call.ChatRequest)


def test_without_a_pair_the_generator_is_not_trained():
    with pytest.raises(ValueError, match="there is no preference pair"):
        inputs.generator(training.PREFERENCE_PAIRS.build([]), GENERATED, TRAIN)
