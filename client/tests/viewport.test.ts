import assert from "node:assert/strict";
import { test } from "node:test";
import * as viewport from "../src/model/viewport";

const IMAGE = { width: 124, height: 88 };
const CANVAS = { width: 703, height: 591 };
const VIEWS: viewport.Viewport[] = [
  { scale: 1, aspect: 1, left: 0, top: 0 },
  { scale: 3.7, aspect: 1, left: -41.5, top: 12.25 },
  { scale: 0.4, aspect: 2.5, left: 210, top: -33 },
];

function close(one: number, other: number): void {
  assert.ok(Math.abs(one - other) < 1e-9, `${one} is not ${other}`);
}

test("a pixel centre lies in the middle of its square", () => {
  const view = { scale: 10, aspect: 1, left: 100, top: 50 };
  assert.deepEqual(viewport.toPoint(view, { row: 2, col: 3 }), { x: 135, y: 75 });
  assert.deepEqual(viewport.toPlace(view, { x: 135, y: 75 }), { row: 2, col: 3 });
});

test("to the canvas and back gives the same place", () => {
  for (const view of VIEWS) {
    for (const place of [{ row: 0, col: 0 }, { row: 87, col: 3.25 }, { row: -4, col: 300 }]) {
      const back = viewport.toPlace(view, viewport.toPoint(view, place));
      close(back.row, place.row);
      close(back.col, place.col);
    }
  }
});

test("rows go down and columns to the right, and are not swapped", () => {
  const view = VIEWS[2] ?? assert.fail();
  const at = viewport.toPoint(view, { row: 10, col: 20 });
  close(viewport.toPoint(view, { row: 11, col: 20 }).y - at.y, 1);
  close(viewport.toPoint(view, { row: 10, col: 21 }).x - at.x, 0.4);
});

test("pixels outside the image are none", () => {
  assert.deepEqual(viewport.pixelAt({ row: 87.4, col: 123.4 }, IMAGE), { row: 87, col: 123 });
  assert.deepEqual(viewport.pixelAt({ row: -0.4, col: -0.4 }, IMAGE), { row: 0, col: 0 });
  assert.equal(viewport.pixelAt({ row: 87.6, col: 0 }, IMAGE), null);
  assert.equal(viewport.pixelAt({ row: 0, col: -0.6 }, IMAGE), null);
  assert.deepEqual(viewport.nearestPixel({ row: 900, col: -3 }, IMAGE), { row: 87, col: 0 });
});

test("fit shows the whole image in the middle", () => {
  for (const aspect of [1, 2.5]) {
    const view = viewport.fit(IMAGE, CANVAS, aspect);
    const first = viewport.toPoint(view, { row: -0.5, col: -0.5 });
    const last = viewport.toPoint(view, { row: 87.5, col: 123.5 });
    assert.ok(first.x >= 15.9 && first.y >= 15.9);
    close(first.x, CANVAS.width - last.x);
    close(first.y, CANVAS.height - last.y);
    assert.ok(Math.min(first.x, first.y) < 16.1);
  }
});

test("zoom keeps what is under the pointer, and its limits", () => {
  for (const view of VIEWS) {
    const at = { x: 222, y: 333 };
    const before = viewport.toPlace(view, at);
    const after = viewport.toPlace(viewport.zoomAt(view, 1.3, at), at);
    close(before.row, after.row);
    close(before.col, after.col);
  }
  const start = VIEWS[0] ?? assert.fail();
  assert.equal(viewport.zoomAt(start, 1e9, { x: 0, y: 0 }).scale, viewport.MAX_SCALE);
  assert.equal(viewport.zoomAt(start, 1e-9, { x: 0, y: 0 }).scale, viewport.MIN_SCALE);
});

test("two fingers keep what is under each of them", () => {
  const view = VIEWS[1] ?? assert.fail();
  const before = [{ x: 100, y: 100 }, { x: 200, y: 260 }] as const;
  const after = [{ x: 130, y: 90 }, { x: 330, y: 410 }] as const;
  const moved = viewport.pinch(view, before, after);
  for (const finger of [0, 1] as const) {
    const was = viewport.toPlace(view, before[finger]);
    const is = viewport.toPlace(moved, after[finger]);
    close(was.row, is.row);
    close(was.col, is.col);
  }
});

test("the image cannot be lost", () => {
  const away = viewport.keepVisible({ scale: 2, aspect: 1, left: 9e4, top: -9e4 }, IMAGE, CANVAS);
  assert.equal(away.left, CANVAS.width - 48);
  assert.equal(away.top, 48 - 2 * 88);
  const fitting = viewport.fit(IMAGE, CANVAS);
  assert.deepEqual(viewport.keepVisible(fitting, IMAGE, CANVAS), fitting);
});

test("reveal moves only as far as needed", () => {
  const view = { scale: 10, aspect: 1, left: 0, top: 0 };
  assert.deepEqual(viewport.reveal(view, { row: 20, col: 20 }, CANVAS), view);
  const moved = viewport.reveal(view, { row: 20, col: 100 }, CANVAS);
  close(viewport.toPoint(moved, { row: 20, col: 100 }).x, CANVAS.width - 32);
  assert.equal(moved.top, 0);
});
