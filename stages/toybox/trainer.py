"""Training that can be stopped anywhere and gives the same bits when it is taken up again.

All parameters of a model lie in one flat vector, and so do their gradients, Adam's two moments
and the moving average: a checkpoint is four tensors, and updates cost one pass over memory.

A batch is always computed as two fixed halves, each by its own replica of the model (the
replicas share the parameters, not the gradients), and the halves' gradients are added in a
fixed order. Two threads only change who computes them, not the result.
"""

import copy
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...pipeline.contract import Context, replacing, sync

Loss = Callable[[nn.Module, int], Tensor]
"""Mean loss of one half (0 or 1) of the batch, given the replica to use."""

HALVES = 2
KEPT = 2
"""Checkpoints that stay, so that a damaged newest one costs a minute, not the training."""


def cosine_rate(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """Learning rate: linear from 0 over `warmup` steps, then half a cosine down to 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def ema_decay(step: int, longest: float) -> float:
    """Decay of the moving average after `step` updates, shorter at first: (1 + n) / (10 + n)."""
    return min(longest, (1 + step) / (10 + step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How the parameters follow the gradient."""

    steps: int
    peak: float
    warmup: int
    ema: float
    largest_norm: float = 1.0
    """Gradients longer than this are shortened to it."""


class Trainer:
    """A model in training: parameters, moments, moving average and how far it has come."""

    def __init__(
        self,
        model: nn.Module,
        rates: Rates,
        *,
        threads: int,
        channels_last: bool = False,
        slower: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """`slower` maps prefixes of parameter names to factors of the learning rate."""
        self.rates = rates
        self.channels_last = channels_last
        self.step = 0
        self.replicas = [model] + [copy.deepcopy(model) for _ in range(HALVES - 1)]
        self.values = torch.zeros(sum(p.numel() for p in model.parameters()))
        self.grads = [torch.zeros_like(self.values) for _ in range(HALVES)]
        views = split(model, self.values, channels_last=channels_last)
        for parameter, view in zip(model.parameters(), views, strict=True):
            view.copy_(parameter.detach())
        for replica, grads in zip(self.replicas, self.grads, strict=True):
            self._place(replica, self.values, grads)
        self.ema = self.values.clone()
        self.moments = {
            "exp_avg": torch.zeros_like(self.values),
            "exp_avg_sq": torch.zeros_like(self.values),
        }
        self._runs = runs(model, slower)
        # Adam (Kingma & Ba 2015). beta2 is 0.99, not 0.999: runs are a few thousand steps long.
        self._adam = torch.optim.Adam(
            [{"params": [self.values[part]]} for part, _ in self._runs],
            betas=(0.9, 0.99),
            fused=True,
        )
        for group, (part, _) in zip(self._adam.param_groups, self._runs, strict=True):
            self._adam.state[group["params"][0]] = {
                "step": torch.zeros(()),
                "exp_avg": self.moments["exp_avg"][part],
                "exp_avg_sq": self.moments["exp_avg_sq"][part],
            }
        self._pool = ThreadPoolExecutor(min(threads, HALVES)) if threads > 1 else None

    def update(self, loss: Loss) -> float:
        """One step of Adam on a batch; returns the mean loss."""

        def half(k: int) -> float:
            torch.set_num_threads(1)
            self.grads[k].zero_()
            value = loss(self.replicas[k], k)
            value.backward()
            return value.item()

        run = map if self._pool is None else self._pool.map
        values = list(run(half, range(HALVES)))
        grad = self.grads[0].add_(self.grads[1]).mul_(1 / HALVES)
        norm = torch.linalg.vector_norm(grad)
        grad.mul_((self.rates.largest_norm / norm).clamp(max=1.0))
        rate = cosine_rate(
            self.step, self.rates.steps, peak=self.rates.peak, warmup=self.rates.warmup
        )
        for group, (part, factor) in zip(self._adam.param_groups, self._runs, strict=True):
            group["lr"] = rate * factor
            group["params"][0].grad = grad[part]
            self._adam.state[group["params"][0]]["step"].fill_(float(self.step))
        self._adam.step()
        self.step += 1
        self.ema.lerp_(self.values, 1 - ema_decay(self.step, self.rates.ema))
        return sum(values) / HALVES

    def averaged(self) -> nn.Module:
        """A copy of the model with the moving average as its parameters."""
        model = copy.deepcopy(self.replicas[0])
        self._place(model, self.ema.clone(), None)
        return model.eval()

    def save(self, scratch: Path) -> None:
        """Write a checkpoint of this step and drop the oldest ones."""
        target = scratch / f"checkpoint-{self.step:08d}.safetensors"
        with replacing(target) as temporary:
            save_file(self._state(), temporary)
        for old in sorted(scratch.glob("checkpoint-*.safetensors"))[:-KEPT]:
            old.unlink()

    def resume(self, scratch: Path) -> bool:
        """Continue from the newest checkpoint that can be read; False if there is none."""
        for path in sorted(scratch.glob("checkpoint-*.safetensors"), reverse=True):
            try:
                tensors = load_file(path)
            except SafetensorError:
                continue
            for name, own in self._state().items():
                own.copy_(tensors[name])
            self.step = int(path.stem.removeprefix("checkpoint-"))
            return True
        return False

    def _place(self, model: nn.Module, values: Tensor, grads: Tensor | None) -> None:
        """Let the model's parameters (and gradients) be views of flat vectors."""
        for parameter, view in zip(
            model.parameters(), split(model, values, channels_last=self.channels_last), strict=True
        ):
            parameter.data = view
            parameter.grad = None
        if grads is not None:
            for parameter, view in zip(
                model.parameters(),
                split(model, grads, channels_last=self.channels_last),
                strict=True,
            ):
                parameter.grad = view

    def _state(self) -> dict[str, Tensor]:
        return {"values": self.values.detach(), "ema": self.ema, **self.moments}

    def close(self) -> None:
        """End the worker threads."""
        if self._pool is not None:
            self._pool.shutdown()


def runs(model: nn.Module, slower: Mapping[str, float]) -> list[tuple[slice, float]]:
    """The flat vector cut where the factor of the learning rate changes."""
    out: list[tuple[slice, float]] = []
    start = 0
    for name, parameter in model.named_parameters():
        factor = next((f for prefix, f in slower.items() if name.startswith(prefix)), 1.0)
        stop = start + parameter.numel()
        if out and out[-1][1] == factor:
            out[-1] = (slice(out[-1][0].start, stop), factor)
        else:
            out.append((slice(start, stop), factor))
        start = stop
    return out


def split(
    model: nn.Module, flat: Float[Tensor, " n"], *, channels_last: bool
) -> list[Float[Tensor, "..."]]:
    """Views of a flat vector in the shapes of the model's parameters.

    With `channels_last`, kernels lie in memory as that layout wants them.
    """
    views = []
    start = 0
    for parameter in model.parameters():
        part = flat[start : start + parameter.numel()]
        start += parameter.numel()
        if channels_last and parameter.ndim == 4:
            out, into, height, width = parameter.shape
            views.append(part.view(out, height, width, into).permute(0, 3, 1, 2))
        else:
            views.append(part.view(parameter.shape))
    return views


class TrainingLog:
    """JSON lines with step, loss, samples and seconds; survives interruptions."""

    def __init__(self, scratch: Path, step: int) -> None:
        self.path = scratch / "log.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        kept = [line for line in lines if line and json.loads(line)["step"] <= step]
        self.path.write_text("".join(line + "\n" for line in kept))
        self._before = json.loads(kept[-1])["seconds"] if kept else 0.0
        self._start = time.monotonic()

    def write(self, step: int, loss: float, samples: int) -> None:
        """Add one line; the seconds are those spent training, without interruptions."""
        seconds = round(self._before + time.monotonic() - self._start, 1)
        line = {"step": step, "loss": round(loss, 6), "samples": samples, "seconds": seconds}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def copy_to(self, target: Path) -> None:
        """Put the log beside the results."""
        shutil.copyfile(self.path, target)
        sync(target)


def train(
    trainer: Trainer,
    loss_of: Callable[[int], Loss],
    scratch: Path,
    *,
    batch: int,
    save_every_s: float,
    log_every: int,
    report: Callable[[int, float], None],
) -> TrainingLog:
    """Run `trainer` to the end of its schedule, saving every `save_every_s`.

    Wall time decides only when a checkpoint is written, never what is computed.
    """
    trainer.resume(scratch)
    log = TrainingLog(scratch, trainer.step)
    recent: list[float] = []
    saved = time.monotonic()
    while trainer.step < trainer.rates.steps:
        recent.append(trainer.update(loss_of(trainer.step)))
        report(trainer.step, recent[-1])
        if trainer.step % log_every == 0 or trainer.step == trainer.rates.steps:
            log.write(trainer.step, sum(recent) / len(recent), trainer.step * batch)
            recent.clear()
        if time.monotonic() - saved > save_every_s:
            trainer.save(scratch)
            saved = time.monotonic()
    trainer.save(scratch)
    trainer.close()
    return log


def train_shown(
    trainer: Trainer,
    loss_of: Callable[[int], Loss],
    ctx: Context,
    *,
    title: str,
    batch: int,
    save_every_s: float,
) -> TrainingLog:
    """`train` in a stage's scratch, with a progress bar and the mean loss in the stage's log."""
    trainer.resume(ctx.scratch)
    steps = trainer.rates.steps
    with ctx.progress(title, steps, trainer.step) as bar:
        recent: list[float] = []

        def report(step: int, loss: float) -> None:
            bar.advance(note=f"loss {loss:.4f}")
            recent.append(loss)
            if step % 100 == 0:
                mean = sum(recent) / len(recent)
                ctx.log.info("step %d of %d: loss %.5f", step, steps, mean)
                recent.clear()

        return train(
            trainer,
            loss_of,
            ctx.scratch,
            batch=batch,
            save_every_s=save_every_s,
            log_every=50,
            report=report,
        )


def halves(count: int) -> Sequence[slice]:
    """The two fixed halves of a batch."""
    middle = count // HALVES
    return (slice(0, middle), slice(middle, count))
