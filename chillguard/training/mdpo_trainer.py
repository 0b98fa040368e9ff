"""MDPO as a DPO trainer whose beta is set anew for every batch; the rule itself is in `mdpo`.

Rests on one inner method of TRL 1.16, `_compute_loss`, which reads `beta` after the forward passes;
a test holds it to the losses of `DPOTrainer` with beta constant.
"""

import json
from pathlib import Path
from typing import Any

from trl import DPOTrainer

from chillguard.training import mdpo
from chillguard.training.spec import MdpoConfig

_STATE = "mdpo.json"


class MDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO with beta scaled by how the policy responds to the batch.

    The running mean moves once per optimiser step, never at evaluation, and is part of every
    checkpoint. Under gradient accumulation each micro-batch has its own beta, and the mean moves by
    their average. The `rewards/*` metrics are in units of the beta of their batch.
    """

    def __init__(self, *args: Any, mdpo_config: MdpoConfig, **options: Any) -> None:
        self.mdpo_config = mdpo_config
        self.running_mean = mdpo.start(mdpo_config)
        self._moved_means: list[float] = []
        self.beta = mdpo_config.beta
        super().__init__(*args, **options)

    def train(self, resume_from_checkpoint: str | None = None, **options: Any) -> Any:
        """Train, from a checkpoint with the running mean that belongs to it."""
        if resume_from_checkpoint is not None:
            state = json.loads((Path(resume_from_checkpoint) / _STATE).read_text("utf-8"))
            self.running_mean = state["running_mean"]
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **options)

    def training_step(self, *args: Any, **options: Any) -> Any:
        """One micro-batch; the last of an optimiser step moves the mean."""
        loss = super().training_step(*args, **options)
        if self.accelerator.sync_gradients:
            self.running_mean = sum(self._moved_means) / len(self._moved_means)
            self._moved_means.clear()
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        reference = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        ratios = dict(zip(("ref_chosen_logps", "ref_rejected_logps"), reference, strict=True))
        static_beta: float = self.beta

        def observed(**model_inputs: Any) -> Any:
            outputs = model(**model_inputs)
            chosen, rejected = outputs.log_probs.detach().sum(dim=1).chunk(2)
            self._adapt((chosen - reference[0]) - (rejected - reference[1]))
            return outputs

        self.precompute_ref_logps = True
        try:
            return super()._compute_loss(observed, {**inputs, **ratios}, return_outputs)
        finally:
            self.precompute_ref_logps, self.beta = False, static_beta

    def _adapt(self, gaps: Any) -> None:
        gathered = self.accelerator.gather_for_metrics(gaps)
        found = mdpo.respond(gathered, self.running_mean, self.mdpo_config)
        self.beta = found.beta
        if not self.model.training:
            return
        self._moved_means.append(found.running_mean)
        told = {
            "beta": found.beta,
            "alpha": found.alpha,
            "gap_mean": found.gap_mean,
            "running_mean": found.running_mean,
            "kept_fraction": found.kept / len(gathered),
        }
        for name, value in told.items():
            self._metrics["train"][name].append(value)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            state = json.dumps({"running_mean": self.running_mean})
            (folder / _STATE).write_text(state, "utf-8")
