/**
 * Where the image lies on the canvas. `row` and `col` count pixels with centres at integers, as on
 * the server; `x` and `y` are CSS pixels of the canvas and exist in the client alone.
 */

export interface Place {
  readonly row: number;
  readonly col: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** `scale`: CSS pixels a column; `aspect`: a pixel's height over its width; left, top in CSS. */
export interface Viewport {
  readonly scale: number;
  readonly aspect: number;
  readonly left: number;
  readonly top: number;
}

export const MIN_SCALE = 0.05;
export const MAX_SCALE = 64;
const VISIBLE = 48;

export function toPlace(view: Viewport, at: Point): Place {
  return {
    row: (at.y - view.top) / (view.scale * view.aspect) - 0.5,
    col: (at.x - view.left) / view.scale - 0.5,
  };
}

export function toPoint(view: Viewport, at: Place): Point {
  return {
    x: view.left + (at.col + 0.5) * view.scale,
    y: view.top + (at.row + 0.5) * view.scale * view.aspect,
  };
}

/** The pixel under a place, or null outside the image. */
export function pixelAt(place: Place, image: Size): Place | null {
  const row = Math.round(place.row);
  const col = Math.round(place.col);
  const isInside = row >= 0 && col >= 0 && row < image.height && col < image.width;
  return isInside ? { row: row + 0, col: col + 0 } : null;
}

/** The pixel of the image nearest to a place. */
export function nearestPixel(place: Place, image: Size): Place {
  return {
    row: clamp(Math.round(place.row), 0, image.height - 1),
    col: clamp(Math.round(place.col), 0, image.width - 1),
  };
}

/** The whole image in the middle of the canvas. */
export function fit(image: Size, canvas: Size, aspect = 1, margin = 16): Viewport {
  const width = Math.max(canvas.width - 2 * margin, 1);
  const height = Math.max(canvas.height - 2 * margin, 1);
  const wanted = Math.min(width / image.width, height / (image.height * aspect));
  const scale = clamp(wanted, MIN_SCALE, MAX_SCALE);
  return {
    scale,
    aspect,
    left: (canvas.width - image.width * scale) / 2,
    top: (canvas.height - image.height * scale * aspect) / 2,
  };
}

/** Zoom by a factor; what lies under `at` stays there. */
export function zoomAt(view: Viewport, factor: number, at: Point): Viewport {
  const scale = clamp(view.scale * factor, MIN_SCALE, MAX_SCALE);
  const real = scale / view.scale;
  return {
    ...view,
    scale,
    left: at.x - (at.x - view.left) * real,
    top: at.y - (at.y - view.top) * real,
  };
}

export function pan(view: Viewport, dx: number, dy: number): Viewport {
  return { ...view, left: view.left + dx, top: view.top + dy };
}

/** Move the view so that some of the image stays on the canvas. */
export function keepVisible(view: Viewport, image: Size, canvas: Size): Viewport {
  const width = image.width * view.scale;
  const height = image.height * view.scale * view.aspect;
  const across = Math.min(VISIBLE, width, canvas.width);
  const down = Math.min(VISIBLE, height, canvas.height);
  return {
    ...view,
    left: clamp(view.left, across - width, canvas.width - across),
    top: clamp(view.top, down - height, canvas.height - down),
  };
}

/** Follow two fingers: their middle moves the image, their distance zooms it. */
export function pinch(
  view: Viewport,
  before: readonly [Point, Point],
  after: readonly [Point, Point],
): Viewport {
  const from = middle(before);
  const to = middle(after);
  const factor = distance(after) / Math.max(distance(before), 1);
  return zoomAt(pan(view, to.x - from.x, to.y - from.y), factor, to);
}

/** Pan just enough that a pixel is on the canvas with some room around it. */
export function reveal(view: Viewport, place: Place, canvas: Size, room = 32): Viewport {
  const at = toPoint(view, place);
  const dx = at.x < room ? room - at.x : Math.min(0, canvas.width - room - at.x);
  const dy = at.y < room ? room - at.y : Math.min(0, canvas.height - room - at.y);
  return pan(view, dx, dy);
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function middle([one, other]: readonly [Point, Point]): Point {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}

function distance([one, other]: readonly [Point, Point]): number {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
