/** From stored 16-bit pixels to grey on the screen: window and level. */

import type { ImageWindow } from "../server/shapes";
import { clamp } from "./viewport";

export interface Span {
  readonly low: number;
  readonly high: number;
}

/** A slice as the server stores it: value = pixel * scale + offset. */
export interface GreySlice {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint16Array;
  readonly scale: number;
  readonly offset: number;
}

/** Grey (0..255) of each of the 65536 pixel values. */
export function greyTable(scale: number, offset: number, { low, high }: Span): Uint8ClampedArray {
  const table = new Uint8ClampedArray(65536);
  const width = Math.max(high - low, Number.EPSILON);
  for (let pixel = 0; pixel < table.length; pixel += 1) {
    table[pixel] = (255 * (pixel * scale + offset - low)) / width;
  }
  return table;
}

/** Write a slice as RGBA. */
export function paintGrey(slice: GreySlice, span: Span, into: Uint8ClampedArray): void {
  const table = greyTable(slice.scale, slice.offset, span);
  const words = new Uint32Array(into.buffer, into.byteOffset, slice.pixels.length);
  for (let at = 0; at < words.length; at += 1) {
    const grey = table[slice.pixels[at] ?? 0] ?? 0;
    words[at] = 0xff000000 | (grey * 0x010101);
  }
}

/** Drag: to the right widens the window, downwards makes the image darker. */
export function dragSpan(span: Span, dx: number, dy: number, window: ImageWindow): Span {
  const range = window.maximum - window.minimum;
  const step = range / 600;
  const centre = (span.low + span.high) / 2 + dy * step;
  const width = Math.max(span.high - span.low + dx * step, range / 1000);
  return {
    low: clamp(centre - width / 2, window.minimum - range, window.maximum + range),
    high: clamp(centre + width / 2, window.minimum - range, window.maximum + range),
  };
}

/** Short text for a value of the image, with as many digits as its range deserves. */
export function readable(value: number, range: number): string {
  const digits = range >= 100 ? 0 : range >= 10 ? 1 : 3;
  return value.toFixed(digits);
}

/** Colour of a probability (0..255): transparent to dark blue to green to yellow, as in viridis. */
export function heat(value: number): readonly [number, number, number, number] {
  const stops = [
    [68, 1, 84],
    [59, 82, 139],
    [33, 145, 140],
    [94, 201, 98],
    [253, 231, 37],
  ] as const;
  const at = (clamp(value, 0, 255) / 255) * (stops.length - 1);
  const index = Math.min(Math.floor(at), stops.length - 2);
  const from = stops[index] ?? stops[0];
  const to = stops[index + 1] ?? stops[0];
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(from[channel] + (to[channel] - from[channel]) * (at - index));
  return [mix(0), mix(1), mix(2), Math.round(Math.min(value * 3, 200))];
}
