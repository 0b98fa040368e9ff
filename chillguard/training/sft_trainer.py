"""SFT whose batches hold rows of like length: without packing, half of a batch is padding else."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer


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
    """`SFTTrainer` with batches of rows of like length."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        world = self.args.world_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(lengths, self.args.train_batch_size * world, self.args.seed)
