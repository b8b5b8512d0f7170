from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.models.blocks.prototypes import PrototypeBank

KEYS, SLOTS, DIM = 4, 2, 3


def draw(entries: int, seed: int = 2) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(entries, SLOTS, DIM, generator=rng)


def seen(entries: int) -> Tensor:
    return torch.ones(entries, SLOTS, dtype=torch.bool)


def test_the_first_sight_is_copied_and_later_ones_are_averaged_in() -> None:
    bank = PrototypeBank(KEYS, SLOTS, DIM, momentum=0.9)
    value = draw(3)
    expected = value[0]
    bank.update(torch.tensor([1]), value[:1], seen(1))
    assert torch.equal(bank.content[1], expected)
    for step in (1, 2):
        bank.update(torch.tensor([1]), value[step : step + 1], seen(1))
        expected = 0.9 * expected + 0.1 * value[step]
    torch.testing.assert_close(bank.content[1], expected)
    assert bank.count.tolist() == [[0, 0], [3, 3], [0, 0], [0, 0]]
    content, filled = bank(torch.tensor([[1, 2]]))
    assert content.shape == (1, 2, SLOTS, DIM)
    assert filled.tolist() == [[[True, True], [False, False]]]
    assert not content[0, 1].any()


def test_a_batch_moves_an_entry_once_in_any_order() -> None:
    value, key = draw(5), torch.tensor([0, 3, 0, 0, 3])
    banks = []
    for order in (range(5), (4, 2, 1, 3, 0)):
        bank = PrototypeBank(KEYS, SLOTS, DIM, momentum=0.5)
        bank.update(torch.tensor([0]), torch.ones(1, SLOTS, DIM), seen(1))
        index = torch.tensor(list(order))
        bank.update(key[index], value[index], seen(5))
        banks.append(bank)
    torch.testing.assert_close(banks[0].content, banks[1].content)
    mean = value[[0, 2, 3]].mean(0)
    torch.testing.assert_close(banks[0].content[0], 0.5 + 0.5 * mean)
    torch.testing.assert_close(banks[0].content[3], value[[1, 4]].mean(0))
    assert banks[0].count[:, 0].tolist() == [4, 0, 0, 2]


def test_absent_slots_are_left_alone() -> None:
    bank = PrototypeBank(KEYS, SLOTS, DIM)
    present = torch.tensor([[True, False], [False, False]])
    bank.update(torch.tensor([2, 1]), draw(2), present)
    assert bank.count.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0]]
    assert not bank.content[2, 1].any()
    assert not bank.content[1].any()


def test_tallies_of_two_processes_add_up_to_one_batch() -> None:
    value, key = draw(6), torch.tensor([0, 1, 1, 0, 2, 1])
    whole, shared = (PrototypeBank(KEYS, SLOTS, DIM, momentum=0.7) for _ in range(2))
    whole.update(key, value, seen(6))
    parts = [shared.tally(key[at], value[at], seen(3)) for at in (slice(3), slice(3, 6))]
    joined = type(parts[0])(parts[0].total + parts[1].total, parts[0].number + parts[1].number)
    shared.take_in(joined)
    torch.testing.assert_close(shared.content, whole.content)
    assert torch.equal(shared.count, whole.count)


def test_updates_are_deterministic_and_survive_saving() -> None:
    banks = [PrototypeBank(KEYS, SLOTS, DIM) for _ in range(2)]
    for step in range(3):
        key = torch.tensor([step, 1, step])
        for bank in banks:
            bank.update(key, draw(3, seed=step), seen(3))
    other = PrototypeBank(KEYS, SLOTS, DIM)
    other.load_state_dict(banks[0].state_dict())
    for bank in (banks[1], other):
        bank.update(torch.tensor([1]), draw(1, seed=9), seen(1))
    assert torch.equal(other.content, banks[1].content)
    assert torch.equal(other.count, banks[1].count)


def test_unit_vectors_stay_unit_vectors() -> None:
    bank = PrototypeBank(KEYS, SLOTS, DIM, momentum=0.8, unit_length=True)
    for seed in (1, 2):
        bank.update(torch.tensor([0]), 5 * draw(1, seed), seen(1))
    first, second = (torch.nn.functional.normalize(draw(1, seed)[0], dim=-1) for seed in (1, 2))
    expected = torch.nn.functional.normalize(0.8 * first + 0.2 * second, dim=-1)
    torch.testing.assert_close(bank.content[0], expected)
    torch.testing.assert_close(bank(torch.tensor([0]))[0].norm(dim=-1), torch.ones(1, SLOTS))


def test_learned_entries_take_gradients_and_frozen_ones_nothing() -> None:
    learned = PrototypeBank(KEYS, SLOTS, DIM, mode="learned")
    frozen = PrototypeBank(KEYS, SLOTS, DIM, mode="frozen")
    learned(torch.tensor([2]))[0].sum().backward()
    assert learned.content.grad is not None
    assert learned.content.grad[2].abs().sum() > 0
    assert not list(frozen.parameters())
    for bank in (learned, frozen):
        before = bank.content.detach().clone()
        bank.update(torch.tensor([2]), draw(1), seen(1))
        assert torch.equal(bank.content, before)
        assert bank.count[2].tolist() == [1, 1]
        assert bank(torch.tensor([0]))[1].all()


def test_a_blended_bank_moves_from_its_random_start() -> None:
    bank = PrototypeBank(KEYS, SLOTS, DIM, momentum=0.9, first="blend")
    start = bank.content[1].clone()
    bank.update(torch.tensor([1]), draw(1), seen(1))
    torch.testing.assert_close(bank.content[1], 0.9 * start + 0.1 * draw(1)[0])


def test_a_tally_passes_no_gradient() -> None:
    bank = PrototypeBank(KEYS, SLOTS, DIM)
    value = draw(1).requires_grad_()
    assert not bank.tally(torch.tensor([0]), value, seen(1)).total.requires_grad


@pytest.mark.parametrize(("keys", "momentum"), [(0, 0.9), (3, 1.5)])
def test_settings_are_checked(keys: int, momentum: float) -> None:
    with pytest.raises(ConfigError, match="a bank needs"):
        PrototypeBank(keys, SLOTS, DIM, momentum=momentum)
