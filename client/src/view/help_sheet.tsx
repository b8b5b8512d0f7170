/** All keys on one sheet. */

import { HOTKEYS, type Hotkey, readableKey } from "../model/hotkeys";
import type { Workbench } from "../work/workbench";
import { Key } from "./button";
import { Dialog } from "./dialog";

const GROUPS: readonly Hotkey["group"][] = ["Tools", "Work", "Labels", "View"];

const POINTER: readonly (readonly [string, string])[] = [
  ["Right click", "Take away"],
  ["Wheel", "Slices; zoom on a picture"],
  ["Ctrl+Wheel", "Zoom, as two fingers do"],
  ["Space+Drag", "Move the image"],
  ["1 … 9", "Choose a label"],
  ["Arrows", "Crosshair; Shift: ten pixels"],
  ["Enter", "Click there; Shift: take away"],
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
