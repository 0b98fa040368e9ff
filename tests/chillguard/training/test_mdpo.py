import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.training import mdpo
from chillguard.training.spec import MdpoConfig

torch = pytest.importorskip("torch", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train
CONFIG = MdpoConfig()
LITERAL = MdpoConfig(reading="literal")


def _respond(gaps, mean=0.0, config=CONFIG):
    return mdpo.respond(torch.tensor(gaps), mean, config)


def test_policy_equal_to_reference_leaves_beta_alone():
    found = _respond([0.0] * 16)
    assert (found.alpha, found.beta, found.running_mean) == (1.0, 0.1, 0.0)
    assert (found.kept, found.gap_mean) == (12, 0.0)


def test_a_batch_by_hand():
    config = MdpoConfig(gap_scale="none", momentum=0.5)
    found = _respond([0.0, 1.0, 2.0, 9.0], mean=1.5, config=config)
    assert found.filtered_mean == pytest.approx(1.0)
    assert found.gap_mean == pytest.approx(3.0)
    alpha = (1 / (1 + math.exp(-1.0))) / (1 / (1 + math.exp(-1.5)))
    assert found.alpha == pytest.approx(alpha)
    assert found.beta == pytest.approx(0.1 * alpha)
    assert found.running_mean == pytest.approx(1.25)


def test_the_factor_beta_of_equation_3_is_in_the_gap_by_default():
    assert _respond([2.0] * 4).filtered_mean == pytest.approx(0.2)
    assert _respond([2.0] * 4, config=MdpoConfig(gap_scale="none")).filtered_mean == 2.0


@pytest.mark.parametrize(
    ("count", "share", "kept"),
    [(16, 0.75, 12), (15, 0.75, 11), (2, 0.75, 1), (1, 0.75, 1), (10, 0.7, 7), (3, 1.0, 3)],
)
def test_k_is_a_share_of_the_batch_and_at_least_one(count, share, kept):
    assert mdpo.kept(count, share) == kept


def test_exactly_k_are_kept_on_ties_the_first_ones():
    # All four are as far from the mean; the first three are kept.
    found = _respond([1.0, -1.0, 1.0, -1.0], config=MdpoConfig(gap_scale="none"))
    assert found.filtered_mean == pytest.approx(1 / 3)


@given(st.floats(-50, 50), st.floats(-3, 3))
def test_with_all_kept_and_equal_gaps_alpha_is_the_ratio_of_sigmoids(gap, mean):
    config = MdpoConfig(gap_scale="none", keep=1.0)
    alpha = (1 + math.exp(-mean)) / (1 + math.exp(-gap))
    assert _respond([gap] * 5, mean, config).alpha == pytest.approx(alpha, rel=1e-6)


def test_beta_has_a_floor_and_no_gradient_reaches_it():
    gaps = torch.full((4,), -1e6, requires_grad=True)
    found = mdpo.respond(gaps, 0.0, CONFIG)
    assert found.beta == CONFIG.beta_floor
    assert type(found.beta) is float


@settings(max_examples=40)
@given(st.floats(-2, 2), st.floats(-3, 3), st.integers(0, 2**16))
def test_the_mean_converges_to_the_true_gap_mean_whatever_its_sign(truth, begin, seed):
    draw = torch.Generator().manual_seed(seed)
    config, mean = MdpoConfig(gap_scale="none"), begin
    later = []
    for step in range(400):
        gaps = truth + 0.2 * torch.randn(16, generator=draw)
        found = mdpo.respond(gaps, mean, config)
        mean = found.running_mean
        later += [mean] if step >= 200 else []
    assert sum(later) / len(later) == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize("truth", [0.25, 0.81])
def test_the_literal_reading_settles_at_the_square_root(truth):
    config, mean = MdpoConfig(reading="literal", gap_scale="none"), mdpo.start(LITERAL)
    for _ in range(400):
        mean = _respond([truth] * 16, mean, config).running_mean
    assert mean == pytest.approx(math.sqrt(truth), abs=1e-3)


def test_the_literal_reading_starts_at_one_and_survives_a_mean_of_zero():
    assert (mdpo.start(CONFIG), mdpo.start(LITERAL)) == (0.0, 1.0)
    found = _respond([0.1] * 4, 0.0, LITERAL)
    assert math.isfinite(found.beta)
    assert math.isfinite(found.running_mean)
