"""The flat optimizer against torch's own, exact resume, and independence of threads."""

import copy
import math
from pathlib import Path

import pytest
import torch
from splatworks.stages.toybox.trainer import (
    Loss,
    Rates,
    Trainer,
    TrainingLog,
    cosine_rate,
    ema_decay,
    train,
)

RATES = Rates(steps=8, peak=0.01, warmup=2, ema=0.9, largest_norm=1e9)


def small() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(1).get_state())
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(16, 2)
        )


def loss_of(step: int) -> Loss:
    inputs = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(step))

    def loss(model: torch.nn.Module, half: int) -> torch.Tensor:
        return model(inputs[3 * half : 3 * half + 3]).square().mean()

    return loss


def run(trainer: Trainer, scratch: Path) -> TrainingLog:
    return train(
        trainer, loss_of, scratch, batch=6, save_every_s=0.0, log_every=3, report=lambda *_: None
    )


def test_matches_torch_adam_on_the_whole_batch_and_a_plain_moving_average(tmp_path) -> None:
    model = small()
    other = copy.deepcopy(model)
    run(Trainer(model, RATES, threads=1), tmp_path)
    adam = torch.optim.Adam(other.parameters(), betas=(0.9, 0.99))
    averages = [p.detach().clone() for p in other.parameters()]
    for step in range(RATES.steps):
        adam.param_groups[0]["lr"] = cosine_rate(step, RATES.steps, peak=RATES.peak, warmup=2)
        adam.zero_grad()
        ((loss_of(step)(other, 0) + loss_of(step)(other, 1)) / 2).backward()
        adam.step()
        decay = min(RATES.ema, (2 + step) / (11 + step))
        averages = [
            decay * a + (1 - decay) * p.detach()
            for a, p in zip(averages, other.parameters(), strict=True)
        ]
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    resumed = Trainer(small(), RATES, threads=1)
    assert resumed.resume(tmp_path)
    for p, q in zip(resumed.averaged().parameters(), averages, strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=1e-4, atol=1e-6)


def test_long_gradients_are_shortened() -> None:
    """Adam's first moment after one step is a tenth of the gradient it was given."""
    rates = Rates(steps=8, peak=0.01, warmup=1, ema=0.9, largest_norm=0.02)
    trainer = Trainer(small(), rates, threads=1)
    trainer.update(loss_of(0))
    assert trainer.moments["exp_avg"].norm().item() == pytest.approx(0.1 * 0.02, rel=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupted_at_every_step_and_on_either_number_of_threads(tmp_path, threads) -> None:
    whole = Trainer(small(), RATES, threads=1)
    (tmp_path / "whole").mkdir()
    run(whole, tmp_path / "whole")
    scratch = tmp_path / "parts"
    scratch.mkdir()
    for _ in range(RATES.steps):
        part = Trainer(small(), RATES, threads=threads)
        part.resume(scratch)
        part.update(loss_of(part.step))
        part.save(scratch)
        part.close()
    for name in ("values", "ema"):
        assert torch.equal(getattr(part, name), getattr(whole, name))
    assert len(list(scratch.glob("checkpoint-*"))) == 2


def test_a_slower_part_moves_as_far_as_its_factor_says() -> None:
    """Adam's first step is the rate times the gradient's sign."""
    model = small()
    before = [p.detach().clone() for p in model.parameters()]
    trainer = Trainer(
        model, Rates(steps=8, peak=0.01, warmup=1, ema=0.9), threads=1, slower={"3.": 0.25}
    )
    trainer.update(loss_of(0))
    moved = [(p - q).abs().max().item() for p, q in zip(model.parameters(), before, strict=True)]
    assert moved == pytest.approx([0.01, 0.01, 0.0025, 0.0025], rel=1e-3)


def test_channels_last_changes_the_layout_and_not_the_training() -> None:
    made = [Trainer(small(), RATES, threads=1, channels_last=last) for last in (False, True)]
    for trainer in made:
        for _ in range(3):
            trainer.update(loss_of(trainer.step))
    assert next(made[1].replicas[0].parameters()).is_contiguous(memory_format=torch.channels_last)
    for p, q in zip(*(t.averaged().parameters() for t in made), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_a_damaged_newest_checkpoint_costs_only_the_way_from_the_one_before(tmp_path) -> None:
    trainer = Trainer(small(), RATES, threads=1)
    for _ in range(3):
        trainer.update(loss_of(trainer.step))
        trainer.save(tmp_path)
    newest = tmp_path / "checkpoint-00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    other = Trainer(small(), RATES, threads=1)
    assert other.resume(tmp_path)
    assert other.step == 2


def test_the_log_forgets_what_an_interrupted_run_wrote_after_its_checkpoint(tmp_path) -> None:
    log = TrainingLog(tmp_path, 0)
    for step in (10, 20, 30):
        log.write(step, 0.5, 4 * step)
    TrainingLog(tmp_path, 20).write(30, 0.25, 120)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ['{"step": 10', '{"step": 20', '{"step": 30']
    assert '"loss": 0.25' in lines[-1]


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    rates = [cosine_rate(step, 110, peak=2.0, warmup=10) for step in range(111)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0)
    assert rates[110] == pytest.approx(0.0, abs=1e-12)
    assert rates[35] == pytest.approx(1 + math.cos(math.pi / 4))


def test_the_average_is_short_at_first() -> None:
    assert ema_decay(0, 0.999) == pytest.approx(0.1)
    assert ema_decay(90, 0.999) == pytest.approx(0.91)
    assert ema_decay(10**6, 0.999) == 0.999
