/** The image area: what is on it, where it lies, and when it is drawn again. */

import { marksOn, type Mark } from "../model/history";
import { heat, paintGrey, type Span } from "../model/intensity";
import { lookOf, type Opened } from "../model/state";
import { hasRadius, isPromptTool, type Gesture } from "../model/tools";
import {
  fit,
  keepVisible,
  toPlace,
  zoomAt,
  type Place,
  type Point,
  type Size,
  type Viewport,
} from "../model/viewport";
import { addresses } from "../server/routes";
import type { Slice } from "../server/slices";
import type { Colour, ImageDetail } from "../server/shapes";
import type { CanvasCommands, Workbench } from "../work/workbench";
import { paintBase, paintMarks, type MaskLayer, type Picture } from "./painter";

const PLAIN: Colour = [255, 255, 255];

export class Surface implements CanvasCommands {
  view: Viewport = { scale: 1, aspect: 1, left: 0, top: 0 };
  gesture: Gesture | null = null;
  /** Where the keyboard points; shown while the canvas has the focus by keyboard. */
  crosshair: Place | null = null;
  hover: Point | null = null;

  private size: Size = { width: 1, height: 1 };
  private ratio = 1;
  private isFitted = true;
  private frame = 0;
  private isBaseOld = true;
  private shown: Opened | null = null;
  private slice: Slice | null = null;
  private sliceKey = "";
  private readonly pixels = document.createElement("canvas");
  private map: Picture | null = null;
  private mapKey = "";
  private readonly stop: (() => void)[] = [];

  constructor(
    private readonly bench: Workbench,
    private readonly base: HTMLCanvasElement,
    private readonly marks: HTMLCanvasElement,
  ) {
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(base);
    this.stop.push(() => observer.disconnect());
    this.stop.push(bench.desk.store.listen(() => this.follow()));
    this.resize();
    this.follow();
  }

  dispose(): void {
    for (const stop of this.stop) stop();
    cancelAnimationFrame(this.frame);
  }

  get image(): ImageDetail | null {
    return this.bench.desk.opened?.image ?? null;
  }

  placeAt(point: Point): Place {
    return toPlace(this.view, point);
  }

  zoom(factor: number, at?: Point): void {
    const centre = { x: this.size.width / 2, y: this.size.height / 2 };
    this.move(zoomAt(this.view, factor, at ?? centre));
  }

  fit(): void {
    const { image } = this;
    if (image === null) return;
    this.view = fit(image, this.size, aspectOf(image));
    this.isFitted = true;
    this.draw();
  }

  focus(): void {
    this.marks.focus();
  }

  move(view: Viewport): void {
    const { image } = this;
    if (image === null) return;
    this.view = keepVisible(view, image, this.size);
    this.isFitted = false;
    this.draw();
  }

  get canvasSize(): Size {
    return this.size;
  }

  /** Draw with the next frame. */
  draw(): void {
    this.isBaseOld = true;
    this.drawMarks();
  }

