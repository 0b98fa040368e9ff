"""What is trained, from what and how: the contract between the lineage and a trainer's host.

Frozen and plain JSON, so that it can be written down on one machine and run on another.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from chillguard.training.label_format import FormatKind


class LoraConfig(BaseModel):
    """Low-rank adapters in place of full-parameter training; merged into the weights at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class _TrainerConfig(BaseModel):
    """What every trainer has: AdamW, cosine schedule with warm-up, one epoch.

    `batch_size` is global: over all ranks and accumulation steps. `micro_batch` is what one rank
    takes at a time; None means its whole share. A checkpoint falls on a logged step, because the
    mean loss between two logs is not part of a checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(1e-5, gt=0)
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    epochs: float = Field(1.0, gt=0)
    batch_size: int = Field(16, ge=1)
    micro_batch: int | None = Field(None, ge=1)
    max_length: int = Field(2048, ge=8)
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None
    seed: int = Field(42, ge=0, lt=1 << 32)
    log_every: int = Field(10, ge=1)
    save_every: int = Field(500, ge=1)

    @model_validator(mode="after")
    def _checkpoints_fall_on_logged_steps(self) -> Self:
        if self.save_every % self.log_every:
            raise ValueError(
                f"save_every {self.save_every} is not a multiple of log_every {self.log_every}"
            )
        return self


class SftConfig(_TrainerConfig):
    """Supervised fine-tuning of the classifier (appendix D.3): learning rate 1e-5.

    Batch size and lengths are not in the paper. `packing` puts several rows in one sequence: faster
    with flash attention, many times slower without. Unpacked, batches hold rows of like length.
    """

    label_format: FormatKind = "category"
    packing: bool = False
    batch_size: int = Field(32, ge=1)


class MdpoConfig(_TrainerConfig):
    """Preference training of the generator (section 4.2, appendix D.2.1).

    `keep` is K as a share of the global batch: 0.75 is 12 of 16. `reading` is `consistent`, or
    `literal` for equations 3 to 7 as printed. `gap_scale` says whether the reward gap has the
    factor beta of equation 3.
    """

    learning_rate: float = Field(2e-7, gt=0)
    beta: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    keep: float = Field(0.75, gt=0, le=1)
    reading: Literal["consistent", "literal"] = "consistent"
    gap_scale: Literal["beta", "none"] = "beta"
    beta_floor: float = Field(1e-3, gt=0)


class TrainingSpec(BaseModel):
    """One training job: `model` (folder or hub id) is trained on `stages` into folder `output`.

    `stages` are Parquet files in curriculum order; one file is plain training. Files of `sft` have
    prompt_id, text, label, micro_category; of `mdpo` and `dpo` pair_id, prompt, chosen, rejected.
    `release` is the version of the data set, for the model card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["sft", "mdpo", "dpo"]
    model: str
    output: str
    stages: tuple[str, ...] = Field(min_length=1)
    settings: SftConfig | MdpoConfig
    release: str | None = None

    @field_validator("settings", mode="before")
    @classmethod
    def _settings_are_of_the_kind(cls, given: Any, info: ValidationInfo) -> Any:
        wanted = SftConfig if info.data.get("kind") == "sft" else MdpoConfig
        if isinstance(given, BaseModel) and not isinstance(given, wanted):
            raise ValueError(f"kind {info.data.get('kind')} takes a {wanted.__name__}")
        return given if isinstance(given, BaseModel) else wanted.model_validate(given)
