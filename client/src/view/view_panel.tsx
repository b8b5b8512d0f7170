/** How the image is shown: window and level, and the expert's maps. */

import { readable } from "../model/intensity";
import type { Expert, Opened, State } from "../model/state";
import type { Workbench } from "../work/workbench";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function ViewPanel({ bench, state }: Props) {
  const { opened } = state;
  if (opened === null) return null;
  return (
    <section class="panel-part" aria-labelledby="view-title">
      <h2 id="view-title">View</h2>
      {opened.image.is_rgb ? null : <Window bench={bench} opened={opened} />}
      <ExpertMaps bench={bench} state={state} />
    </section>
  );
}

function Window({ bench, opened }: { readonly bench: Workbench; readonly opened: Opened }) {
  const { span, image } = opened;
  const { low, high, minimum, maximum, presets } = image.window;
  const range = maximum - minimum;
  const whole = { name: "Full range", low: minimum, high: maximum };
  const all = [{ name: "Default", low, high }, ...presets, whole];
  const at = all.findIndex((preset) => preset.low === span.low && preset.high === span.high);
  return (
    <div class="field">
      <label for="window">Window</label>
      <select
        id="window"
        value={at}
        onChange={(event) => {
          const preset = all[Number(event.currentTarget.value)];
          if (preset === undefined) return;
          const change = { span: { low: preset.low, high: preset.high } };
          bench.desk.store.dispatch({ type: "opened-changed", change });
        }}
      >
        {at < 0 ? <option value={-1}>By hand</option> : null}
        {all.map((preset, index) => (
          <option key={index} value={index}>
            {preset.name}
          </option>
        ))}
      </select>
      <span class="numbers">
        {readable(span.low, range)} – {readable(span.high, range)}
      </span>
    </div>
  );
}

const MAPS: readonly (readonly [Expert, string])[] = [
  ["none", "Mask"],
  ["probability", "Probability"],
  ["disagreement", "Disagreement"],
];

function ExpertMaps({ bench, state }: Props) {
  const label = state.labels.find(({ name }) => name === state.active);
  const isKnown = state.opened?.session?.labels.some(({ name }) => name === state.active) ?? false;
  return (
    <div class="segmented" role="radiogroup" aria-label="What to show">
      {MAPS.map(([map, text]) => (
        <button
          key={map}
          type="button"
          role="radio"
          aria-checked={state.expert === map}
          disabled={
            map !== "none" && (!isKnown || (map === "disagreement" && (label?.references ?? 0) < 2))
          }
          onClick={() => bench.desk.store.set({ expert: map })}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
