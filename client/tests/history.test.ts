import assert from "node:assert/strict";
import { test } from "node:test";
import * as history from "../src/model/history";
import type { LogEvent, Prompt } from "../src/server/shapes";

function click(row: number, slice = 0): history.Mark {
  const prompt: Prompt = { kind: "point", label: "liver", row, col: 1, slice, is_positive: true };
  return history.markOf(prompt) ?? assert.fail();
}

function rows(steps: history.History, slice = 0): number[] {
  return history.marksOn(steps, slice).map(({ mark }) => mark?.places[0]?.row ?? -1);
}

function afterClicks(...at: number[]): history.History {
  return at.reduce((steps, row) => {
    const begun = history.begin(steps, click(row));
    return history.confirm(begun, begun.lastId);
  }, history.EMPTY);
}

test("a mark is there before its answer", () => {
  const begun = history.begin(history.EMPTY, click(3));
  assert.deepEqual(rows(begun), [3]);
  assert.equal(begun.steps[0]?.isPending, true);
  assert.equal(history.confirm(begun, begun.lastId).steps[0]?.isPending, false);
});

test("undo hides the last mark, redo shows it, a new one ends redo", () => {
  const three = afterClicks(1, 2, 3);
  const one = history.undo(history.undo(three));
  assert.deepEqual(rows(one), [1]);
  assert.deepEqual(rows(history.redo(one)), [1, 2]);
  const other = history.begin(one, click(9));
  assert.deepEqual(rows(other), [1, 9]);
  assert.deepEqual(rows(history.redo(other)), [1, 9]);
});

test("undo and redo stop at the ends", () => {
  const two = afterClicks(1, 2);
  assert.deepEqual(rows(history.redo(two)), [1, 2]);
  const none = history.undo(history.undo(history.undo(two)));
  assert.deepEqual(rows(none), []);
  assert.deepEqual(rows(history.redo(none)), [1]);
});

test("a refused mark goes, those around it stay", () => {
  const first = history.begin(afterClicks(1), click(2));
  const refused = first.lastId;
  const both = history.begin(first, click(3));
  assert.deepEqual(rows(history.refuse(both, refused)), [1, 3]);
  assert.equal(history.refuse(both, 99), both);
});

test("steps without a mark count for undo and are not drawn", () => {
  const predicted = history.begin(afterClicks(1), null);
  assert.deepEqual(rows(predicted), [1]);
  assert.deepEqual(rows(history.undo(predicted)), [1]);
  assert.deepEqual(rows(history.undo(history.undo(predicted))), []);
});

test("marks are shown on their own slice", () => {
  const steps = history.begin(afterClicks(1), click(5, 7));
  assert.deepEqual(rows(steps, 0), [1]);
  assert.deepEqual(rows(steps, 7), [5]);
});

test("the server's log gives the same marks, with the branch that redo would take", () => {
  const event = (seq: number, parent: number | null, row: number): LogEvent => ({
    seq,
    parent,
    kind: "point",
    label: "liver",
    prompt: { marks: [{ slice: 0, is_positive: true, at: [0, row, 1] }], predicts: true },
  });
  // 0, 1, 2, then undo twice, 3 and 4 on another branch, undo once: the image stands at 3.
  const first = [event(0, null, 10), event(1, 0, 11), event(2, 1, 12)];
  const events = [...first, event(3, 0, 13), event(4, 3, 14)];
  const steps = history.fromLog({ image: 3, pointer: 3, events });
  assert.deepEqual(rows(steps), [10, 13]);
  assert.deepEqual(rows(history.redo(steps)), [10, 13, 14]);
  assert.deepEqual(rows(history.fromLog({ image: 3, pointer: null, events })), []);
  const next = history.begin(steps, click(20));
  assert.deepEqual(rows(next), [10, 13, 20]);
  assert.equal(new Set(next.steps.map(({ id }) => id)).size, 3);
});

test("boxes of the log keep their corners, other events leave no mark", () => {
  const box = { slice: 2, is_positive: false, rows: [3, 9], cols: [5, 8] };
  const events: LogEvent[] = [
    { seq: 0, parent: null, kind: "bbox", label: "liver", prompt: { marks: [box] } },
    { seq: 1, parent: 0, kind: "predict", label: null, prompt: { targets: [["liver", null]] } },
  ];
  const steps = history.fromLog({ image: 3, pointer: 1, events });
  assert.equal(steps.pointer, 2);
  const [first, ...others] = history.marksOn(steps, 2);
  assert.equal(others.length, 0);
  assert.deepEqual(first?.mark?.places, [{ row: 3, col: 5 }, { row: 9, col: 8 }]);
  assert.equal(first?.mark?.isPositive, false);
});
