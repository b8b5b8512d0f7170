/**
 * What was done to the open image, for the marks on the canvas. The server owns undo; this follows
 * it: a step a change, a pointer behind the last one that holds, pending steps until answered.
 */

import type { LogEvent, Prompt, PromptLog } from "../server/shapes";
import type { Place } from "./viewport";

export interface Mark {
  readonly kind: "point" | "box" | "scribble" | "lasso" | "brush" | "eraser";
  readonly label: string;
  readonly slice: number;
  readonly isPositive: boolean;
  /** One place of a point, two opposite corners of a box (half open), the line of the others. */
  readonly places: readonly Place[];
  readonly radius: number;
}

export interface Step {
  readonly id: number;
  readonly mark: Mark | null;
  readonly isPending: boolean;
}

export interface History {
  readonly steps: readonly Step[];
  readonly pointer: number;
  readonly lastId: number;
}

export const EMPTY: History = { steps: [], pointer: 0, lastId: 0 };

/** Add a step that waits for its answer; what was undone before it is gone. */
export function begin(history: History, mark: Mark | null): History {
  const id = history.lastId + 1;
  const kept = history.steps.slice(0, history.pointer);
  return {
    steps: [...kept, { id, mark, isPending: true }],
    pointer: kept.length + 1,
    lastId: id,
  };
}

export function confirm(history: History, id: number): History {
  const steps = history.steps.map((step) =>
    step.id === id ? { ...step, isPending: false } : step,
  );
  return { ...history, steps };
}

/** Take back a step that the server refused. */
export function refuse(history: History, id: number): History {
  const index = history.steps.findIndex((step) => step.id === id);
  if (index < 0) return history;
  const steps = history.steps.filter((step) => step.id !== id);
  return { ...history, steps, pointer: history.pointer - (index < history.pointer ? 1 : 0) };
}

export function undo(history: History): History {
  return { ...history, pointer: Math.max(history.pointer - 1, 0) };
}

export function redo(history: History): History {
  return { ...history, pointer: Math.min(history.pointer + 1, history.steps.length) };
}

/** The steps that hold and left a mark on a slice. */
export function marksOn(history: History, slice: number): readonly Step[] {
  return history.steps
    .slice(0, history.pointer)
    .filter((step) => step.mark !== null && step.mark.slice === slice);
}

export function markOf(prompt: Prompt): Mark | null {
  if (prompt.kind === "mask") return null;
  const place = { kind: prompt.kind, label: prompt.label, slice: prompt.slice };
  const common = { ...place, isPositive: prompt.is_positive };
  switch (prompt.kind) {
    case "point":
      return { ...common, places: [{ row: prompt.row, col: prompt.col }], radius: 0 };
    case "box":
      return {
        ...common,
        places: [
          { row: prompt.top, col: prompt.left },
          { row: prompt.bottom, col: prompt.right },
        ],
        radius: 0,
      };
    default: {
      const places = prompt.points.map(([row, col]) => ({ row, col }));
      return { ...common, places, radius: prompt.radius ?? 0 };
    }
  }
}

/** Rebuild the steps from the server's log: the path to its pointer, then what redo would bring. */
export function fromLog(log: PromptLog): History {
  const path = pathTo(log.events, log.pointer);
  const steps: Step[] = [];
  for (const event of [...path, ...following(log.events, log.pointer)]) {
    steps.push({ id: event.seq + 1, mark: markOfEvent(event), isPending: false });
  }
  return { steps, pointer: path.length, lastId: log.events.length };
}

function pathTo(events: readonly LogEvent[], pointer: number | null): LogEvent[] {
  const bySeq = new Map(events.map((event) => [event.seq, event]));
  const path: LogEvent[] = [];
  for (let at = pointer; at !== null; ) {
    const event = bySeq.get(at);
    if (event === undefined) break;
    path.unshift(event);
    at = event.parent;
  }
  return path;
}

function following(events: readonly LogEvent[], pointer: number | null): LogEvent[] {
  const found: LogEvent[] = [];
  for (let at = pointer; ; ) {
    const children = events.filter((event) => event.parent === at);
    const youngest = children[children.length - 1];
    if (youngest === undefined) return found;
    found.push(youngest);
    at = youngest.seq;
  }
}

interface LoggedMark {
  readonly slice: number;
  readonly is_positive: boolean;
  readonly at?: readonly [number, number, number];
  readonly rows?: readonly [number, number];
  readonly cols?: readonly [number, number];
}

/** Clicks and boxes can be drawn again; of drawn lines the log keeps the pixels, the mask shows. */
function markOfEvent(event: LogEvent): Mark | null {
  const marks = event.prompt["marks"] as readonly LoggedMark[] | undefined;
  const first = marks?.[0];
  if (first === undefined || event.label === null) return null;
  const common = { label: event.label, slice: first.slice, isPositive: first.is_positive };
  if (first.at !== undefined) {
    const [, row, col] = first.at;
    return { ...common, kind: "point", places: [{ row, col }], radius: 0 };
  }
  if (first.rows !== undefined && first.cols !== undefined) {
    const places = [
      { row: first.rows[0], col: first.cols[0] },
      { row: first.rows[1], col: first.cols[1] },
    ];
    return { ...common, kind: "box", places, radius: 0 };
  }
  return null;
}
