/** Who works, how the page looks, how the project goes on. */

import type { State, Theme } from "../model/state";
import type { Settings } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { Dialog } from "./dialog";

const THEMES: readonly (readonly [Theme, string])[] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function SettingsDialog({ bench, state }: Props) {
  const settings = state.project?.settings;
  const change = (wanted: Partial<Settings>) =>
    bench.do(async () => {
      await bench.desk.routes.settings(wanted);
      bench.desk.store.set({ project: await bench.desk.routes.project() });
    });
  return (
    <Dialog title="Settings" onClose={() => bench.setDialog(null)}>
      <div class="form">
        <label for="author">Your name</label>
        <input
          id="author"
          maxLength={80}
          value={state.author}
          onChange={(event) => bench.setAuthor(event.currentTarget.value.trim())}
        />
        <span>Colours</span>
        <div class="segmented" role="radiogroup" aria-label="Colours">
          {THEMES.map(([theme, text]) => (
            <button
              key={theme}
              type="button"
              role="radio"
              aria-checked={state.theme === theme}
              onClick={() => bench.setTheme(theme)}
            >
              {text}
            </button>
          ))}
        </div>
        {settings === undefined ? null : (
          <>
            <label for="order">Next image</label>
            <select
              id="order"
              value={settings.order}
              onChange={(event) =>
                change({ order: event.currentTarget.value as Settings["order"] })
              }
            >
              <option value="list">In the order of the list</option>
              <option value="uncertain">Least certain first</option>
            </select>
            <label for="references-used">References used</label>
            <input
              id="references-used"
              type="number"
              min={1}
              max={16}
              value={settings.references_used}
              onChange={(event) => change({ references_used: event.currentTarget.valueAsNumber })}
            />
          </>
        )}
      </div>
      {settings === undefined ? null : (
        <>
          <Check
            text="Prepare the next image while I work"
            isOn={settings.presegment_next}
            onChange={(isOn) => change({ presegment_next: isOn })}
          />
          <Check
            text="Score references after every accepted mask"
            isOn={settings.score_on_accept}
            onChange={(isOn) => change({ score_on_accept: isOn })}
          />
        </>
      )}
    </Dialog>
  );
}

interface CheckProps {
  readonly text: string;
  readonly isOn: boolean;
  readonly onChange: (isOn: boolean) => void;
}

function Check({ text, isOn, onChange }: CheckProps) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={isOn}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      {text}
    </label>
  );
}
