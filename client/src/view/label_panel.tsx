/** The labels and what is known about the chosen one. */

import type { State } from "../model/state";
import { lookOf } from "../model/state";
import type { Label, LabelState } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";
import { ClassPicker } from "./class_picker";
import { css } from "./painter";
import { ReferenceStrip } from "./reference_strip";

/** 5521 is 5.5K: the name needs the room. */
const SHORT = new Intl.NumberFormat("en", { notation: "compact" });

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function LabelPanel({ bench, state }: Props) {
  const chosen = state.labels.find(({ name }) => name === state.active) ?? null;
  return (
    <>
      <section class="panel-part" aria-labelledby="labels-title" id="labels">
        <h2 id="labels-title">Labels</h2>
        <ClassPicker bench={bench} state={state} />
        <ul class="labels" aria-label="Labels">
          {state.labels.map((label, index) => (
            <LabelRow key={label.id} bench={bench} state={state} label={label} index={index} />
          ))}
        </ul>
        {state.labels.length === 0 ? (
          <p class="quiet">
            Name the structure you want to segment. If the model knows the name, it begins for you.
          </p>
        ) : null}
      </section>
      {chosen === null ? null : <Chosen bench={bench} state={state} label={chosen} />}
    </>
  );
}

function sessionLabel(state: State, label: Label): LabelState | null {
  return state.opened?.session?.labels.find(({ name }) => name === label.name) ?? null;
}

function LabelRow(props: Props & { readonly label: Label; readonly index: number }) {
  const { bench, state, label, index } = props;
  const found = sessionLabel(state, label);
  const look = lookOf(state, label.name);
  const isActive = label.name === state.active;
  const key = index < 9 ? String(index + 1) : null;
  return (
    <li class={isActive ? "label is-active" : "label"}>
      <button
        type="button"
        class="label-name"
        title={label.name}
        aria-pressed={isActive}
        aria-keyshortcuts={key ?? undefined}
        onClick={() => bench.do(() => bench.labelling.choose(label.name))}
      >
        <span class="swatch" style={{ background: css(label.colour, 1) }} />
        <span class="label-text">{label.name}</span>
        <span class="label-note">{noteOf(state, label, found)}</span>
        {key === null ? null : <kbd>{key}</kbd>}
      </button>
      <IconButton
        icon={found?.is_locked === true ? "lock" : "unlock"}
        label={found?.is_locked === true ? `Unlock ${label.name}` : `Lock ${label.name}`}
        tip="left"
        class={found?.is_locked === true ? "" : "is-faint"}
        size={16}
        isDisabled={found === null}
        onClick={() => bench.do(() => bench.prompting.lock(label.name, found?.is_locked !== true))}
      />
      <IconButton
        icon={look.isVisible ? "eye" : "eyeOff"}
        label={look.isVisible ? `Hide ${label.name}` : `Show ${label.name}`}
        tip="left"
        class={look.isVisible ? "is-faint" : ""}
        size={16}
        onClick={() =>
          bench.desk.store.dispatch({
            type: "look",
            label: label.name,
            change: { isVisible: !look.isVisible },
          })
        }
      />
    </li>
  );
}

function noteOf(state: State, label: Label, found: LabelState | null): string {
  if (state.opened?.absent.includes(label.name) === true) return "not here";
  if (found !== null && found.pixels > 0) return `${SHORT.format(found.pixels)} px`;
  return "";
}

function Chosen({ bench, state, label }: Props & { readonly label: Label }) {
  const look = lookOf(state, label.name);
  const found = sessionLabel(state, label);
  const { opened } = state;
  const isAbsent = opened?.absent.includes(label.name) ?? false;
  return (
    <section class="panel-part" aria-labelledby="chosen-title">
      <h2 id="chosen-title">
        <span class="swatch" style={{ background: css(label.colour, 1) }} />
        {label.name}
      </h2>
      <div class="field">
        <label for="opacity">Opacity</label>
        <input
          id="opacity"
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={look.opacity}
          onInput={(event) =>
            bench.desk.store.dispatch({
              type: "look",
              label: label.name,
              change: { opacity: event.currentTarget.valueAsNumber },
            })
          }
        />
        <input
          type="color"
          class="colour"
          aria-label={`Colour of ${label.name}`}
          value={hex(label.colour)}
          onChange={(event) => {
            const colour = unhex(event.currentTarget.value);
            bench.do(() => bench.labelling.paint(label, colour));
          }}
        />
      </div>
      <Knowledge bench={bench} state={state} label={label} found={found} />
      <label class="check">
        <input
          type="checkbox"
          checked={isAbsent}
          disabled={opened?.session == null || (found?.pixels ?? 0) > 0}
          onChange={() => {
            const absent = opened?.absent ?? [];
            const changed = isAbsent
              ? absent.filter((name) => name !== label.name)
              : [...absent, label.name];
            bench.desk.store.dispatch({ type: "opened-changed", change: { absent: changed } });
          }}
        />
        Not on this image
      </label>
      <div class="row is-apart">
        <button type="button" class="link" onClick={() => bench.setDialog("train")}>
          Train a class …
        </button>
        {label.accepted === 0 ? (
          <button
            type="button"
            class="link"
            onClick={() => bench.do(() => bench.labelling.remove(label))}
          >
            Remove this label
          </button>
        ) : null}
      </div>
    </section>
  );
}

/** The mode is whatever knowledge is switched on. */
function Knowledge(props: Props & { readonly label: Label; readonly found: LabelState | null }) {
  const { bench, state, label, found } = props;
  const canWork = state.opened?.session != null && found?.is_locked !== true;
  const uses = found?.uses ?? "nothing";
  const clicks = found?.interactions ?? 0;
  const forget = () => bench.prompting.use(label.name, "nothing");
  return (
    <div class="knowledge" role="group" aria-label={`Where ${label.name} comes from`}>
      <h3>Comes from</h3>
      <div class="switches">
        <button
          type="button"
          class="switch"
          aria-pressed={uses === "class"}
          disabled={!canWork || !label.is_class}
          title={label.is_class ? "" : "The model does not know this name yet"}
          onClick={() =>
            bench.do(() =>
              uses === "class" ? forget() : bench.prompting.predictClass(label.name),
            )
          }
        >
          Class
        </button>
        <button
          type="button"
          class="switch"
          aria-pressed={uses === "references"}
          disabled={!canWork || label.references === 0}
          title={label.references > 0 ? "" : "Accept a mask first: it becomes a reference"}
          onClick={() =>
            bench.do(() =>
              uses === "references" ? forget() : bench.prompting.use(label.name, "references"),
            )
          }
        >
          References <span class="count">{label.references}</span>
        </button>
        <span class={clicks > 0 ? "switch is-on" : "switch is-off"}>
          Clicks <span class="count">{clicks}</span>
        </span>
      </div>
      <ReferenceStrip bench={bench} state={state} label={label} />
    </div>
  );
}

function hex(colour: readonly number[]): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function unhex(text: string): [number, number, number] {
  const number = Number.parseInt(text.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}
