/** Mouse, pen, fingers and arrow keys on the image. */

import { dragSpan } from "../model/intensity";
import { drawnWith, extend, finish, type Gesture, isPromptTool, type Tool } from "../model/tools";
import {
  nearestPixel,
  pan,
  pinch,
  pixelAt,
  reveal,
  type Place,
  type Point,
} from "../model/viewport";
import type { Workbench } from "../work/workbench";
import type { Surface } from "./surface";

const FAR_STEP = 10;
const WHEEL_STEP = 40;

type Drag = "draw" | "pan" | "window";

export class Pointing {
  private readonly fingers = new Map<number, Point>();
  private drag: Drag | null = null;
  private last: Point = { x: 0, y: 0 };
  private wheel = 0;
  private isSpaceDown = false;
  private readonly stop = new AbortController();

  constructor(
    private readonly bench: Workbench,
    private readonly surface: Surface,
    private readonly canvas: HTMLCanvasElement,
  ) {
    const { signal } = this.stop;
    canvas.addEventListener("pointerdown", (event) => this.down(event), { signal });
    canvas.addEventListener("pointermove", (event) => this.move(event), { signal });
    canvas.addEventListener("pointerup", (event) => this.up(event, true), { signal });
    canvas.addEventListener("pointercancel", (event) => this.up(event, false), { signal });
    canvas.addEventListener("pointerleave", () => this.hover(null), { signal });
    canvas.addEventListener("wheel", (event) => this.turn(event), { signal, passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    canvas.addEventListener("keydown", (event) => this.key(event), { signal });
    canvas.addEventListener("blur", () => this.leaveKeyboard(), { signal });
    window.addEventListener("keyup", (event) => this.keyUp(event), { signal });
  }

  dispose(): void {
    this.stop.abort();
  }

  private down(event: PointerEvent): void {
    const at = this.pointOf(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.surface.crosshair = null;
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, at);
      if (this.fingers.size === 2) {
        // A second finger means zoom: what the first one began was no prompt.
        this.cancel();
        return;
      }
      if (this.fingers.size > 2) return;
    }
    this.last = at;
    this.drag = this.dragOf(event);
    if (this.drag === "draw") this.begin(this.surface.placeAt(at), this.isPositive(event));
  }

  private move(event: PointerEvent): void {
    const at = this.pointOf(event);
    if (this.fingers.has(event.pointerId) && this.fingers.size >= 2) {
      this.pinchTo(event.pointerId, at);
      return;
    }
    this.fingers.forEach((_, id) => id === event.pointerId && this.fingers.set(id, at));
    if (event.pointerType !== "touch") this.hover(at);
    const { surface } = this;
    if (this.drag === "draw") {
      const events = event.getCoalescedEvents();
      for (const one of events.length > 0 ? events : [event]) {
        this.draw(surface.placeAt(this.pointOf(one)));
      }
    } else if (this.drag === "pan") {
      surface.move(pan(surface.view, at.x - this.last.x, at.y - this.last.y));
    } else if (this.drag === "window") {
      this.changeWindow(at.x - this.last.x, at.y - this.last.y);
    }
    this.last = at;
  }

  private up(event: PointerEvent, isWanted: boolean): void {
    this.fingers.delete(event.pointerId);
    if (this.drag === "draw") {
      if (isWanted) this.end();
      else this.cancel();
    }
    this.drag = null;
  }

  private begin(place: Place, isPositive: boolean): void {
    const { tool } = this.bench.desk.state;
    if (isPromptTool(tool) && this.mayDraw(place)) {
      this.surface.gesture = { ...drawnWith(tool, isPositive), places: [place] };
      this.surface.drawMarks();
    }
  }

  private draw(place: Place): void {
    const { surface } = this;
    if (surface.gesture === null) return;
    surface.gesture = extend(surface.gesture, place);
    surface.drawMarks();
  }

  private end(): void {
    const { gesture } = this.surface;
    this.cancel();
    if (gesture !== null) this.bench.do(() => this.give(gesture));
  }

  /** Send what was drawn; it waits for the label that is being added, if one is. */
  private async give(gesture: Gesture): Promise<void> {
    const { desk, labelling, prompting } = this.bench;
    const { opened } = desk;
    const { image } = this.surface;
    const { active, radius } = desk.state;
    if (image === null || opened === null) return;
    const { naming } = labelling;
    const label = naming === null ? active : await naming;
    if (label === null || desk.opened?.image.id !== image.id) return;
    const prompt = finish(gesture, { label, slice: opened.slice, radius, image });
    if (prompt !== null) await prompting.give(prompt);
  }

  private cancel(): void {
    this.surface.gesture = null;
    this.drag = null;
    this.surface.drawMarks();
  }

  /** A gesture needs a label, the right to change the image, and (a click) a pixel under it. */
  private mayDraw(place: Place): boolean {
    const { desk, labelling } = this.bench;
    const { active, tool } = desk.state;
    const { image } = this.surface;
    if (image === null || desk.opened?.occupied !== null) return false;
    // Another image is on its way: this one is no longer ours.
    if (desk.state.opening !== null) {
      const name = desk.state.opening.name || "Another image";
      desk.note("info", `${name} is being opened: click when it is shown.`);
      return false;
    }
    if (tool === "point" && pixelAt(place, image) === null) return false;
    if (labelling.naming !== null) return true;
    if (active === null) {
      desk.note("info", "Name the structure first: type it under Labels.");
      // The press itself moves the focus to the image, after this.
      requestAnimationFrame(() => document.getElementById("label-search")?.focus());
      return false;
    }
    const found = desk.session?.labels.find(({ name }) => name === active);
    if (found?.is_locked === true) {
      desk.note("info", `${active} is locked. Unlock it (O) to change its mask.`);
      return false;
    }
    return true;
  }

  private dragOf(event: PointerEvent): Drag {
    const { tool } = this.bench.desk.state;
    if (event.button === 1 || this.isSpaceDown || tool === "pan") return "pan";
    if (tool === "window") return "window";
    return "draw";
  }

  private isPositive(event: PointerEvent): boolean {
    const { isPositive } = this.bench.desk.state;
    return event.button === 2 || event.altKey ? !isPositive : isPositive;
  }

  private pinchTo(finger: number, at: Point): void {
    const before = [...this.fingers.values()];
    this.fingers.set(finger, at);
    const after = [...this.fingers.values()];
    const [was, wasToo] = before;
    const [is, isToo] = after;
    if (!was || !wasToo || !is || !isToo) return;
    this.surface.move(pinch(this.surface.view, [was, wasToo], [is, isToo]));
  }

  private changeWindow(dx: number, dy: number): void {
    const { desk } = this.bench;
    const { opened } = desk;
    if (opened === null || opened.image.is_rgb) return;
    const span = dragSpan(opened.span, dx, dy, opened.image.window);
    desk.store.dispatch({ type: "opened-changed", change: { span } });
  }

  private turn(event: WheelEvent): void {
    event.preventDefault();
    const { opened } = this.bench.desk;
    if (opened === null) return;
    const isZoom = event.ctrlKey || event.metaKey || opened.image.slices === 1;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const turned = event.deltaY * lines;
    if (isZoom) {
      this.surface.zoom(Math.exp(-turned / (event.ctrlKey ? 120 : 400)), this.pointOf(event));
      return;
    }
    this.wheel += turned;
    const steps = Math.trunc(this.wheel / WHEEL_STEP);
    if (steps === 0) return;
    this.wheel -= steps * WHEEL_STEP;
    const { prompting } = this.bench;
    // One slice a notch, however far a fast wheel says it turned.
    this.bench.do(() => prompting.goTo(opened.slice + Math.sign(steps)));
  }

  private key(event: KeyboardEvent): void {
    const steps: Record<string, readonly [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    const isModified = event.ctrlKey || event.metaKey || event.altKey;
    if (step !== undefined && !isModified) {
      event.preventDefault();
      this.moveCrosshair(step, event.shiftKey ? FAR_STEP : 1);
    } else if (event.key === "Enter" && !isModified) {
      event.preventDefault();
      this.press(event.shiftKey);
    } else if (event.key === "Escape" && this.surface.gesture !== null) {
      event.stopPropagation();
      this.cancel();
    } else if (event.key === " ") {
      event.preventDefault();
      this.isSpaceDown = true;
    }
  }

  private keyUp(event: KeyboardEvent): void {
    if (event.key === " ") this.isSpaceDown = false;
  }

  private moveCrosshair([down, across]: readonly [number, number], far: number): void {
    const { surface } = this;
    const { image } = surface;
    if (image === null) return;
    const centre = surface.placeAt({
      x: surface.canvasSize.width / 2,
      y: surface.canvasSize.height / 2,
    });
    const from = surface.crosshair ?? nearestPixel(centre, image);
    const isFirst = surface.crosshair === null;
    const step = isFirst ? 0 : far;
    const to = { row: from.row + step * down, col: from.col + step * across };
    surface.crosshair = nearestPixel(to, image);
    this.draw(surface.crosshair);
    surface.move(reveal(surface.view, surface.crosshair, surface.canvasSize));
    this.bench.desk.say(`Row ${surface.crosshair.row}, column ${surface.crosshair.col}`);
  }

  /** Enter: a click at the crosshair; others begin at the first press, end at the second. */
  private press(isOpposite: boolean): void {
    const { surface } = this;
    const { tool, isPositive } = this.bench.desk.state;
    if (surface.crosshair === null) {
      this.moveCrosshair([0, 0], 0);
      return;
    }
    if (surface.gesture === null) {
      this.begin(surface.crosshair, isOpposite ? !isPositive : isPositive);
      if (tool !== "point") {
        this.bench.desk.say("Begun: arrow keys move, Enter ends it, Escape drops it");
        return;
      }
    }
    this.end();
  }

  private leaveKeyboard(): void {
    this.surface.crosshair = null;
    this.surface.drawMarks();
  }

  private hover(at: Point | null): void {
    this.surface.hover = at;
    this.surface.drawMarks();
  }

  private pointOf(event: { clientX: number; clientY: number }): Point {
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }
}

/** The pointer over the image for each tool. */
export function cursorOf(tool: Tool): string {
  if (tool === "pan") return "grab";
  if (tool === "window") return "move";
  return tool === "brush" || tool === "eraser" ? "none" : "crosshair";
}
