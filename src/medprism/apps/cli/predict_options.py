"""The options of `medprism predict`: their types and what its help says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Image = Annotated[
    str,
    typer.Argument(metavar="IMAGE", help="An image, a folder of them, or dicomweb://HOST/..."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Mask file; a folder for a folder.")]
To = Annotated[str | None, typer.Option(help="PACS for the mask: dicomweb://HOST/")]
Classes = Annotated[str, typer.Option(help="Classes the model knows: polyp,liver.")]
References = Annotated[
    Path | None, typer.Option(help="Folder of finished examples (images/ and masks/).")
]
Label = Annotated[str | None, typer.Option(help="What references, clicks and boxes are about.")]
Click = Annotated[
    list[str] | None, typer.Option(help="A click row,col,+ or slice,row,col,- (repeatable).")
]
ClickMm = Annotated[
    list[str] | None, typer.Option(help="A click x,y,z,+ in millimetres, RAS+ (repeatable).")
]
Box = Annotated[
    list[str] | None, typer.Option(help="A box top,left,bottom,right (slice in front).")
]
Task = Annotated[str | None, typer.Option(help="Task of TP-Seg; a .task file of Iris.")]
Strategy = Annotated[
    str, typer.Option(help="References of Iris: one-shot, ensemble, images or objects.")
]
Keep = Annotated[int, typer.Option(help="References that images and objects take.")]
Resample = Annotated[
    bool, typer.Option("--resample", help="Resample reference masks onto their images.")
]
Model = Annotated[
    str | None,
    typer.Option(help="Preset, or path of a checkpoint (kprism-compact; iris-compact for .task)."),
]
Priority = Annotated[str, typer.Option(help="Labels that win where masks overlap.")]
Statistics = Annotated[Path | None, typer.Option(help="CSV of sizes and presence.")]
Probability = Annotated[Path | None, typer.Option(help="Probability map (.nii.gz).")]
Overlay = Annotated[Path | None, typer.Option(help="Picture of image and mask (.png).")]
MaskFormat = Annotated[
    str | None, typer.Option("--format", help="Format of the mask, if not by its suffix.")
]
Deidentify = Annotated[
    bool, typer.Option("--deidentify", help="Masks do not say who the image is of.")
]
Series = Annotated[str | None, typer.Option(help="Series of a DICOM folder, or a volume.")]
Level = Annotated[int | None, typer.Option(help="Level of a whole slide (from 0).")]
Tile = Annotated[int | None, typer.Option(help="Side of its tiles (1024), in pixels.")]
Engine = Annotated[str, typer.Option(help="Engine (medprism engines list).")]
Ray = Annotated[
    str | None, typer.Option(help="Ray cluster for a folder: HOST:PORT, or local (resumable).")
]
Workers = Annotated[int | None, typer.Option(help="Processes on the cluster (default: all CPUs).")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
