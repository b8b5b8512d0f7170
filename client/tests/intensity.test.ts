import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateSync } from "node:zlib";
import { dragSpan, greyTable, heat, paintGrey, readable } from "../src/model/intensity";
import { decodeGreyPng } from "../src/model/png16";

const WINDOW = { low: 0, high: 100, minimum: -500, maximum: 700, presets: [] };

function chunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

/** Write a PNG whose lines are filtered in the ways given, one after the other. */
function png(
  values: number[][],
  depth: 8 | 16,
  filters: number[],
  colour = 0,
): Uint8Array<ArrayBuffer> {
  const bytes = depth / 8;
  const width = values[0]?.length ?? 0;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(values.length, 4);
  header.set([depth, colour, 0, 0, 0], 8);
  let above = Buffer.alloc(width * bytes);
  const lines = values.map((row, index) => {
    const line = Buffer.alloc(width * bytes);
    row.forEach((value, col) => line.writeUIntBE(value, col * bytes, bytes));
    const filter = filters[index % filters.length] ?? 0;
    const coded = line.map((byte, at) => byte - guess(filter, line, above, at, bytes));
    above = line;
    return Buffer.concat([Buffer.from([filter]), coded]);
  });
  const packed = deflateSync(Buffer.concat(lines));
  const half = Math.ceil(packed.length / 2);
  const parts = [
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk("IHDR", header),
    chunk("IDAT", packed.subarray(0, half)),
    chunk("IDAT", packed.subarray(half)),
    chunk("IEND", Buffer.alloc(0)),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

function guess(filter: number, line: Buffer, above: Buffer, at: number, bytes: number): number {
  const left = line[at - bytes] ?? 0;
  const up = above[at] ?? 0;
  const corner = above[at - bytes] ?? 0;
  const sides = [left, up, corner];
  const near = sides.map((side) => Math.abs(left + up - corner - side));
  const paeth = sides[near.indexOf(Math.min(...near))] ?? 0;
  return [0, left, up, Math.floor((left + up) / 2), paeth][filter] ?? 0;
}

const VALUES = [0, 1, 2, 3, 4, 5].map((row) =>
  [0, 1, 2, 3, 4, 5, 6].map((col) => (row * 9377 + col * 30011 + row * col * 977) % 65536),
);

test("16-bit pixels come through every filter of PNG", async () => {
  for (const filters of [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]]) {
    const { width, height, pixels } = await decodeGreyPng(png(VALUES, 16, filters));
    assert.deepEqual([width, height], [7, 6]);
    assert.deepEqual([...pixels], VALUES.flat());
  }
});

test("8-bit pixels too", async () => {
  const values = VALUES.map((row) => row.map((value) => value % 256));
  const { pixels } = await decodeGreyPng(png(values, 8, [4, 1]));
  assert.deepEqual([...pixels], values.flat());
});

test("what is no such PNG is refused", async () => {
  await assert.rejects(decodeGreyPng(new Uint8Array(40)), /not a PNG/);
  await assert.rejects(decodeGreyPng(png(VALUES, 16, [0], 2)), /colour type 2/);
  await assert.rejects(decodeGreyPng(png(VALUES, 16, [7])), /filter 7/);
});

test("the window maps its ends to black and white", () => {
  const table = greyTable(2, -1000, { low: -100, high: 400 });
  const grey = (value: number) => table[(value + 1000) / 2];
  assert.deepEqual([-1000, -100, 150, 400, 2000].map(grey), [0, 0, 128, 255, 255]);
});

test("a slice is painted opaque and grey, in its own order", () => {
  const slice = { width: 3, height: 1, pixels: Uint16Array.of(0, 128, 255), scale: 1, offset: 0 };
  const into = new Uint8ClampedArray(12);
  paintGrey(slice, { low: 0, high: 255 }, into);
  assert.deepEqual([...into], [0, 0, 0, 255, 128, 128, 128, 255, 255, 255, 255, 255]);
});

test("dragging right widens, dragging down moves the window up, never inside out", () => {
  const span = { low: 0, high: 100 };
  const wider = dragSpan(span, 10, 0, WINDOW);
  assert.equal(wider.high - wider.low, 120);
  assert.equal(wider.high + wider.low, 100);
  assert.deepEqual(dragSpan(span, 0, 10, WINDOW), { low: 20, high: 120 });
  const thin = dragSpan(span, -9999, 0, WINDOW);
  assert.ok(thin.high > thin.low);
});

test("numbers have digits as their range deserves", () => {
  const texts = [readable(12.345, 3000), readable(12.345, 20), readable(0.12345, 1)];
  assert.deepEqual(texts, ["12", "12.3", "0.123"]);
});

test("heat is see-through at nothing and bright at certainty", () => {
  assert.deepEqual(heat(0), [68, 1, 84, 0]);
  assert.deepEqual(heat(255), [253, 231, 37, 200]);
  const brightness = Array.from({ length: 256 }, (_, value) => {
    const [red, green, blue] = heat(value);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  });
  assert.ok(brightness.every((value, at) => at === 0 || value >= (brightness[at - 1] ?? 0) - 1));
});
