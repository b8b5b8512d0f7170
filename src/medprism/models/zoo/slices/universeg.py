"""UniverSeg's mechanism as a rival: the references, crossed with the query, say what is meant."""

from __future__ import annotations

from medprism.models.zoo.slices.pixels import PixelRival


class UniverSegRival(PixelRival):
    """A UNet of cross blocks, one class a pass [UniverSeg]; see `zoo.universeg` for its own size.

    It differs from the publication in colour (three channels), in the width (48 channels in
    place of 64 at the compact size) and in that the last block, as nobody reads it, makes nothing
    of the references.
    """
