/** Masks as run lengths (background first, row order) and their outlines. */

import type { Runs } from "../server/shapes";

export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** A closed line through (x, y) in pixel corners: the pixel (row, col) spans col..col + 1. */
export type Loop = readonly number[];

export function decodeRuns({ shape, runs }: Runs): Plane {
  const [height, width] = shape;
  const pixels = new Uint8Array(height * width);
  let at = 0;
  let value = 0;
  for (const run of runs) {
    if (value === 1) pixels.fill(1, at, at + run);
    at += run;
    value = 1 - value;
  }
  if (at !== pixels.length) {
    throw new RangeError(`runs of ${at} pixels for a mask of ${height} x ${width}`);
  }
  return { width, height, pixels };
}

export function encodeRuns({ width, height, pixels }: Plane): Runs {
  const runs: number[] = [];
  let value = 0;
  let length = 0;
  for (const pixel of pixels) {
    if (pixel === value) {
      length += 1;
    } else {
      runs.push(length);
      value = pixel;
      length = 1;
    }
  }
  runs.push(length);
  return { shape: [height, width], runs };
}

export function emptyRuns(height: number, width: number): Runs {
  return { shape: [height, width], runs: [height * width] };
}

export function countPixels({ runs }: Runs): number {
  return runs.reduce((sum, run, index) => (index % 2 === 1 ? sum + run : sum), 0);
}

const STEP: readonly (readonly [number, number])[] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/**
 * The outlines of a mask, corners cut at the middle of the pixel edges. Shapes run clockwise, holes
 * the other way; pixels that touch at a corner alone are separate shapes.
 */
export function outlines(plane: Plane): Loop[] {
  const edges = directedEdges(plane);
  const stride = plane.width + 1;
  const loops: Loop[] = [];
  for (let vertex = 0; vertex < edges.length; vertex += 1) {
    while (edges[vertex] !== 0) loops.push(trace(edges, stride, vertex));
  }
  return loops;
}

/** The directions (bit 0 right, 1 down, 2 left, 3 up) outlines leave every pixel corner in. */
function directedEdges({ width, height, pixels }: Plane): Uint8Array {
  const stride = width + 1;
  const edges = new Uint8Array(stride * (height + 1));
  const leave = (corner: number, bit: number) => {
    edges[corner] = (edges[corner] ?? 0) | bit;
  };
  for (let row = 0; row < height; row += 1) {
    for (let col = 0; col < width; col += 1) {
      const at = row * width + col;
      if (pixels[at] !== 1) continue;
      const corner = row * stride + col;
      if (row === 0 || pixels[at - width] === 0) leave(corner, 1);
      if (col === width - 1 || pixels[at + 1] === 0) leave(corner + 1, 2);
      if (row === height - 1 || pixels[at + width] === 0) leave(corner + stride + 1, 4);
      if (col === 0 || pixels[at - 1] === 0) leave(corner + stride, 8);
    }
  }
  return edges;
}

function trace(edges: Uint8Array, stride: number, start: number): Loop {
  const moves = [1, stride, -1, -stride];
  const path: number[] = [];
  const directions: number[] = [];
  let vertex = start;
  let direction = [0, 1, 2, 3].find((one) => (edges[start] ?? 0) & (1 << one)) ?? 0;
  do {
    edges[vertex] = (edges[vertex] ?? 0) & ~(1 << direction);
    path.push(vertex);
    directions.push(direction);
    vertex += moves[direction] ?? 0;
    // Right turns first: at a corner where two shapes touch, stay with the one we follow.
    if (vertex !== start) direction = firstDirection(edges[vertex] ?? 0, direction);
  } while (vertex !== start);
  return midpoints(path, directions, stride);
}

function firstDirection(bits: number, coming: number): number {
  for (const turn of [1, 0, 3]) {
    const direction = (coming + turn) % 4;
    if (bits & (1 << direction)) return direction;
  }
  throw new RangeError("an outline that does not close");
}

function midpoints(path: readonly number[], directions: readonly number[], stride: number): Loop {
  const loop: number[] = [];
  const count = path.length;
  for (let at = 0; at < count; at += 1) {
    const direction = directions[at] ?? 0;
    const isStraight =
      directions[(at + count - 1) % count] === direction &&
      directions[(at + 1) % count] === direction;
    if (isStraight) continue;
    const corner = path[at] ?? 0;
    const [dx, dy] = STEP[direction] ?? [0, 0];
    loop.push((corner % stride) + dx / 2, Math.floor(corner / stride) + dy / 2);
  }
  return loop;
}
