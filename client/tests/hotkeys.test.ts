import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf, HOTKEYS, keyText, labelIndexOf, type KeyPress } from "../src/model/hotkeys";

function press(key: string, held = ""): KeyPress {
  return {
    key,
    ctrlKey: held.includes("c"),
    metaKey: held.includes("m"),
    shiftKey: held.includes("s"),
    altKey: held.includes("a"),
  };
}

test("the keys that other tools have too", () => {
  const expected = { p: "tool.point", b: "tool.box", s: "tool.scribble", l: "tool.lasso" };
  for (const [key, command] of Object.entries(expected)) {
    assert.equal(commandOf(press(key)), command);
  }
  assert.equal(commandOf(press("t")), "polarity");
  assert.equal(commandOf(press("e")), "tool.eraser");
  assert.equal(commandOf(press("r")), "reset");
  assert.equal(commandOf(press("v")), "visibility");
  assert.equal(commandOf(press("Delete")), "clear");
});

test("undo and redo, on a Mac too, whatever Shift does to the letter", () => {
  assert.equal(commandOf(press("z", "c")), "undo");
  assert.equal(commandOf(press("z", "m")), "undo");
  assert.equal(commandOf(press("Z", "cs")), "redo");
  assert.equal(commandOf(press("Z", "ms")), "redo");
  assert.equal(commandOf(press("z")), null);
});

test("a letter with a modifier that the table does not have is the browser's", () => {
  for (const held of ["c", "m", "a", "s", "ca"]) assert.equal(commandOf(press("p", held)), null);
  assert.equal(commandOf(press("r", "c")), null);
});

test("signs count as typed, wherever they are on the keyboard", () => {
  assert.equal(commandOf(press("?", "s")), "help");
  assert.equal(commandOf(press("?")), "help");
  assert.equal(commandOf(press("+", "s")), "zoom.in");
});

test("digits choose labels", () => {
  assert.equal(labelIndexOf(press("1")), 0);
  assert.equal(labelIndexOf(press("9")), 8);
  for (const key of ["0", "a", "F1"]) assert.equal(labelIndexOf(press(key)), null);
  assert.equal(labelIndexOf(press("1", "c")), null);
});

test("no key means two things and every command has a text", () => {
  const keys = HOTKEYS.flatMap((hotkey) => hotkey.keys.map((key) => key.toLowerCase()));
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(HOTKEYS.every(({ text }) => text.length > 2));
  assert.equal(keyText("redo"), "Ctrl+Shift+Z");
  assert.equal(keyText("clear"), "Del");
  assert.equal(keyText("zoom.in"), "+");
});
