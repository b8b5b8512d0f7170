/** Accepted masks as files of other programs. */

import { useState } from "preact/hooks";
import type { State } from "../model/state";
import { addresses } from "../server/routes";
import type { Job } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { Dialog } from "./dialog";
import { JobLine } from "./job_list";

/** What the formats of the server are for; one that is not here is shown by its name alone. */
const FORMATS: Readonly<Record<string, readonly [string, string]>> = {
  png: ["PNG", "Pictures; one number a label"],
  "png-stack": ["PNG stack", "Volumes as a folder of pictures, one a slice"],
  tiff: ["TIFF", "Pictures and stacks; one number a label"],
  nifti: ["NIfTI", "Volumes for research tools; one number a label"],
  nrrd: ["NRRD", "Volumes for 3D Slicer and ITK"],
  mha: ["MetaImage", "Volumes for ITK and elastix"],
  "dicom-seg": ["DICOM-SEG", "For a PACS; overlapping labels are kept"],
  "dicom-labelmap": ["DICOM-SEG label map", "For a PACS; one number a label"],
  rtstruct: ["RTSTRUCT", "Contours for radiotherapy; overlapping labels are kept"],
  coco: ["COCO", "JSON for training detectors; overlapping labels are kept"],
};

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function ExportDialog({ bench, state }: Props) {
  const formats = state.project?.formats ?? [];
  const [format, setFormat] = useState(formats.includes("nifti") ? "nifti" : (formats[0] ?? ""));
  const [withLogs, setWithLogs] = useState(false);
  const [isNameless, setIsNameless] = useState(false);
  const accepted = state.project?.images.accepted ?? 0;
  const job = state.jobs.find(({ kind }) => kind === "export");
  return (
    <Dialog title="Export" onClose={() => bench.setDialog(null)}>
      <p class="quiet">
        {accepted === 0
          ? "Nothing is accepted yet. Accept a mask, then export it."
          : `Accepted masks of ${counted(accepted)}, each on its image's grid, in one ZIP.`}
      </p>
      <fieldset class="formats">
        <legend>Format</legend>
        {formats.map((name) => (
          <label key={name} class="format">
            <input
              type="radio"
              name="format"
              value={name}
              checked={format === name}
              onChange={() => setFormat(name)}
            />
            <span>
              <b>{FORMATS[name]?.[0] ?? name}</b>
              <span class="quiet">{FORMATS[name]?.[1] ?? ""}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label class="check">
        <input
          type="checkbox"
          checked={withLogs && !isNameless}
          disabled={isNameless}
          onChange={(event) => setWithLogs(event.currentTarget.checked)}
        />
        With the log of every prompt
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={isNameless}
          onChange={(event) => setIsNameless(event.currentTarget.checked)}
        />
        Without names of patients, files and people
      </label>
      <p class="quiet">
        {isNameless
          ? "Images have numbers alone; DICOM masks follow the basic confidentiality profile."
          : "Masks are named after their images, and DICOM masks name the patient."}{" "}
        What is written into the pixels or as the name of a label stays.
      </p>
      {job === undefined ? null : <JobLine bench={bench} job={job} />}
      <footer>
        {job !== undefined && isReady(job) ? (
          <a class="button" href={addresses.jobFile(job.id)} download>
            Save the last export
          </a>
        ) : null}
        <button
          type="button"
          class="button is-primary"
          disabled={accepted === 0 || format === "" || job?.state === "running"}
          onClick={() => bench.do(() => bench.jobs.export(format, withLogs, isNameless))}
        >
          Export
        </button>
      </footer>
    </Dialog>
  );
}

function counted(images: number): string {
  return `${images} ${images === 1 ? "image" : "images"}`;
}

function isReady({ state, has_file }: Job): boolean {
  return state === "done" && has_file;
}
