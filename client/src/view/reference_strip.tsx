/** The examples a label starts from. */

import type { State } from "../model/state";
import { addresses } from "../server/routes";
import type { Label, Reference } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { Icon } from "./icon";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
  readonly label: Label;
}

export function ReferenceStrip({ bench, state, label }: Props) {
  const references = state.references[label.name] ?? [];
  const { opened } = state;
  const isHere = references.some(({ image }) => image === opened?.image.id);
  const canAdd = opened?.image.labels.includes(label.name) === true && !isHere;
  return (
    <div class="references">
      {references.length === 0 ? (
        <p class="quiet">Accepted masks of {label.name} become references for the next images.</p>
      ) : (
        <ul class="strip" aria-label={`References of ${label.name}`}>
          {references.map((reference) => (
            <Thumbnail key={reference.id} bench={bench} label={label} reference={reference} />
          ))}
        </ul>
      )}
      <div class="row">
        {canAdd ? (
          <button
            type="button"
            class="link"
            onClick={() => bench.do(() => bench.labelling.addReference(label.name))}
          >
            Add this image
          </button>
        ) : null}
        {references.length > 1 ? (
          <button
            type="button"
            class="link"
            onClick={() => bench.do(() => bench.jobs.score(label.name))}
          >
            Score them
          </button>
        ) : null}
      </div>
    </div>
  );
}

interface ThumbnailProps {
  readonly bench: Workbench;
  readonly label: Label;
  readonly reference: Reference;
}

function Thumbnail({ bench, label, reference }: ThumbnailProps) {
  const score = reference.score === null ? "" : reference.score.toFixed(2);
  const about = score === "" ? "" : `, score ${score}`;
  return (
    <li class="reference">
      <button
        type="button"
        class="reference-picture"
        aria-pressed={reference.is_active}
        aria-label={`Reference ${reference.image_name}${about}`}
        title={`${reference.image_name}${about}`}
        onClick={() => bench.do(() => bench.labelling.activate(label.name, reference))}
      >
        <img src={addresses.reference(reference.id, 96)} alt="" loading="lazy" decoding="async" />
        {score === "" ? null : <span class="score">{score}</span>}
      </button>
      <button
        type="button"
        class="reference-remove"
        aria-label={`Remove reference ${reference.image_name}`}
        onClick={() => bench.do(() => bench.labelling.removeReference(label.name, reference))}
      >
        <Icon name="close" size={12} />
      </button>
    </li>
  );
}
