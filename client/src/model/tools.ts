/** The tools, and how a gesture with one becomes a prompt. */

import type { Prompt } from "../server/shapes";
import { clamp, nearestPixel, type Place, type Size } from "./viewport";

export type Tool = "point" | "box" | "scribble" | "lasso" | "brush" | "eraser" | "pan" | "window";
export type PromptTool = Exclude<Tool, "pan" | "window">;

export const MIN_RADIUS = 1;
export const MAX_RADIUS = 64;

/** A gesture that is under way: the places of the pointer so far. */
export interface Gesture {
  readonly tool: PromptTool;
  readonly isPositive: boolean;
  readonly places: readonly Place[];
}

export interface Target {
  readonly label: string;
  readonly slice: number;
  readonly radius: number;
  readonly image: Size;
}

export function isPromptTool(tool: Tool): tool is PromptTool {
  return tool !== "pan" && tool !== "window";
}

/** Brush and eraser are each other's opposite: taking away with one is drawing with the other. */
export function drawnWith(tool: PromptTool, isPositive: boolean): Omit<Gesture, "places"> {
  if (isPositive || (tool !== "brush" && tool !== "eraser")) return { tool, isPositive };
  return { tool: tool === "brush" ? "eraser" : "brush", isPositive: true };
}

export function hasRadius(tool: Tool): boolean {
  return tool === "brush" || tool === "eraser" || tool === "scribble";
}

/** Follow the pointer. Places nearer than half a pixel to the last one say nothing new. */
export function extend(gesture: Gesture, place: Place): Gesture {
  const last = gesture.places[gesture.places.length - 1];
  if (last !== undefined && Math.hypot(last.row - place.row, last.col - place.col) < 0.5) {
    return gesture;
  }
  if (gesture.tool === "point") return gesture;
  if (gesture.tool === "box") {
    return { ...gesture, places: [gesture.places[0] ?? place, place] };
  }
  return { ...gesture, places: [...gesture.places, place] };
}

/** The prompt a finished gesture stands for; null if it is too small to mean anything. */
export function finish(gesture: Gesture, target: Target): Prompt | null {
  const { label, slice, image } = target;
  const common = { label, slice, is_positive: gesture.isPositive };
  const first = gesture.places[0];
  if (first === undefined) return null;
  if (gesture.tool === "point") {
    return { kind: "point", ...common, ...nearestPixel(first, image) };
  }
  if (gesture.tool === "box") return boxOf(gesture.places, common, image);
  const points = insidePoints(gesture.places, image);
  if (gesture.tool === "lasso") {
    return points.length < 3 ? null : { kind: "lasso", ...common, points };
  }
  return { kind: gesture.tool, ...common, points, radius: target.radius };
}

type Common = Pick<Extract<Prompt, { kind: "point" }>, "label" | "slice" | "is_positive">;

function boxOf(places: readonly Place[], common: Common, image: Size): Prompt | null {
  const [one, other] = places;
  if (one === undefined || other === undefined) return null;
  const from = nearestPixel(one, image);
  const to = nearestPixel(other, image);
  const box = {
    top: Math.min(from.row, to.row),
    left: Math.min(from.col, to.col),
    bottom: Math.max(from.row, to.row) + 1,
    right: Math.max(from.col, to.col) + 1,
  };
  const isTiny = box.bottom - box.top < 2 || box.right - box.left < 2;
  return isTiny ? null : { kind: "box", ...common, ...box };
}

function insidePoints(places: readonly Place[], image: Size): [number, number][] {
  const points: [number, number][] = [];
  for (const place of places) {
    const row = round(clamp(place.row, 0, image.height - 1));
    const col = round(clamp(place.col, 0, image.width - 1));
    const last = points[points.length - 1];
    if (last === undefined || last[0] !== row || last[1] !== col) points.push([row, col]);
  }
  return points;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
