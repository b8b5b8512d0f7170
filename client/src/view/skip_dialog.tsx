/** Skip an image, with a reason that the list shows to everybody. */

import { useState } from "preact/hooks";
import type { State } from "../model/state";
import type { Workbench } from "../work/workbench";
import { Key } from "./button";
import { Dialog } from "./dialog";

const REASONS = ["Blurred", "Not what it should be", "Structure cannot be told", "Duplicate"];
const LONGEST = 500;

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function SkipDialog({ bench, state }: Props) {
  const [reason, setReason] = useState("");
  const skip = (why: string) => {
    bench.setDialog(null);
    bench.do(() => bench.opening.skip(why.trim()));
  };
  return (
    <Dialog title="Skip this image" onClose={() => bench.setDialog(null)}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          skip(reason);
        }}
      >
        <p class="quiet">
          {state.opened?.image.name} is left out of what comes next. Open it from the list to go on
          with it; what was done on it is kept.
        </p>
        <div class="chips" role="group" aria-label="Frequent reasons">
          {REASONS.map((text) => (
            <button
              key={text}
              type="button"
              class="switch"
              aria-pressed={reason === text}
              onClick={() => setReason(reason === text ? "" : text)}
            >
              {text}
            </button>
          ))}
        </div>
        <label class="stack is-tight">
          <span>Reason, if you like</span>
          <input
            type="text"
            autofocus
            maxLength={LONGEST}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <footer>
          <button type="button" class="button" onClick={() => bench.setDialog(null)}>
            Stay
          </button>
          <button type="submit" class="button is-primary">
            Skip <Key>↵</Key>
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
