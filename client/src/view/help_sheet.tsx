/** All keys on one sheet. */

import { HOTKEYS, type Hotkey, readableKey } from "../model/hotkeys";
import type { Workbench } from "../work/workbench";
import { Key } from "./button";
import { Dialog } from "./dialog";

const GROUPS: readonly Hotkey["group"][] = ["Tools", "Work", "Labels", "View"];

const POINTER: readonly (readonly [string, string])[] = [
  ["Right click", "The opposite of adding"],
  ["Wheel", "Next slice; zoom on a picture"],
  ["Ctrl + wheel, two fingers", "Zoom"],
  ["Space + drag", "Move the image"],
  ["1 to 9", "Choose a label"],
  ["Arrow keys", "Crosshair on the image; Shift: ten pixels"],
  ["Enter", "Click at the crosshair; Shift: the opposite"],
];

export function HelpSheet({ bench }: { readonly bench: Workbench }) {
  return (
    <Dialog title="Keys" isWide onClose={() => bench.setDialog(null)}>
      <div class="sheet">
        {GROUPS.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {HOTKEYS.filter((hotkey) => hotkey.group === group).map((hotkey) => (
                <div key={hotkey.command}>
                  <dt>
                    {hotkey.keys.map((key) => (
                      <Key key={key}>{readableKey(key)}</Key>
                    ))}
                  </dt>
                  <dd>{hotkey.text}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>Pointer and crosshair</h3>
          <dl>
            {POINTER.map(([key, text]) => (
              <div key={key}>
                <dt>
                  <Key>{key}</Key>
                </dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
      <footer>
        <button
          type="button"
          class="button"
          onClick={() => {
            bench.setDialog(null);
            bench.setTour(0);
          }}
        >
          Show the tour
        </button>
      </footer>
    </Dialog>
  );
}
