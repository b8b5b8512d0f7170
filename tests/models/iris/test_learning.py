"""What a few seconds of training teach: the reference decides what is segmented."""

from __future__ import annotations

import torch

from medprism.core.randomness import counter_rng
from medprism.models.iris.embedding import ensemble, stack_classes
from medprism.models.iris.retrieval import choose_by_object

from .taught import dice, draw_boxes, teach


def test_the_loss_falls_and_an_unseen_reference_is_followed() -> None:
    model, losses = teach()
    assert sum(losses[-10:]) < 0.1 * sum(losses[:10])
    rng = counter_rng(2, "unseen")
    (image, masks), (reference, shown) = draw_boxes(rng), draw_boxes(rng)
    with torch.no_grad():
        right = model(image, reference, shown)[0] > 0
        turned = model(image, reference, shown.flip(1))[0] > 0
    assert dice(right, masks) > 0.9
    # Shown in the other order, the boxes come out in the other order.
    assert dice(turned, masks) < 0.1
    assert dice(turned, masks.flip(1)) > 0.9


def test_a_class_is_found_alone_twice_and_beside_an_absent_one() -> None:
    model, _ = teach()
    rng = counter_rng(3, "stack")
    (image, masks), (reference, shown) = draw_boxes(rng, 3), draw_boxes(rng, 1)
    with torch.no_grad():
        tasks = model.encode_references(reference, shown)
        for index in (0, 1):
            one = tasks.select_classes(torch.tensor([index]))
            alone = model.segment(image, one) > 0
            assert dice(alone, masks[:, index : index + 1]) > 0.8
            twice = model.segment(image, stack_classes([one, tasks, one]).pad_classes(6)) > 0
            assert dice(twice[:, :1], masks[:, index : index + 1]) > 0.8
            assert torch.equal(twice[:, 0], twice[:, 3])
            assert not twice[:, 4:].any()


def test_the_ensemble_the_bank_and_retrieval_serve_what_one_reference_does() -> None:
    model, _ = teach()
    rng = counter_rng(4, "strategies")
    (image, masks), (references, shown) = draw_boxes(rng, 1), draw_boxes(rng, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        pool = model.encode_references(references, shown)
        assert dice(model.segment(image, ensemble(pool)) > 0, masks) > 0.9
        features = model.encode(image)
        start = pool.select(torch.tensor([3]))
        chosen = choose_by_object(model, features, pool, start, keep=2)
        assert dice(model.decode(features, chosen) > 0, masks) > 0.9
        concept = torch.tensor([2, 0]).expand(5, -1)
        model.remember(concept, pool)
        known = model.recall(concept[:1])
        assert dice(model.segment(image, known) > 0, masks) > 0.9
    model.load_state_dict(before)
