import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countPixels,
  decodeRuns,
  emptyRuns,
  encodeRuns,
  outlines,
  type Plane,
} from "../src/model/runs";

function plane(...rows: string[]): Plane {
  const pixels = Uint8Array.from(rows.join(""), (pixel) => (pixel === "#" ? 1 : 0));
  return { width: rows[0]?.length ?? 0, height: rows.length, pixels };
}

/** A repeatable sequence of numbers from 0 to 1. */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

function drawn(seed: number, width: number, height: number): Plane {
  const draw = draws(seed);
  const pixels = Uint8Array.from({ length: width * height }, () => (draw() < 0.5 ? 0 : 1));
  return { width, height, pixels };
}

/** Twice the enclosed area by the shoelace formula; clockwise on the screen is positive. */
function area(loop: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < loop.length; at += 2) {
    const next = (at + 2) % loop.length;
    sum += (loop[at] ?? 0) * (loop[next + 1] ?? 0) - (loop[next] ?? 0) * (loop[at + 1] ?? 0);
  }
  return sum / 2;
}

test("runs begin with background and go along the rows", () => {
  const mask = decodeRuns({ shape: [2, 3], runs: [1, 3, 2] });
  assert.deepEqual([...mask.pixels], [0, 1, 1, 1, 0, 0]);
  assert.deepEqual([mask.height, mask.width], [2, 3]);
  assert.deepEqual(encodeRuns(plane("#..", "..#")).runs, [0, 1, 4, 1]);
});

test("encode undoes decode", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const mask = drawn(seed, 1 + (seed % 7), 1 + (seed % 5));
    const runs = encodeRuns(mask);
    assert.deepEqual(decodeRuns(runs), mask);
    assert.equal(countPixels(runs), mask.pixels.reduce((sum, pixel) => sum + pixel, 0));
  }
});

test("runs that do not fill the mask are refused", () => {
  assert.throws(() => decodeRuns({ shape: [2, 3], runs: [1, 3] }), RangeError);
  assert.throws(() => decodeRuns({ shape: [2, 3], runs: [1, 3, 9] }), RangeError);
});

test("an empty mask has no pixels and no outline", () => {
  assert.equal(countPixels(emptyRuns(5, 7)), 0);
  assert.deepEqual(outlines(decodeRuns(emptyRuns(5, 7))), []);
});

test("one pixel becomes a diamond around its centre", () => {
  const [loop, ...others] = outlines(plane("...", ".#."));
  assert.equal(others.length, 0);
  assert.deepEqual(loop, [1.5, 1, 2, 1.5, 1.5, 2, 1, 1.5]);
});

test("a hole runs the other way round and corners keep shapes apart", () => {
  const ring = outlines(plane("####", "#..#", "####"));
  assert.deepEqual(ring.map((loop) => Math.sign(area(loop))).sort(), [-1, 1]);
  assert.equal(outlines(plane("#.", ".#")).length, 2);
});

test("outlines cover every pixel's centre exactly where the mask is", () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const mask = drawn(seed, 9, 6);
    const loops = outlines(mask);
    for (let at = 0; at < mask.pixels.length; at += 1) {
      const x = (at % mask.width) + 0.5;
      const y = Math.floor(at / mask.width) + 0.5;
      // A hair off the centre, so that the ray meets no corner.
      const isInside = inside(loops, x + 0.01, y + 0.003);
      assert.equal(isInside, mask.pixels[at] === 1, `seed ${seed} at ${at}`);
    }
  }
});

function inside(loops: readonly (readonly number[])[], x: number, y: number): boolean {
  let winding = 0;
  for (const loop of loops) {
    for (let at = 0; at < loop.length; at += 2) {
      const next = (at + 2) % loop.length;
      const [fromX, fromY] = [loop[at] ?? 0, loop[at + 1] ?? 0];
      const [toX, toY] = [loop[next] ?? 0, loop[next + 1] ?? 0];
      const crosses = fromY > y !== toY > y;
      if (crosses && x < fromX + ((y - fromY) / (toY - fromY)) * (toX - fromX)) winding += 1;
    }
  }
  return winding % 2 === 1;
}
