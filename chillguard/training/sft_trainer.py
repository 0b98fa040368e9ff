"""SFT whose batches hold rows of like length: without packing, half of a batch is padding else.

On a CPU only the places of answers are scored.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

_IGNORED = -100


class LengthGroupedSampler(torch.utils.data.Sampler):  # type: ignore[misc]
    """Rows in a random order in which neighbours are of like length.

    The order rests on seed and epoch alone, so a run that goes on from a checkpoint meets the same
    rows as one that was never stopped. (That of transformers rests on the state of the process.)
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = list(lengths), batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader when an epoch begins."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=draw))

    def __len__(self) -> int:
        return len(self._lengths)


class GroupedSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """`SFTTrainer` with batches of rows of like length, which end near one another."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of `SFTTrainer`. Without Triton that one scores every place, asked for or not:
        most of the time of a step of a small model.
        """
        if torch.cuda.is_available() or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        places = (labels != _IGNORED).any(dim=0).nonzero().squeeze(1)
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**rest, use_cache=False, logits_to_keep=places).logits.float()
        scored = labels[:, places] != _IGNORED
        logits, labels = logits[scored], labels[:, places][scored]
        total = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        count = len(labels) if num_items_in_batch is None else num_items_in_batch
        self._note(logits.detach(), labels, inputs["attention_mask"])
        ranks = self.accelerator.num_processes if num_items_in_batch is not None else 1
        return total / torch.as_tensor(count).clamp(min=1) * ranks

    def _note(self, logits: torch.Tensor, labels: torch.Tensor, attention: torch.Tensor) -> None:
        """Keep what `SFTTrainer` logs beside the loss: entropy, accuracy and tokens seen."""
        spread = torch.distributions.Categorical(logits=logits, validate_args=False).entropy().sum()
        right = (logits.argmax(dim=-1) == labels).sum()
        here = torch.stack([spread, right, torch.tensor(len(labels)), attention.sum()]).unsqueeze(0)
        entropy, correct, scored, tokens = self.accelerator.gather(here).sum(dim=0).tolist()
        self._metrics["train"]["entropy"].append(entropy / max(1, scored))
        self._metrics["train"]["mean_token_accuracy"].append(correct / max(1, scored))
        self._total_train_tokens += int(tokens)
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        world = self.args.world_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(lengths, self.args.train_batch_size * world, self.args.seed)
