"""Iris: references are encoded once into tokens, and all their classes decoded in one pass."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medprism.core.errors import GeometryError, LabelError
from medprism.models.blocks.grid import crop_to, pad_to_multiple, size_of
from medprism.models.blocks.prototypes import BankTally, PrototypeBank
from medprism.models.blocks.unet import UNetEncoder
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.decoder import MaskDecoder
from medprism.models.iris.embedding import TaskEmbeddings, stack_classes
from medprism.models.iris.task_encoder import TaskEncoder
from medprism.models.segmenter import Accepts, Features

Images = Float[Tensor, "images channels ..."]
Masks = Float[Tensor, "images classes ..."]
Logits = Float[Tensor, "images classes ..."]


class Iris(nn.Module):
    """Encode images once, references once, and decode K classes in one forward.

    The same code takes slices and volumes (`config.body.ndim`). Rows of a batch do not influence
    one another. Encode and decode are pure: `remember` alone changes the bank of seen classes.
    """

    accepts = Accepts(classes=True, references=True, clicks=False)

    def __init__(self, config: IrisConfig) -> None:
        super().__init__()
        self.config = config
        body, task = config.body, config.task
        self.encoder = UNetEncoder(body)
        self.task_encoder = TaskEncoder(task, body.widths[config.task_level], body.ndim)
        self.decoder = MaskDecoder(config)
        self.bank = PrototypeBank(
            config.num_concepts, task.tokens, task.dim, momentum=config.bank_momentum
        )

    @property
    def spatial_dims(self) -> int:
        """2 for slices, 3 for volumes."""
        return self.config.body.ndim

    def encode(self, image: Images) -> Features:
        """Encode standardised images whose sides are multiples of `config.body.multiple`.

        Raises:
            GeometryError: another number of axes or channels, a side that is not a multiple, or an
                image so small that its deepest map is one position, which normalisation erases.
        """
        self._check_image(image)
        return Features(self.encoder(image))

    def _check_image(self, image: Images) -> None:
        body, size = self.config.body, size_of(image)
        if len(size) != body.ndim or image.shape[1] != body.channels:
            raise GeometryError(
                f"this model takes {body.channels} channels on {body.ndim} axes, got an image of "
                f"{image.shape[1]} channels of size {size}"
            )
        if any(side % body.multiple or not side for side in size):
            raise GeometryError(
                f"sides must be multiples of {body.multiple}, got {size}; pad the image "
                "(`Iris.segment` does)"
            )
        if body.norm == "instance" and all(side == body.multiple for side in size):
            raise GeometryError(
                f"an image of {size} is too small for this model; one side must be at least "
                f"{2 * body.multiple}"
            )

    def encode_tasks(
        self,
        features: Features,
        masks: Masks,
        valid: Bool[Tensor, "images classes"] | None = None,
        *,
        at_once: int | None = None,
    ) -> TaskEmbeddings:
        """Encode what the masks show on encoded reference images; one row a reference.

        Masks are coverage in 0..1 at the size of the images; `valid` is False for padding. A class
        whose mask is empty comes back absent. Classes do not influence one another here: `at_once`
        of them at a time bound the memory and change nothing else.

        Raises:
            GeometryError: images and masks do not lie on the same grid.
        """
        _check_pair(features.maps[0], masks)
        return self._encode_tasks(features.maps[self.config.task_level], masks, valid, at_once)

    def _encode_tasks(
        self,
        features: Images,
        masks: Masks,
        valid: Bool[Tensor, "images classes"] | None,
        at_once: int | None,
    ) -> TaskEmbeddings:
        classes = masks.shape[1]
        step = classes if at_once is None else max(1, at_once)
        parts: list[TaskEmbeddings] = []
        for start in range(0, classes, step):
            some = slice(start, start + step)
            part = self.task_encoder(
                features, masks[:, some], None if valid is None else valid[:, some]
            )
            parts.append(part)
        return parts[0] if len(parts) == 1 else stack_classes(parts)

    def encode_references(
        self,
        image: Images,
        masks: Masks,
        valid: Bool[Tensor, "images classes"] | None = None,
        *,
        at_once: int | None = None,
    ) -> TaskEmbeddings:
        """Encode references of any size, one row each; sides are padded to multiples.

        Maps below the one that the task encoder sees are not computed. See `encode_tasks`.

        Raises:
            GeometryError: images and masks do not lie on the same grid.
        """
        _check_pair(image, masks)
        multiple = self.config.body.multiple
        padded = pad_to_multiple(image, multiple, "edge")
        self._check_image(padded)
        maps = self.encoder(padded, self.config.task_level + 1)
        wide = pad_to_multiple(masks, multiple, "zero")
        return self._encode_tasks(maps[-1], wide, valid, at_once)

    def decode(self, features: Features, tasks: TaskEmbeddings) -> Logits:
        """Segment; the i-th row of `tasks` is asked of the i-th image. All classes at once.

        Raises:
            GeometryError: tasks and images differ in number, or the tasks are of another model.
        """
        config = self.config.task
        if tasks.num_rows != len(features.maps[0]):
            raise GeometryError(
                f"{tasks.num_rows} rows of tasks for {len(features.maps[0])} images; repeat or "
                "select rows"
            )
        if tuple(tasks.tokens.shape[2:]) != (config.tokens, config.dim):
            raise GeometryError(
                f"task embeddings of {tuple(tasks.tokens.shape[2:])} are of another model; this "
                f"one has {config.tokens} tokens of {config.dim}"
            )
        logits: Tensor = self.decoder(features, tasks)
        return logits

    def segment(self, image: Images, tasks: TaskEmbeddings) -> Logits:
        """Encode images of any size and decode: one row of tasks an image, or one for all."""
        padded = pad_to_multiple(image, self.config.body.multiple, "edge")
        if tasks.num_rows == 1 and len(image) > 1:
            tasks = tasks.repeat(len(image))
        return crop_to(self.decode(self.encode(padded), tasks), size_of(image))

    def forward(
        self,
        image: Images,
        reference_image: Images,
        reference_masks: Masks,
        valid: Bool[Tensor, "images classes"] | None = None,
    ) -> tuple[Logits, TaskEmbeddings]:
        """Segment each image by its reference: one episode of training [Iris, Alg. 1].

        Return the logits and the embeddings, which `remember` may take in afterwards.
        """
        tasks = self.encode_references(reference_image, reference_masks, valid)
        return self.decode(self.encode(image), tasks), tasks

    def describe_image(self, features: Features) -> Float[Tensor, "images dim"]:
        """Return one unit vector an image, for retrieval by image: the mean of the deepest map."""
        return F.normalize(features.maps[-1].flatten(2).mean(-1), dim=-1)

    def recall(self, concept: Int64[Tensor, "rows classes"]) -> TaskEmbeddings:
        """Look up the embeddings of seen classes; one that was never seen is absent.

        Raises:
            LabelError: a row that the bank does not have.
        """
        self._check_concepts(concept)
        tokens, filled = self.bank(concept)
        present = filled.all(-1)
        return TaskEmbeddings(tokens * present[..., None, None].to(tokens.dtype), present)

    def remember(self, concept: Int64[Tensor, "rows classes"], tasks: TaskEmbeddings) -> None:
        """Move the entries of the classes that the rows show towards their embeddings.

        The entry of a class takes one step towards the mean over the rows that show it; the first
        time it is copied [Iris, Sec. 3].

        Raises:
            LabelError: a row that the bank does not have.
        """
        self.bank.take_in(self.tally(concept, tasks))

    def tally(self, concept: Int64[Tensor, "rows classes"], tasks: TaskEmbeddings) -> BankTally:
        """Add up what the rows say about the entries of their classes, for `bank.take_in`.

        Raises:
            LabelError: a row that the bank does not have.
        """
        self._check_concepts(concept)
        present = tasks.present.reshape(-1, 1).expand(-1, tasks.tokens.shape[2])
        return self.bank.tally(concept.reshape(-1), tasks.tokens.flatten(0, 1), present)

    def _check_concepts(self, concept: Int64[Tensor, "rows classes"]) -> None:
        rows = self.config.num_concepts
        if concept.numel() and not (int(concept.min()) >= 0 and int(concept.max()) < rows):
            raise LabelError(
                f"classes {sorted(set(concept.flatten().tolist()))} do not all lie in the bank of "
                f"{rows} rows; choose 0 to {rows - 1}"
            )


def _check_pair(image: Images, masks: Masks) -> None:
    if size_of(image) != size_of(masks) or len(image) != len(masks):
        raise GeometryError(
            f"{len(masks)} masks of {size_of(masks)} do not fit {len(image)} images of "
            f"{size_of(image)}; bring both onto one grid"
        )
