"""One stage of a job: rows in, trained weights out, gone on with from the last checkpoint."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chillguard.training import chat, data
from chillguard.training.data import TrainingError
from chillguard.training.output import DONE, Output
from chillguard.training.spec import MdpoConfig, SftConfig, TrainingSpec

_CHECKPOINTS_KEPT = 2
Report = Callable[[Mapping[str, float | int | str]], None]


def train(
    spec: TrainingSpec, number: int, model: str, output: Output, report: Report, ranks: int
) -> dict[str, Any]:
    """Train stage `number` (from 1) on top of `model`; returns metrics and history of the stage.

    The weights lie in `output.final(number)`, in the precision they were trained in.
    """
    from transformers import set_seed

    set_seed(spec.settings.seed)
    tokenizer = chat.tokenizer(model, spec.kind)
    found = data.rows(spec, spec.stages[number - 1])
    rows = data.fitting(found, tokenizer, spec.settings.max_length)
    if not rows:
        raise TrainingError(
            f"training file {spec.stages[number - 1]}: every row has more than "
            f"{spec.settings.max_length} tokens; raise max_length"
        )
    trainer = _trainer(spec, model, tokenizer, rows, output.stage(number), ranks)
    saved = output.checkpoint(number)
    place = {"stage": number, "stages": len(spec.stages)}
    _attach(trainer, report, output, place, saved)
    trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    _save(trainer, output.final(number), merged=spec.settings.lora is not None)
    history = [{"stage": number, **entry} for entry in trainer.state.log_history if "loss" in entry]
    metrics = {
        "rows": len(rows),
        "rows_too_long": len(found) - len(rows),
        "steps": trainer.state.global_step,
        "tokens": int(trainer._total_train_tokens),
        "loss": history[-1]["loss"],
    }
    left: dict[str, Any] = {"metrics": metrics, "history": history}
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(output.final(number))
        output.mark(output.final(number), DONE, left)
    trainer.accelerator.wait_for_everyone()
    _free(trainer)
    return left


def _trainer(
    spec: TrainingSpec, model: str, tokenizer: Any, rows: list[data.Row], folder: Path, ranks: int
) -> Any:
    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    from trl import DPOTrainer, SFTTrainer

    from chillguard.training.mdpo_trainer import MDPOTrainer
    from chillguard.training.sft_trainer import GroupedSFTTrainer

    disable_progress_bars()
    logging.disable_progress_bar()
    # In 32 bits: an update of 2e-7 would vanish in the rounding of 16-bit weights.
    weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    given: dict[str, Any] = {
        "model": weights,
        "args": _arguments(spec, folder, ranks),
        "train_dataset": Dataset.from_list(rows),
        "processing_class": tokenizer,
        "peft_config": _adapter(spec),
    }
    if isinstance(spec.settings, SftConfig):
        return (SFTTrainer if spec.settings.packing else GroupedSFTTrainer)(**given)
    if spec.kind == "mdpo":
        return MDPOTrainer(mdpo_config=spec.settings, **given)
    return DPOTrainer(**given)


def _arguments(spec: TrainingSpec, folder: Path, ranks: int) -> Any:
    import torch
    from trl import DPOConfig, SFTConfig

    settings = spec.settings
    micro_batch, accumulation = _shares(settings.batch_size, settings.micro_batch, ranks)
    gpu = torch.cuda.is_available()
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_ratio,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "activation_checkpointing": settings.gradient_checkpointing,
        "use_cpu": not gpu,
        "bf16": gpu,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "logging_steps": settings.log_every,
        "logging_nan_inf_filter": False,
        "save_steps": settings.save_every,
        "save_total_limit": _CHECKPOINTS_KEPT,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
    }
    if isinstance(settings, MdpoConfig):
        return DPOConfig(**common, beta=settings.beta, max_length=None)
    length = settings.max_length if settings.packing else None
    return SFTConfig(**common, packing=settings.packing, max_length=length)


def _shares(batch: int, micro_batch: int | None, ranks: int) -> tuple[int, int]:
    """Rows that a rank takes at a time, and how often, to fill the global batch."""
    each = micro_batch or batch // ranks
    if not each or batch % (each * ranks):
        taken = f"{ranks} ranks of {each or 1} rows"
        raise TrainingError(f"batch_size {batch} cannot be made of {taken}; change batch_size")
    return each, batch // (each * ranks)


def _adapter(spec: TrainingSpec) -> Any:
    if spec.settings.lora is None:
        return None
    from peft import LoraConfig

    given = spec.settings.lora
    return LoraConfig(
        r=given.rank,
        lora_alpha=given.alpha,
        lora_dropout=given.dropout,
        target_modules=given.targets if isinstance(given.targets, str) else list(given.targets),
        task_type="CAUSAL_LM",
    )


def _attach(
    trainer: Any, report: Report, output: Output, place: Mapping[str, int], saved: Path | None
) -> None:
    from transformers import PrinterCallback

    from chillguard.training.watch import Watch

    if saved:
        # The trainer restores everything but this count.
        past = json.loads((saved / "trainer_state.json").read_text("utf-8"))["log_history"][-1]
        trainer._total_train_tokens = past["num_tokens"]
    # It prints to standard output, where reports go.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(trainer, report, output, place))


def _save(trainer: Any, folder: Path, merged: bool) -> None:
    if not merged:
        trainer.save_model(str(folder))
    elif trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(folder)


def _free(trainer: Any) -> None:
    """Let go of the weights before the next stage or the export loads them anew."""
    trainer.model = trainer.model_wrapped = trainer.ref_model = None
    trainer.accelerator.free_memory()
