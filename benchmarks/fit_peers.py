"""The trainers of Lightning and of Hugging Face beside the loop by hand, for ``fit.py --peers``. Needs no flambe.

Reads an order of batches (JSON) a line, fits once each way and answers with a line: way → seconds / seconds of the loop by hand (wall,
processor), and whether all losses are those of the loop. Neither writes checkpoints or logs; both log losses ten times an epoch.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from typing import Any

import lightning
import torch
import transformers
from fit_loop import BATCH, CLIP, RATE, SIZES, Examples, Seconds, by_hand, fresh, padded, sentences
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Module(lightning.LightningModule):
    """Lightning's form of it."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.net, self.optimizer = net, optimizer
        self.losses: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = nn.functional.cross_entropy(*self.net(*batch))
        self.losses.append(loss.detach())
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        pred, target = self.net(*batch)
        self.log("val_loss", nn.functional.cross_entropy(pred, target), batch_size=len(target))
        self.log("accuracy", (pred.argmax(1) == target).float().mean(), batch_size=len(target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


def with_lightning(net: nn.Module, optimizer: Any, train: Examples, val: Examples, order: list[list[int]]) -> Any:
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, gradient_clip_val=CLIP, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=max(1, len(order) // 10), barebones=False,
    )  # fmt: skip
    module = Module(net, optimizer)
    # Loaders draw a seed for workers that they do not have; with one of their own, dropout draws what it draws in the loop.
    training = DataLoader(train, generator=torch.Generator(), batch_sampler=order, collate_fn=padded)  # type: ignore[arg-type]
    validation = DataLoader(val, generator=torch.Generator(), batch_size=BATCH, collate_fn=padded)  # type: ignore[arg-type]
    clock = Seconds()
    trainer.validate(module, validation, verbose=False)
    trainer.fit(module, training, validation)
    return clock.passed(), torch.stack(module.losses).tolist()


class Scored(nn.Module):
    """The form of a model that Hugging Face's trainer wants."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.losses: list[Tensor] = []

    def forward(self, data: Tensor, labels: Tensor) -> dict[str, Tensor]:
        pred, target = self.net(data, labels)
        loss = nn.functional.cross_entropy(pred, target)
        if self.training:
            self.losses.append(loss.detach())
        return {"loss": loss, "logits": pred}


class InOrder(transformers.Trainer):
    """Takes the batches that it is given."""

    order: list[list[int]]

    def _get_train_sampler(self, *_: Any) -> Any:
        return [index for batch in self.order for index in batch]


def with_transformers(net: nn.Module, optimizer: Any, train: Examples, val: Examples, order: list[list[int]]) -> Any:
    def collate(rows: Examples) -> dict[str, Tensor]:
        data, labels = padded(rows)
        return {"data": data, "labels": labels}

    def accuracy(outcome: Any) -> dict[str, float]:
        return {"accuracy": float((outcome.predictions.argmax(1) == outcome.label_ids).mean())}

    with tempfile.TemporaryDirectory() as folder:
        options = transformers.TrainingArguments(
            output_dir=folder, use_cpu=True, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            num_train_epochs=1, learning_rate=RATE, lr_scheduler_type="constant", max_grad_norm=CLIP,
            logging_steps=max(1, len(order) // 10), save_strategy="no", report_to="none", disable_tqdm=True,
            remove_unused_columns=False, label_names=["labels"], dataloader_pin_memory=False,
        )  # fmt: skip
        constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)
        model = Scored(net)
        trainer = InOrder(
            model=model, args=options, train_dataset=train, eval_dataset=val, data_collator=collate,
            optimizers=(optimizer, constant), compute_metrics=accuracy,
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.order = order
        torch.manual_seed(trainer_seed)  # making the trainer draws
        clock = Seconds()
        trainer.evaluate()
        trainer.train()
        trainer.evaluate()
        return clock.passed(), torch.stack(model.losses).tolist()


trainer_seed = 0


def main() -> None:
    """Answer until stdin ends."""
    global trainer_seed
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    answers, sys.stdout = sys.stdout, sys.stderr
    words, _, _, iterations = SIZES[arguments.small]
    train, val = sentences(iterations * BATCH, 10 * BATCH, words)
    ways = {"hand": by_hand, "lightning": with_lightning, "transformers": with_transformers}
    for pair, line in enumerate(sys.stdin):
        order, seconds, losses = json.loads(line), {}, {}
        names = list(ways)
        for way in names[pair % 3 :] + names[: pair % 3]:
            trainer_seed = pair
            net, optimizer = fresh(arguments.small, pair)
            seconds[way], losses[way] = ways[way](net, optimizer, train, val, order)
        answer = {
            way: {
                "ratios": [mine / theirs for mine, theirs in zip(seconds[way], seconds["hand"], strict=True)],
                "equal": losses[way] == losses["hand"],
            }
            for way in ("lightning", "transformers")
        }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
