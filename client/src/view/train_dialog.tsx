/** Learn a class from accepted masks, see what it brought, and choose among what was learned. */

import { useEffect, useState } from "preact/hooks";
import { hasEnded, type State } from "../model/state";
import type { Job, Label } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { CheckpointList } from "./checkpoint_list";
import { Dialog } from "./dialog";
import { JobLine } from "./job_list";

const LEAST_IMAGES = 2;
const MINUTES = { least: 0.5, usual: 2, most: 240 };

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function TrainDialog({ bench, state }: Props) {
  useEffect(() => bench.do(() => bench.jobs.refreshCheckpoints()), [bench]);
  const label = state.labels.find(({ name }) => name === state.active) ?? null;
  const job = state.jobs.find(({ kind }) => kind === "training");
  return (
    <Dialog title="Train a class" isWide onClose={() => bench.setDialog(null)}>
      <div class="training">
        <section class="stack" aria-labelledby="training-title">
          <h3 id="training-title">New training</h3>
          {label === null ? (
            <p class="quiet">Choose a label first, and accept masks of it.</p>
          ) : (
            <Order bench={bench} state={state} label={label} job={job} />
          )}
          {job === undefined ? null : <JobLine bench={bench} job={job} />}
        </section>
        <section class="stack" aria-labelledby="checkpoints-title">
          <h3 id="checkpoints-title">Checkpoints</h3>
          <CheckpointList bench={bench} state={state} />
        </section>
      </div>
    </Dialog>
  );
}

function Order(props: Props & { readonly label: Label; readonly job: Job | undefined }) {
  const { bench, state, label, job } = props;
  const [minutes, setMinutes] = useState(MINUTES.usual);
  const current = state.checkpoints.find(({ is_current }) => is_current)?.id ?? 0;
  const [begin, setBegin] = useState<number | null>(null);
  const needed = state.project?.limits.training_masks ?? 0;
  const isRunning = job !== undefined && !hasEnded(job);
  const isLong = minutes >= MINUTES.least && minutes <= MINUTES.most;
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        bench.do(() => bench.jobs.train(label.name, minutes, begin ?? current));
      }}
    >
      <p class="quiet">{needOf(label, needed)}</p>
      <div class="form">
        <label for="training-minutes">Minutes</label>
        <input
          id="training-minutes"
          type="number"
          min={MINUTES.least}
          max={MINUTES.most}
          step={0.5}
          value={minutes}
          onInput={(event) => setMinutes(event.currentTarget.valueAsNumber)}
        />
        <label for="training-begin">Begin with</label>
        <select
          id="training-begin"
          value={begin ?? current}
          onChange={(event) => setBegin(Number(event.currentTarget.value))}
        >
          {state.checkpoints
            .filter(({ is_missing }) => !is_missing)
            .map((one) => (
              <option key={one.id} value={one.id}>
                {one.is_base ? `Base model ${one.name}` : `${one.id}: ${one.label ?? one.name}`}
              </option>
            ))}
        </select>
      </div>
      <div class="row">
        <button
          type="submit"
          class="button is-primary"
          disabled={label.masks < LEAST_IMAGES || isRunning || !isLong}
        >
          Train {label.name}
        </button>
        {isRunning ? <span class="quiet">You can work on meanwhile.</span> : null}
      </div>
    </form>
  );
}

function needOf(label: Label, needed: number): string {
  const count = `${label.masks} accepted ${label.masks === 1 ? "mask" : "masks"} of ${label.name}`;
  if (label.masks >= needed) {
    return `The model learns to find ${label.name} by its name, from ${count}. Some are held out, to
      measure it before and after; nothing is overwritten.`;
  }
  return `There are ${count}. A training needs ${needed}, on two images or more; in a volume every
    slice counts. Accept more to train it.`;
}
