import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import ConfigError
from medprism.data.episode import NO_CONCEPT, Episode, EpisodeConfig, EpisodeSampler
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from medprism.data.view import ViewConfig
from medprism.data.vocabulary import training_concepts
from tests.data.phantoms import real_folder, write_dataset

TABLE = ConceptTable(
    (
        Concept("comma", (), {"grey": (1, 2), "colour": (1, 2)}),
        Concept("small comma", (), {"grey": (2,)}),
        Concept("big comma", (), {"grey": (1,), "colour": (1,)}),
    )
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    root = tmp_path_factory.mktemp("episodes")
    write_dataset(root / "grey", num_patients=5, slices=3)
    write_dataset(root / "colour", num_patients=3, slices=2, channels=3, shape=(50, 70))
    write_dataset(root / "far", num_patients=2, slices=2, role="external")
    prepare([root / name for name in ("grey", "colour", "far")], root / "store")
    return SliceStore.open(root / "store")


@pytest.fixture(scope="module")
def sampler(store: SliceStore) -> EpisodeSampler:
    return EpisodeSampler(store, TABLE, config=EpisodeConfig(size=64, num_requests=7))


def _bytes(episode: Episode) -> list[bytes]:
    return [b"" if value is None else value.tobytes() for value in vars(episode).values()]


def test_shapes_are_those_that_were_asked_for(sampler: EpisodeSampler) -> None:
    episode = sampler.draw(0, 0, needs_reference=False)
    assert episode.targets.shape == (7, 64, 64)
    assert episode.reference_images is None
    assert episode.images.shape == (int(episode.image_index.max()) + 1, 64, 64, 3)
    other = sampler.draw(0, 0, True, 5, 32, 0.5)
    assert other.targets.shape == (5, 32, 32)
    assert other.reference_images is not None
    assert other.reference_images.shape == (5, 1, 32, 32, 3)


def test_the_same_step_gives_the_same_bytes_whatever_came_before(store: SliceStore) -> None:
    config = EpisodeConfig(size=32, num_requests=6, synthetic=0.3, task_change=0.5)
    first = EpisodeSampler(store, TABLE, config=config)
    expected = _bytes(first.draw(5, 17, True, self_reference=0.3))
    second = EpisodeSampler(store, TABLE, config=config)
    for step in range(4):
        second.draw(5, step, False, allows_absent=True)
    assert _bytes(second.draw(5, 17, True, self_reference=0.3)) == expected
    assert _bytes(second.draw(5, 18, True, self_reference=0.3)) != expected
    assert _bytes(second.draw(6, 17, True, self_reference=0.3)) != expected


def test_a_background_thread_gives_the_same_bytes(sampler: EpisodeSampler) -> None:
    expected = {step: _bytes(sampler.draw(1, step, True)) for step in range(6)}
    found: dict[int, list[bytes]] = {}

    def work(steps: range) -> None:
        for step in steps:
            found[step] = _bytes(sampler.draw(1, step, True))

    threads = [threading.Thread(target=work, args=(range(k, 6, 2),)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_every_training_row_is_reached_and_no_other(
    sampler: EpisodeSampler, store: SliceStore
) -> None:
    drawn = {int(row) for step in range(150) for row in sampler.draw(2, step, False).row}
    trained = {n for n, row in enumerate(store.rows) if (row.split, row.role) == ("train", "train")}
    assert drawn == trained


def test_a_row_without_any_label_is_reached_by_absent_requests(tmp_path: Path) -> None:
    write_dataset(tmp_path / "grey", num_patients=3)
    path = tmp_path / "grey" / "masks" / "p1_z004.png"
    empty = np.zeros((60, 44), np.uint8)
    assert cv2.imwrite(str(path), empty)
    prepare([tmp_path / "grey"], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    sampler = EpisodeSampler(store, TABLE, config=EpisodeConfig(size=32, absent=0.3))
    drawn = {
        int(row) for s in range(30) for row in sampler.draw(0, s, False, allows_absent=True).row
    }
    assert [r.case_id for n, r in enumerate(store.rows) if n in drawn and not r.areas] == [
        "p1_z004"
    ]


def test_requests_on_one_image_ask_for_different_concepts_that_it_shows(
    sampler: EpisodeSampler, store: SliceStore
) -> None:
    shared = 0
    for step in range(60):
        episode = sampler.draw(3, step, False)
        assert not episode.is_absent.any()
        for image in range(len(episode.images)):
            mine = np.flatnonzero(episode.image_index == image)
            assert 1 <= mine.size <= 2
            assert np.unique(episode.concept[mine]).size == mine.size
            assert np.unique(episode.row[mine]).size == 1
            shared += mine.size == 2
        for number in range(7):
            row = store.rows[int(episode.row[number])]
            ids = TABLE[int(episode.concept[number])].label_ids[row.dataset]
            assert set(ids) & set(row.areas)
            assert episode.targets[number].sum() >= 12 * 255
    assert shared > 60


def test_targets_lie_on_what_is_bright(store: SliceStore) -> None:
    config = EpisodeConfig(size=64, view=ViewConfig(zoom=0.0))
    sampler = EpisodeSampler(
        store, ConceptTable((Concept("b", (), {"grey": (1,)}),)), config=config
    )
    contrasts = []
    for step in range(10):
        episode = sampler.draw(4, step, False, 4)
        for number in range(4):
            image = episode.images[episode.image_index[number]].astype(float)[..., 0]
            inside = episode.targets[number] == 255
            outside = (episode.targets[number] == 0) & (image > 0)
            contrasts.append(image[inside].mean() - image[outside].mean())
    # The phantom is 90 brighter inside; inversion (5 %) turns the sign.
    assert np.mean(np.array(contrasts) > 20) > 0.85


def test_absent_requests_are_empty_and_truly_absent(store: SliceStore) -> None:
    config = EpisodeConfig(size=32, num_requests=8, absent=0.4)
    sampler = EpisodeSampler(store, TABLE, config=config)
    count = 0
    for step in range(40):
        episode = sampler.draw(0, step, False, allows_absent=True)
        for number in np.flatnonzero(episode.is_absent):
            row = store.rows[int(episode.row[number])]
            ids = TABLE[int(episode.concept[number])].label_ids[row.dataset]
            assert not set(ids) & set(row.areas)
            assert not episode.targets[number].any()
            count += 1
        assert not sampler.draw(0, step, False).is_absent.any()
    assert 60 < count < 200


def test_references_show_the_concept_on_another_patient(
    sampler: EpisodeSampler, store: SliceStore
) -> None:
    for step in range(40):
        episode = sampler.draw(0, step, True)
        assert episode.reference_rows is not None
        assert episode.reference_masks is not None
        assert (episode.reference_masks.reshape(7, -1).sum(1) >= 12 * 255).all()
        for number in range(7):
            row = store.rows[int(episode.row[number])]
            reference = store.rows[int(episode.reference_rows[number, 0])]
            assert reference.dataset == row.dataset
            assert reference.patient != row.patient
            assert (reference.split, reference.role) == ("train", "train")
            ids = TABLE[int(episode.concept[number])].label_ids[row.dataset]
            assert set(ids) & set(reference.areas)


def test_self_references_are_the_query_seen_anew(sampler: EpisodeSampler) -> None:
    always = sampler.draw(0, 0, True, self_reference=1.0)
    assert always.reference_rows is not None
    assert always.reference_images is not None
    np.testing.assert_array_equal(always.reference_rows[:, 0], always.row)
    for number in range(7):
        query = always.images[always.image_index[number]]
        assert (always.reference_images[number, 0] != query).any()
    half = [sampler.draw(0, step, True, self_reference=0.5) for step in range(40)]
    share = np.mean([e.reference_rows[:, 0] == e.row for e in half])  # type: ignore[index]
    assert 0.4 < share < 0.6


def test_several_references_are_different_rows(store: SliceStore) -> None:
    config = EpisodeConfig(size=32, num_requests=4, num_references=3)
    episode = EpisodeSampler(store, TABLE, config=config).draw(0, 1, True)
    assert episode.reference_rows is not None
    for number in range(4):
        chosen = episode.reference_rows[number]
        dataset = store.rows[int(chosen[0])].dataset
        # Only one other patient with two slices is there in the colour set.
        assert np.unique(chosen).size == (3 if dataset == "grey" else 2)


def test_partial_labels_are_asked_for_but_never_as_absent(store: SliceStore) -> None:
    table = ConceptTable((Concept("small", (), {}), Concept("big", (), {"grey": (1,)})))
    config = EpisodeConfig(size=32, num_requests=8, absent=0.5)
    sampler = EpisodeSampler(store, table, config=config, partial={"small": {"grey": (2,)}})
    episodes = [sampler.draw(0, step, False, allows_absent=True) for step in range(20)]
    concepts = np.concatenate([episode.concept for episode in episodes])
    absent = np.concatenate([episode.is_absent for episode in episodes])
    assert (concepts == 0).sum() > 20
    assert not absent.any()


def test_synthetic_targets_have_no_concept_and_their_own_references(store: SliceStore) -> None:
    config = EpisodeConfig(size=64, num_requests=6, synthetic=1.0)
    sampler = EpisodeSampler(store, TABLE, config=config)
    episode = sampler.draw(0, 3, True)
    assert (episode.concept == NO_CONCEPT).all()
    assert episode.reference_masks is not None
    np.testing.assert_array_equal(episode.reference_rows[:, 0], episode.row)  # type: ignore[index]
    assert (episode.targets.reshape(6, -1).sum(1) >= 12 * 255).all()
    assert (episode.reference_masks.reshape(6, -1).sum(1) > 0).all()
    semantic = sampler.draw(0, 3, False, allows_absent=True)
    assert (semantic.concept >= 0).all()


def test_a_task_change_is_shared_by_query_and_references(store: SliceStore) -> None:
    table = ConceptTable((Concept("big comma", (), {"grey": (1,)}),))
    signs = []
    for step in range(25):
        config = EpisodeConfig(size=64, num_requests=4, task_change=1.0)
        episode = EpisodeSampler(store, table, config=config).draw(0, step, True)
        assert episode.reference_images is not None
        assert episode.reference_masks is not None
        for number in range(4):
            query = episode.images[episode.image_index[number]]
            signs.append(
                (
                    _contrast(query, episode.targets[number]) > 0,
                    _contrast(
                        episode.reference_images[number, 0], episode.reference_masks[number, 0]
                    )
                    > 0,
                )
            )
    agree = np.mean([query == reference for query, reference in signs])
    inverted = np.mean([not query for query, _ in signs])
    assert agree > 0.8
    assert 0.2 < inverted < 0.65


def _contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Return how much brighter the inside is than a ring around it."""
    values = image[..., 0].astype(float)
    ring = ndimage.binary_dilation(mask > 0, iterations=5) & (mask == 0)
    return float(values[mask > 200].mean() - values[ring].mean())


@pytest.mark.parametrize(
    "change",
    [
        {"num_requests": 0},
        {"requests_per_image": 0},
        {"num_references": 0},
        {"size": 100},
        {"absent": 1.5},
        {"dataset_first": -0.1},
        {"synthetic": 2.0},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        EpisodeConfig(**change)  # type: ignore[arg-type]


def test_draws_that_make_no_sense_are_refused(sampler: EpisodeSampler) -> None:
    with pytest.raises(ConfigError, match="cannot be absent"):
        sampler.draw(0, 0, True, allows_absent=True)
    with pytest.raises(ConfigError, match="canvas side 50"):
        sampler.draw(0, 0, False, size=50)
    with pytest.raises(ConfigError, match="at least one"):
        sampler.draw(0, 0, False, num_requests=0)
    with pytest.raises(ConfigError, match="self_reference"):
        sampler.draw(0, 0, True, self_reference=1.5)


@pytest.mark.parametrize("needs_reference", [True, False])
def test_a_share_reads_its_own_pictures_only(
    store: SliceStore, monkeypatch: pytest.MonkeyPatch, needs_reference: bool
) -> None:
    config = EpisodeConfig(size=32, num_requests=9, task_change=0.5)
    sampler = EpisodeSampler(store, TABLE, config=config)
    whole = sampler.draw(4, 2, needs_reference)
    read: list[int] = []
    image = store.image

    def note(row: int) -> np.ndarray:
        read.append(row)
        return image(row)

    monkeypatch.setattr(store, "image", note)
    for rank in range(3):
        read.clear()
        part = sampler.draw(4, 2, needs_reference, share=(rank, 3))
        mine = np.arange(len(whole.images)) % 3 == rank
        asked = mine[whole.image_index]
        allowed = set(whole.row[asked].tolist())
        assert np.array_equal(part.images[mine], whole.images[mine])
        assert not part.images[~mine].any()
        for name in ("image_index", "concept", "targets", "is_absent", "row"):
            assert np.array_equal(getattr(part, name), getattr(whole, name))
        if needs_reference:
            assert whole.reference_rows is not None and part.reference_images is not None
            assert whole.reference_images is not None and part.reference_masks is not None
            assert np.array_equal(part.reference_images[asked], whole.reference_images[asked])
            assert not part.reference_images[~asked].any()
            assert not part.reference_masks[~asked].any()
            allowed |= set(whole.reference_rows[asked].flatten().tolist())
        assert read and set(read) <= allowed
    with pytest.raises(ConfigError, match="share 3 of 3 does not exist"):
        sampler.draw(4, 2, needs_reference, share=(3, 3))


@pytest.mark.realdata
def test_real_sets_give_episodes_of_merged_concepts(tmp_path: Path) -> None:
    folders = [real_folder(slug) for slug in ("msd_hippocampus_mri", "mt_pardoe_hippo_mri")]
    prepare(folders, tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    table = training_concepts()
    sampler = EpisodeSampler(store, table, config=EpisodeConfig(size=64))
    hippocampus = table.row("hippocampus")
    found = set()
    for step in range(12):
        episode = sampler.draw(0, step, True)
        for number in np.flatnonzero(episode.concept == hippocampus):
            found.add(store.rows[int(episode.row[number])].dataset)
    assert found == {"msd_hippocampus_mri", "mt_pardoe_hippo_mri"}
