/** What was learned in this project, what each training brought, and which one is in use. */

import type { State } from "../model/state";
import type { Checkpoint, TrainingReport } from "../server/shapes";
import { sentence } from "../work/desk";
import type { Workbench } from "../work/workbench";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function CheckpointList({ bench, state }: Props) {
  const latest = Math.max(...state.checkpoints.map(({ id }) => id));
  return (
    <>
      {state.project?.notice ? (
        <p class="error" role="alert">
          {state.project.notice}
        </p>
      ) : null}
      <ul class="checkpoints" aria-label="Checkpoints">
        {[...state.checkpoints].reverse().map((one) => (
          <Entry key={one.id} bench={bench} checkpoint={one} isOpen={one.id === latest} />
        ))}
      </ul>
      <p class="quiet is-small">
        An image that is open keeps its model until it is opened again. Masks that were accepted
        stay as they are.
      </p>
    </>
  );
}

interface EntryProps {
  readonly bench: Workbench;
  readonly checkpoint: Checkpoint;
  readonly isOpen: boolean;
}

function Entry({ bench, checkpoint, isOpen }: EntryProps) {
  const { id, is_current, is_missing, report } = checkpoint;
  const name = nameOf(checkpoint);
  return (
    <li class={is_current ? "checkpoint is-current" : "checkpoint"}>
      <div class="row">
        <span class="checkpoint-text">
          <b>{name}</b>
          <span class="quiet">{aboutOf(checkpoint)}</span>
        </span>
        <span class="grow" />
        {is_current ? (
          <span class="in-use">In use</span>
        ) : (
          <button
            type="button"
            class="button is-small"
            disabled={is_missing}
            aria-label={`Use ${name}`}
            onClick={() => bench.do(() => bench.jobs.useCheckpoint(id))}
          >
            {checkpoint.is_base ? "Go back" : "Use"}
          </button>
        )}
      </div>
      {report === null ? null : (
        <details open={isOpen}>
          <summary>Dice before and after</summary>
          <Report report={report} />
        </details>
      )}
    </li>
  );
}

function nameOf({ id, is_base, name, label }: Checkpoint): string {
  return is_base ? `Base model ${name}` : `${id}: ${label ?? name}`;
}

function aboutOf({ is_base, is_missing, author, created, report }: Checkpoint): string {
  if (is_missing) return "Its file was taken away; put it back to use it.";
  if (is_base) return "What the server was started with";
  const when = created === null ? "" : created.slice(0, 16).replace("T", " ");
  const from = report === null ? "" : `, from ${report.masks.training} masks`;
  return `${author ?? ""}, ${when}${from}`;
}

/** The trained class first, then the classes that must not have been forgotten. */
function Report({ report }: { readonly report: TrainingReport }) {
  const { agreement } = report;
  const rows = [
    ...report.new.map((one) => ({
      name: one.name,
      masks: one.masks,
      before: one.before.class ?? one.before.reference,
      how: one.before.class === null ? " by an example" : "",
      after: one.after.class,
      isNew: true,
    })),
    ...report.old.map((one) => ({ ...one, how: "", isNew: false })),
  ];
  return (
    <>
      <table class="dice">
        <thead>
          <tr>
            <th scope="col">Class</th>
            <th scope="col">Held out</th>
            <th scope="col">Before</th>
            <th scope="col">After</th>
            <th scope="col">Change</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, masks, before, how, after, isNew }) => (
            <tr key={name} class={isNew ? "is-new" : ""}>
              <th scope="row">{name}</th>
              <td>{masks}</td>
              <td>
                {readable(before)}
                {before === null ? null : how}
              </td>
              <td>{readable(after)}</td>
              <td>{changeOf(before, after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {agreement === null ? null : (
        <p class="quiet is-small">
          {`Masks of ${agreement.classes} older classes agree with those before to
            ${agreement.dice.toFixed(2)}; least for ${agreement.lowest.name}
            (${agreement.lowest.dice.toFixed(2)}).`}
        </p>
      )}
      {report.notes.map((note) => (
        <p key={note} class="quiet is-small">
          {sentence(note)}
        </p>
      ))}
    </>
  );
}

function readable(dice: number | null): string {
  return dice === null ? "–" : dice.toFixed(2);
}

function changeOf(before: number | null, after: number | null): string {
  if (before === null || after === null) return "";
  const change = after - before;
  return `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)}`;
}
