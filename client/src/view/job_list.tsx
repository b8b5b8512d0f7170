/** Long work: how far it is, and how to stop it. */

import { hasEnded, type State } from "../model/state";
import { addresses } from "../server/routes";
import type { Job, JobKind } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { Dialog } from "./dialog";

export const KINDS: Readonly<Record<JobKind, string>> = {
  presegment: "Pre-segment images",
  score: "Score references",
  export: "Export",
  propagate: "Propagate",
  predict: "Segment all slices",
  training: "Train a class",
};

const STATES: Readonly<Record<Job["state"], string>> = {
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Stopped",
};

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function JobDialog({ bench, state }: Props) {
  return (
    <Dialog title="Jobs" onClose={() => bench.setDialog(null)}>
      {state.jobs.length === 0 ? (
        <p class="quiet">
          Long work shows its progress here: pre-segmentation, training, export, propagation.
        </p>
      ) : (
        <ul class="jobs" aria-label="Jobs">
          {state.jobs.slice(0, 12).map((job) => (
            <li key={job.id}>
              <JobLine bench={bench} job={job} />
            </li>
          ))}
        </ul>
      )}
      <footer>
        <button
          type="button"
          class="button"
          onClick={() => bench.do(() => bench.jobs.presegment())}
        >
          Pre-segment all new images
        </button>
      </footer>
    </Dialog>
  );
}

export function JobLine({ bench, job }: { readonly bench: Workbench; readonly job: Job }) {
  const part = job.total > 0 ? job.done / job.total : job.state === "done" ? 1 : 0;
  const percent = Math.round(100 * part);
  const count = job.total > 0 ? ` ${job.done} of ${job.total}` : "";
  const name = KINDS[job.kind];
  return (
    <div class={`job job-${job.state}`}>
      <div class="row">
        <b>{name}</b>
        <span class="quiet">{STATES[job.state] + count}</span>
        <span class="grow" />
        {hasEnded(job) ? null : (
          <button type="button" class="link" onClick={() => bench.do(() => bench.jobs.cancel(job))}>
            Stop
          </button>
        )}
        {job.state === "cancelled" || job.state === "failed" ? (
          <button type="button" class="link" onClick={() => bench.do(() => bench.jobs.resume(job))}>
            Go on
          </button>
        ) : null}
        {job.has_file && job.state === "done" ? (
          <a class="link" href={addresses.jobFile(job.id)} download>
            Save
          </a>
        ) : null}
      </div>
      <div
        class="progress"
        role="progressbar"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
      >
        <span style={{ width: `${percent}%` }} />
      </div>
      {job.message ? <p class="quiet job-message">{job.message}</p> : null}
    </div>
  );
}
