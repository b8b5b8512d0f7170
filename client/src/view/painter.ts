/** Draw a scene on the two canvases: the image with its masks, and the marks above. */

import type { Mark, Step } from "../model/history";
import { decodeRuns, outlines } from "../model/runs";
import { toPoint, type Place, type Point, type Viewport } from "../model/viewport";
import type { Colour, Runs } from "../server/shapes";

export interface MaskLayer {
  readonly name: string;
  readonly mask: Runs;
  readonly colour: Colour;
  readonly opacity: number;
  readonly isActive: boolean;
}

export interface Picture {
  readonly source: CanvasImageSource;
  readonly width: number;
  readonly height: number;
}

const paths = new WeakMap<Runs, Path2D>();
const PIXELS_FROM = 6;
const DOT = 7;

/** Draw the image, the expert's map and the masks. `ratio`: device pixels a CSS pixel. */
export function paintBase(
  context: CanvasRenderingContext2D,
  view: Viewport,
  ratio: number,
  scene: {
    readonly picture: Picture | null;
    readonly map: Picture | null;
    readonly masks: readonly MaskLayer[];
  },
): void {
  clear(context);
  place(context, view, ratio);
  if (scene.picture !== null) {
    context.imageSmoothingEnabled = view.scale < PIXELS_FROM;
    context.imageSmoothingQuality = "high";
    context.drawImage(scene.picture.source, 0, 0, scene.picture.width, scene.picture.height);
  }
  if (scene.map !== null) {
    context.imageSmoothingEnabled = view.scale < PIXELS_FROM;
    context.drawImage(scene.map.source, 0, 0, scene.map.width, scene.map.height);
  }
  for (const layer of scene.masks) paintMask(context, view, layer, scene.map !== null);
}

function paintMask(
  context: CanvasRenderingContext2D,
  view: Viewport,
  layer: MaskLayer,
  isOutlineOnly: boolean,
): void {
  const path = pathOf(layer.mask);
  if (!isOutlineOnly) {
    context.fillStyle = css(layer.colour, layer.opacity);
    context.fill(path, "evenodd");
  }
  context.lineJoin = "round";
  context.lineWidth = (layer.isActive ? 4 : 3) / view.scale;
  context.strokeStyle = "rgb(0 0 0 / 0.45)";
  context.stroke(path);
  context.lineWidth = (layer.isActive ? 2 : 1.25) / view.scale;
  context.strokeStyle = css(layer.colour, 1);
  context.stroke(path);
}