  /** Draw what follows the pointer, and leave the image with its masks as it is. */
  drawMarks(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  private resize(): void {
    const { width, height } = this.base.getBoundingClientRect();
    if (width < 1 || height < 1) return;
    const { image } = this;
    const centre = this.placeAt({ x: this.size.width / 2, y: this.size.height / 2 });
    this.size = { width, height };
    this.ratio = window.devicePixelRatio;
    for (const canvas of [this.base, this.marks]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    if (this.isFitted || image === null) this.fit();
    else this.moveTo(centre);
    // A canvas that changed its size is empty: without this it would flicker.
    this.isBaseOld = true;
    this.paint();
  }

  private moveTo(centre: Place): void {
    const now = this.placeAt({ x: this.size.width / 2, y: this.size.height / 2 });
    const { scale, aspect } = this.view;
    const left = this.view.left + (now.col - centre.col) * scale;
    const top = this.view.top + (now.row - centre.row) * scale * aspect;
    this.move({ ...this.view, left, top });
  }

  private follow(): void {
    const { opened } = this.bench.desk;
    const before = this.shown;
    this.shown = opened;
    if (opened === null) {
      this.slice = null;
      this.sliceKey = "";
      this.map = null;
      this.gesture = null;
    } else {
      const isOther = before?.image.id !== opened.image.id;
      if (isOther) this.begin();
      this.fetchSlice(opened);
      if (!isOther && before !== null && before.span !== opened.span) this.develop(opened.span);
      this.fetchMap(opened);
    }
    this.draw();
  }

  private begin(): void {
    this.slice = null;
    this.crosshair = null;
    this.gesture = null;
    this.fit();
  }

  private fetchSlice({ image, slice }: Opened): void {
    const key = `${image.id}/${slice}`;
    if (key === this.sliceKey) return;
    this.sliceKey = key;
    const { desk } = this.bench;
    void desk.try(async () => {
      const fetched = await desk.slices.get(image, slice).catch((error: unknown) => {
        if (this.sliceKey === key) this.sliceKey = "";
        throw error;
      });
      if (this.sliceKey !== key || this.shown === null) return;
      this.slice = fetched;
      this.develop(this.shown.span);
      this.draw();
    });
  }

  /** Turn stored grey into what is shown. */
  private develop(span: Span): void {
    if (this.slice?.kind !== "grey") return;
    const { grey } = this.slice;
    this.pixels.width = grey.width;
    this.pixels.height = grey.height;
    const context = this.pixels.getContext("2d");
    if (context === null) return;
    const shown = context.createImageData(grey.width, grey.height);
    paintGrey(grey, span, shown.data);
    context.putImageData(shown, 0, 0);
  }

  private fetchMap({ session, slice }: Opened): void {
    const { expert, active } = this.bench.desk.state;
    if (expert === "none" || active === null || session === null) {
      this.map = null;
      this.mapKey = "";
      return;
    }
    if (!session.labels.some(({ name }) => name === active)) return;
    const address = addresses.map(session.session, expert, active, slice);
    const key = `${address} ${session.revision}`;
    if (key === this.mapKey) return;
    this.mapKey = key;
    const { desk } = this.bench;
    void desk.try(async () => {
      const map = await colouredMap(await desk.connection.raw(address));
      if (this.mapKey !== key) return;
      this.map = map;
      this.draw();
    });
  }

  private paint(): void {
    const base = this.base.getContext("2d");
    const marks = this.marks.getContext("2d");
    if (base === null || marks === null) return;
    const { shown } = this;
    if (this.isBaseOld) {
      const masks = shown === null ? [] : this.layers(shown);
      paintBase(base, this.view, this.ratio, { picture: this.picture(), map: this.map, masks });
      this.isBaseOld = false;
    }
    const { state } = this.bench.desk;
    const steps = shown === null || state.masksHidden ? [] : marksOn(shown.history, shown.slice);
    const isBrush = hasRadius(state.tool) && this.hover !== null;
    paintMarks(marks, this.view, this.ratio, {
      steps: steps.filter(({ mark }) => mark !== null && lookOf(state, mark.label).isVisible),
      gesture: this.gestureMark(),
      colourOf: (label) => this.colourOf(label),
      crosshair: this.crosshair,
      ring: isBrush && this.hover !== null ? { at: this.hover, radius: state.radius } : null,
    });
  }

  private picture(): Picture | null {
    if (this.slice === null) return null;
    if (this.slice.kind === "grey") {
      const { width, height } = this.pixels;
      return { source: this.pixels, width, height };
    }
    const { bitmap, width, height } = this.slice.colour;
    return { source: bitmap, width, height };
  }

  private layers(shown: Opened): MaskLayer[] {
    const { state } = this.bench.desk;
    if (state.masksHidden) return [];
    return Object.entries(shown.masks)
      .filter(([name]) => lookOf(state, name).isVisible)
      .map(([name, mask]) => ({
        name,
        mask,
        colour: this.colourOf(name),
        opacity: lookOf(state, name).opacity,
        isActive: name === state.active,
      }))
      .sort((one, other) => Number(one.isActive) - Number(other.isActive));
  }

  private colourOf(label: string): Colour {
    return this.bench.desk.state.labels.find(({ name }) => name === label)?.colour ?? PLAIN;
  }

  private gestureMark(): Mark | null {
    const { state, opened } = this.bench.desk;
    if (this.gesture === null || opened === null || !isPromptTool(this.gesture.tool)) return null;
    const { tool, isPositive, places } = this.gesture;
    const label = state.active ?? "";
    return { kind: tool, label, slice: opened.slice, isPositive, places, radius: state.radius };
  }
}

function aspectOf({ spacing, is_physical }: ImageDetail): number {
  const down = spacing?.[spacing.length - 2] ?? 1;
  const across = spacing?.[spacing.length - 1] ?? 1;
  return is_physical === true && down > 0 && across > 0 ? down / across : 1;
}

async function colouredMap(response: Response): Promise<Picture> {
  const bitmap = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("this browser gives no canvas");
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const table = Array.from({ length: 256 }, (_, value) => heat(value));
  for (let at = 0; at < image.data.length; at += 4) {
    image.data.set(table[image.data[at] ?? 0] ?? [0, 0, 0, 0], at);
  }
  context.putImageData(image, 0, 0);
  return { source: canvas, width: canvas.width, height: canvas.height };
}
