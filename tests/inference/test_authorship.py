from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom

from medprism.inference.session import Session
from medprism.io.reader import read_image
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene
from tests.io.phantoms import ct_slice


def test_dicom_files_say_which_weights_and_where_a_person_helped(tmp_path: Path) -> None:
    pixels = scene()[0].astype(np.uint16)
    ct_slice(pixels, (1.0, 2.0, 3.0)).save_as(tmp_path / "ct.dcm")
    model = fake_model()
    session = Session(model, auto_zoom=False)
    session.set_image(read_image(tmp_path / "ct.dcm"))
    session.predict(classes=["liver"])
    session.add_point_interaction((30, 40), include_interaction=True, label="cyst")
    given = np.zeros(pixels.shape, bool)
    given[3:9, 4:20] = True
    session.add_initial_seg_interaction(given, label="mine")
    session.write_mask(tmp_path / "m.dcm")
    session.write_mask(tmp_path / "m.rtstruct.dcm")
    segments = pydicom.dcmread(tmp_path / "m.dcm").SegmentSequence
    kinds = {one.SegmentLabel: one.SegmentAlgorithmType for one in segments}
    expected = {"liver": "AUTOMATIC", "cyst": "SEMIAUTOMATIC", "mine": "SEMIAUTOMATIC"}
    assert kinds == expected
    identified = segments[0].SegmentationAlgorithmIdentificationSequence[0]
    assert identified.AlgorithmName == f"medprism {model.name}"
    assert re.fullmatch(r"\d+\.\d+\.\d+ \(.{1,12}\)", identified.AlgorithmVersion)
    assert model.weights_hash[:12] in identified.AlgorithmVersion
    regions = pydicom.dcmread(tmp_path / "m.rtstruct.dcm").StructureSetROISequence
    assert {one.ROIName: one.ROIGenerationAlgorithm for one in regions} == expected
