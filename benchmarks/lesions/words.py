"""The words of the page, section by section, and the commands that measure what it shows."""

from __future__ import annotations

from typing import Final

PROGRAM: Final = "python -m benchmarks.lesions"
NOT_YET: Final = "Not measured yet."

HEAD: Final = f"""# Lesions: TP-Seg, measured here

Written by `{PROGRAM} page --results results`; every part names the command that measures it.
What has no figure says so.

- **Dice** (`dice_image_mean`): the mean over images of each image's own.
- **mIoU** (`miou_fg_bg_dataset`): one count of pixels over all images of a task, the mean of lesion
  and background. This is the definition that fits the published table, where it is often above
  Dice: the background lifts it. It is no measure of the lesion alone.
- **IoU** (`iou_image_mean`): the lesion's own, the mean over images.

All are of images that show the task, on the store's grid. Means are over tasks, lesions only;
brackets are 95 % bootstrap intervals over patients within each task. Many tasks have fewer than ten
test images, so their intervals are wide, and each method was trained once: what another seed would
give is not in the intervals. No trunk is pretrained: it learns with all else first, then is frozen
while the adapters learn (TP-Seg's two phases), so nothing here says what a trunk of SAM 2 would
give."""

CLAIMS: Final = """## Claims

What the paper claims, or its ablations are about. A difference in Dice holds or fails where its
interval leaves out zero. The paper compares models that were trained to the end; here it is some
minutes on a few hundred images, and a model for each task had its part of these minutes alone.
Cosines of gradients have no interval."""

TASKS: Final = """## Tasks

Images that show the task, and in brackets the patients they are of. Optic disc, liver and kidney
are no lesions: they are there for the test with wrong tasks, and count in no mean."""
TASKS_COMMAND: Final = f"{PROGRAM} tasks --store store --out results"

CHECKPOINT: Final = """## The checkpoint

All tasks in one model; the weights with the best Dice on `val`."""
CHECKPOINT_COMMAND: Final = f"""\
medprism train tpseg-compact --store store --out runs/lesions --minutes 60 --threads 1 \\
  --tasks "$({PROGRAM} tasks --names)"
{PROGRAM} measure --store store --out results --checkpoint runs/lesions/best.safetensors"""

RIVALS: Final = """## Other ways, at equal minutes

Each method learns for the same minutes from the same batches, with the same loss; its last averaged
weights are measured. A method with a model for each task divides the minutes among the tasks.
Whatever has one model gets the task in the same way: as a number."""
RIVALS_COMMAND: Final = f"""\
{PROGRAM} train METHOD --store store --out results --minutes 10 --threads 1
{PROGRAM} measure --store store --out results"""

ABLATIONS: Final = """## Adapters and prototypes, at equal steps

The same steps and the same batches for each."""
ABLATIONS_COMMAND: Final = f"""\
{PROGRAM} train METHOD --store store --out results --steps 600 --threads 1
{PROGRAM} measure --store store --out results"""

EXTERNAL: Final = """## External sets

The same structures from other sources, never trained on, never used to choose. Measured by the same
command as the test images."""

WRONG: Final = """## A wrong task on the same images

The answer to one task beside the truth of the other, on `test` images that show both; Dice is to
be under {limit:.2f}. An empty answer passes, so its Dice beside its own truth stands there too.
Measured by the same command as the test images."""

GRADIENTS: Final = """## Interference of gradients

Cosine between the gradients of two tasks in the weights that all tasks share, at the end of
training; *within* is one task with itself on other images, as alike as gradients of so few images
can be. *Against*: the share of pairs of tasks below zero."""
GRADIENTS_COMMAND: Final = f"{PROGRAM} gradients --store store --out results"

COST: Final = """## Cost

One image at the canvas of the preset, in float32. The maps of TP-Seg depend on the task, so that
all tasks of an image cost a pass each."""
COST_COMMAND: Final = f"{PROGRAM} cost --out results --threads 1"

PROTOTYPES: Final = """## Prototypes as queries of K-Prism

TP-Seg's own prototypes lie in TP-Seg's maps. Nothing trained leads from there into K-Prism's
queries, so to hand them over would measure noise. The idea can be tried without training: K-Prism
pools the queries of a reference under its mask, and those of a task's training images, averaged
once, are prototypes of the task. They are given beside the class or in its place, without the
maps that references bring. The weights never met this in training."""
PROTOTYPES_COMMAND: Final = f"{PROGRAM} prototypes --store store --out results"
