"""The trainer of classifiers against the one that it is built on."""

import pytest

from chillguard.training import chat, data, stage
from tests.chillguard.training.test_run import FAST, _spec

torch = pytest.importorskip("torch", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train


@pytest.fixture
def trainer(tiny_model, tmp_path):
    spec = _spec(tiny_model, tmp_path, **{**FAST, "batch_size": 8})
    rows = data.rows(spec, spec.stages[0])
    words = chat.tokenizer(tiny_model, "sft")
    return stage._trainer(spec, tiny_model, words, rows, tmp_path / "out", 1)


def _step(trainer, compute_loss, batch, count):
    """Loss, gradients and metrics of one batch."""
    trainer.model.zero_grad()
    trainer._metrics["train"].clear()
    trainer._total_train_tokens = 0
    loss = compute_loss(trainer.model, dict(batch), num_items_in_batch=count)
    loss.backward()
    gradients = [p.grad.clone() for p in trainer.model.parameters()]
    return float(loss.detach()), gradients, dict(trainer._metrics["train"])


@pytest.mark.parametrize("count", [None, 7])
def test_loss_gradients_and_metrics_are_those_of_trl(trainer, count):
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    ours = _step(trainer, trainer.compute_loss, batch, count)
    theirs = _step(trainer, super(type(trainer), trainer).compute_loss, batch, count)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    assert ours[2].keys() == theirs[2].keys()
    for name, values in ours[2].items():
        assert values == pytest.approx(theirs[2][name], rel=1e-4), name