function pathOf(mask: Runs): Path2D {
  const known = paths.get(mask);
  if (known !== undefined) return known;
  const path = new Path2D();
  for (const loop of outlines(decodeRuns(mask))) {
    for (let at = 0; at < loop.length; at += 2) {
      const [x, y] = [loop[at] ?? 0, loop[at + 1] ?? 0];
      if (at === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
    path.closePath();
  }
  paths.set(mask, path);
  return path;
}

/** Draw the marks of the prompts, the gesture that is under way and the crosshair. */
export function paintMarks(
  context: CanvasRenderingContext2D,
  view: Viewport,
  ratio: number,
  scene: {
    readonly steps: readonly Step[];
    readonly gesture: Mark | null;
    readonly colourOf: (label: string) => Colour;
    readonly crosshair: Place | null;
    readonly ring: { readonly at: Point; readonly radius: number } | null;
  },
): void {
  clear(context);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const { mark, isPending } of scene.steps) {
    if (mark !== null) paintMark(context, view, mark, scene.colourOf(mark.label), isPending);
  }
  if (scene.gesture !== null) {
    paintMark(context, view, scene.gesture, scene.colourOf(scene.gesture.label), true);
  }
  if (scene.ring !== null) paintRing(context, scene.ring.at, scene.ring.radius * view.scale);
  if (scene.crosshair !== null) paintCrosshair(context, toPoint(view, scene.crosshair));
}

function paintMark(
  context: CanvasRenderingContext2D,
  view: Viewport,
  mark: Mark,
  colour: Colour,
  isPending: boolean,
): void {
  const first = mark.places[0];
  if (first === undefined) return;
  switch (mark.kind) {
    case "point":
      paintDot(context, toPoint(view, first), colour, mark.isPositive, isPending);
      return;
    case "box":
      paintBox(context, view, mark, colour, isPending);
      return;
    case "lasso":
      paintLasso(context, view, mark, colour, isPending);
      return;
    case "scribble":
      paintStroke(context, view, mark, mark.isPositive ? css(colour, 0.9) : "rgb(20 20 20 / 0.85)");
      return;
    default:
      // The mask itself shows a brush stroke as soon as it was answered.
      if (!isPending) return;
      paintStroke(context, view, mark, mark.kind === "brush" ? css(colour, 0.55) : ERASER);
  }
}

const ERASER = "rgb(128 128 128 / 0.6)";

function paintDot(
  context: CanvasRenderingContext2D,
  { x, y }: Point,
  colour: Colour,
  isPositive: boolean,
  isPending: boolean,
): void {
  if (isPending) {
    context.beginPath();
    context.arc(x, y, DOT + 5, 0, 2 * Math.PI);
    context.strokeStyle = css(colour, 0.8);
    context.lineWidth = 2;
    context.setLineDash([3, 4]);
    context.stroke();
    context.setLineDash([]);
  }
  context.beginPath();
  context.arc(x, y, DOT, 0, 2 * Math.PI);
  context.fillStyle = isPositive ? css(colour, 1) : "#16181c";
  context.fill();
  context.lineWidth = 3.5;
  context.strokeStyle = "rgb(0 0 0 / 0.5)";
  context.stroke();
  context.lineWidth = 1.75;
  context.strokeStyle = isPositive ? "#ffffff" : css(colour, 1);
  context.stroke();
  context.strokeStyle = isPositive ? inkOn(colour) : "#ffffff";
  context.beginPath();
  context.moveTo(x - 3, y);
  context.lineTo(x + 3, y);
  if (isPositive) {
    context.moveTo(x, y - 3);
    context.lineTo(x, y + 3);
  }
  context.stroke();
}

function paintBox(
  context: CanvasRenderingContext2D,
  view: Viewport,
  mark: Mark,
  colour: Colour,
  isPending: boolean,
): void {
  const [one, other] = mark.places;
  if (one === undefined || other === undefined) return;
  // Boxes are half open: their sides run along pixel edges.
  const from = toPoint(view, { row: one.row - 0.5, col: one.col - 0.5 });
  const to = toPoint(view, { row: other.row - 0.5, col: other.col - 0.5 });
  context.beginPath();
  context.rect(from.x, from.y, to.x - from.x, to.y - from.y);
  outlineMark(context, colour, isPending);
}

function paintLasso(
  context: CanvasRenderingContext2D,
  view: Viewport,
  mark: Mark,
  colour: Colour,
  isPending: boolean,
): void {
  follow(context, view, mark.places);
  if (!isPending) context.closePath();
  outlineMark(context, colour, true);
}

function paintStroke(
  context: CanvasRenderingContext2D,
  view: Viewport,
  mark: Mark,
  style: string,
): void {
  follow(context, view, mark.places);
  const [first] = mark.places;
  if (mark.places.length === 1 && first !== undefined) {
    const { x, y } = toPoint(view, first);
    context.lineTo(x + 0.01, y);
  }
  context.lineWidth = Math.max(2 * mark.radius * view.scale, 2);
  context.strokeStyle = style;
  context.stroke();
}

function follow(context: CanvasRenderingContext2D, view: Viewport, places: readonly Place[]): void {
  context.beginPath();
  places.forEach((place, index) => {
    const { x, y } = toPoint(view, place);
    if (index === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  });
}

function outlineMark(context: CanvasRenderingContext2D, colour: Colour, isDashed: boolean): void {
  context.lineWidth = 3.5;
  context.strokeStyle = "rgb(0 0 0 / 0.5)";
  context.stroke();
  context.lineWidth = 1.5;
  context.setLineDash(isDashed ? [6, 4] : []);
  context.strokeStyle = css(colour, 1);
  context.stroke();
  context.setLineDash([]);
}

function paintRing(context: CanvasRenderingContext2D, { x, y }: Point, radius: number): void {
  context.beginPath();
  context.arc(x, y, Math.max(radius, 2), 0, 2 * Math.PI);
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.5)";
  context.stroke();
  context.lineWidth = 1.25;
  context.strokeStyle = "#ffffff";
  context.stroke();
}

function paintCrosshair(context: CanvasRenderingContext2D, { x, y }: Point): void {
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    context.moveTo(x + 4 * dx, y + 4 * dy);
    context.lineTo(x + 18 * dx, y + 18 * dy);
  }
  context.lineWidth = 4;
  context.strokeStyle = "rgb(0 0 0 / 0.65)";
  context.stroke();
  context.lineWidth = 1.75;
  context.strokeStyle = "#ffffff";
  context.stroke();
}

function clear(context: CanvasRenderingContext2D): void {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
}

function place(context: CanvasRenderingContext2D, view: Viewport, ratio: number): void {
  const across = view.scale * ratio;
  context.setTransform(across, 0, 0, across * view.aspect, view.left * ratio, view.top * ratio);
}

export function css([red, green, blue]: Colour, alpha: number): string {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** Black or white, whichever stands out more. */
export function inkOn([red, green, blue]: Colour): string {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#111111" : "#ffffff";
}
