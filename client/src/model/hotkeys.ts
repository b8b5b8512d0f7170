/** Which key does what. One table: the keyboard, the tooltips and the help sheet read it. */

export type Command =
  | "tool.point"
  | "tool.box"
  | "tool.scribble"
  | "tool.lasso"
  | "tool.brush"
  | "tool.eraser"
  | "tool.pan"
  | "tool.window"
  | "polarity"
  | "smaller"
  | "larger"
  | "undo"
  | "redo"
  | "reset"
  | "clear"
  | "visibility"
  | "lock"
  | "accept"
  | "accept.next"
  | "skip"
  | "next"
  | "slice.next"
  | "slice.previous"
  | "slice.uncertain"
  | "zoom.in"
  | "zoom.out"
  | "zoom.fit"
  | "expert"
  | "canvas"
  | "help";

export interface Hotkey {
  readonly command: Command;
  readonly keys: readonly string[];
  readonly group: "Tools" | "Work" | "Labels" | "View";
  readonly text: string;
}

export const HOTKEYS: readonly Hotkey[] = [
  { command: "tool.point", keys: ["p"], group: "Tools", text: "Click" },
  { command: "tool.box", keys: ["b"], group: "Tools", text: "Box" },
  { command: "tool.scribble", keys: ["s"], group: "Tools", text: "Scribble" },
  { command: "tool.lasso", keys: ["l"], group: "Tools", text: "Lasso" },
  { command: "tool.brush", keys: ["d"], group: "Tools", text: "Brush" },
  { command: "tool.eraser", keys: ["e"], group: "Tools", text: "Eraser" },
  { command: "tool.pan", keys: ["h"], group: "Tools", text: "Move the image" },
  { command: "tool.window", keys: ["w"], group: "Tools", text: "Window and level" },
  { command: "polarity", keys: ["t"], group: "Tools", text: "Add or take away" },
  { command: "smaller", keys: ["["], group: "Tools", text: "Smaller brush" },
  { command: "larger", keys: ["]"], group: "Tools", text: "Larger brush" },
  { command: "undo", keys: ["Ctrl+z"], group: "Work", text: "Undo" },
  { command: "redo", keys: ["Ctrl+Shift+z", "Ctrl+y"], group: "Work", text: "Redo" },
  { command: "clear", keys: ["Delete"], group: "Work", text: "Clear the label on this slice" },
  { command: "reset", keys: ["r"], group: "Work", text: "Start the image again" },
  { command: "accept", keys: ["a"], group: "Work", text: "Accept" },
  { command: "accept.next", keys: ["Ctrl+Enter"], group: "Work", text: "Accept, then next" },
  { command: "next", keys: ["n"], group: "Work", text: "Next image" },
  { command: "skip", keys: ["k"], group: "Work", text: "Skip this image" },
  { command: "visibility", keys: ["v"], group: "Labels", text: "Show or hide masks" },
  { command: "lock", keys: ["o"], group: "Labels", text: "Lock or unlock the label" },
  { command: "slice.next", keys: [".", "PageDown"], group: "View", text: "Next slice" },
  { command: "slice.previous", keys: [",", "PageUp"], group: "View", text: "Previous slice" },
  { command: "slice.uncertain", keys: ["u"], group: "View", text: "Least certain slice" },
  { command: "zoom.in", keys: ["+", "="], group: "View", text: "Zoom in" },
  { command: "zoom.out", keys: ["-"], group: "View", text: "Zoom out" },
  { command: "zoom.fit", keys: ["0"], group: "View", text: "Fit the image" },
  { command: "expert", keys: ["x"], group: "View", text: "Probability of the label" },
  { command: "canvas", keys: ["c"], group: "View", text: "Go to the image" },
  { command: "help", keys: ["?"], group: "View", text: "This sheet" },
];

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
}

const BY_KEY: ReadonlyMap<string, Command> = new Map(
  HOTKEYS.flatMap(({ command, keys }) => keys.map((key) => [key.toLowerCase(), command] as const)),
);

/** The name of a key press as in the table, in lower case: `ctrl+shift+z`, `?`, `pagedown`. */
export function nameOf(press: KeyPress): string {
  const key = press.key.toLowerCase();
  const isLetter = key.length === 1 && key >= "a" && key <= "z";
  const isNamed = key.length > 1;
  const parts = [
    press.ctrlKey || press.metaKey ? "ctrl+" : "",
    press.altKey ? "alt+" : "",
    // Shift is part of characters such as "?": which key makes them depends on the keyboard.
    press.shiftKey && (isLetter || isNamed) ? "shift+" : "",
  ];
  return parts.join("") + key;
}

/** The command of a key press, or null. */
export function commandOf(press: KeyPress): Command | null {
  return BY_KEY.get(nameOf(press)) ?? null;
}

/** The place (from 0) of the label that a digit key 1 to 9 chooses, or null. */
export function labelIndexOf(press: KeyPress): number | null {
  const name = nameOf(press);
  return /^[1-9]$/.test(name) ? Number(name) - 1 : null;
}

/** The first key of a command, for people: `Ctrl+Z`. */
export function keyText(command: Command): string {
  const key = HOTKEYS.find((hotkey) => hotkey.command === command)?.keys[0] ?? "";
  return readableKey(key);
}

export function readableKey(key: string): string {
  const named: Record<string, string> = { Delete: "Del", PageDown: "Page Down", PageUp: "Page Up" };
  if (key === "+") return key;
  return key
    .split("+")
    .map((part) => (part.length === 1 ? part.toUpperCase() : (named[part] ?? part)))
    .join("+");
}
