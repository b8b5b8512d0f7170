"""`medprism predict`: segment an image, or a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE", help="An image, a folder of them, or dicomweb://HOST/..."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Mask file; a folder for a folder.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="PACS for the mask: dicomweb://HOST/")] = None,
    classes: Annotated[str, typer.Option(help="Classes the model knows: polyp,liver.")] = "",
    references: Annotated[
        Path | None, typer.Option(help="Folder of finished examples (images/ and masks/).")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What references, clicks and boxes are about.")
    ] = None,
    click: Annotated[
        list[str] | None, typer.Option(help="A click row,col,+ or slice,row,col,- (repeatable).")
    ] = None,
    click_mm: Annotated[
        list[str] | None, typer.Option(help="A click x,y,z,+ in millimetres, RAS+ (repeatable).")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help="A box top,left,bottom,right (slice in front).")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task of TP-Seg; a .task file of Iris.")] = None,
    strategy: Annotated[
        str, typer.Option(help="References of Iris: one-shot, ensemble, images or objects.")
    ] = "ensemble",
    keep: Annotated[int, typer.Option(help="References that images and objects take.")] = 5,
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample reference masks onto their images.")
    ] = False,
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    priority: Annotated[str, typer.Option(help="Labels that win where masks overlap.")] = "",
    statistics: Annotated[Path | None, typer.Option(help="CSV of sizes and presence.")] = None,
    probability: Annotated[Path | None, typer.Option(help="Probability map (.nii.gz).")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Picture of image and mask (.png).")] = None,
    mask_format: Annotated[
        str | None, typer.Option("--format", help="Format of the mask, if not by its suffix.")
    ] = None,
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="Masks do not say who the image is of.")
    ] = False,
    series: Annotated[
        str | None, typer.Option(help="Series of a DICOM folder, or a volume.")
    ] = None,
    level: Annotated[int | None, typer.Option(help="Level of a whole slide (from 0).")] = None,
    tile: Annotated[int | None, typer.Option(help="Side of its tiles (1024), in pixels.")] = None,
    engine: Annotated[str, typer.Option(help="Engine (medprism engines list).")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Segment by class, by references and by clicks, in any combination."""
    from medprism.apps.cli.prediction import Wish, carry_out
    from medprism.apps.cli.volume_prediction import segment_volume, volume_wish, wants_iris

    wish = Wish(
        image=image,
        out=out,
        to=to,
        classes=classes,
        references=references,
        label=label,
        clicks=tuple(click or ()),
        clicks_mm=tuple(click_mm or ()),
        boxes=tuple(box or ()),
        resample=resample,
        model=model,
        priority=priority,
        statistics=statistics,
        probability=probability,
        overlay=overlay,
        format=mask_format,
        deidentify=deidentify,
        series=series,
        level=level,
        tile=tile,
        engine=engine,
        threads=threads,
        task=task,
    )
    if wants_iris(model, task):
        volume = volume_wish(wish, task, strategy, keep)
        raise typer.Exit(segment_volume(volume, as_json=as_json))
    raise typer.Exit(carry_out(wish, as_json=as_json))
