/** All work together: the start, the way back after a lost server, and the commands of the keys. */

import { leastCertain } from "../model/confidence";
import type { Command } from "../model/hotkeys";
import type { Dialog, Drawer, Theme } from "../model/state";
import { clamp } from "../model/viewport";
import { MAX_RADIUS, MIN_RADIUS, type Tool } from "../model/tools";
import { Lost, Refusal } from "../server/connection";
import {
  hasSeenTour,
  saveAuthor,
  savedAuthor,
  savedTheme,
  saveTheme,
  saveTourSeen,
} from "./choices";
import { Desk } from "./desk";
import { GalleryWork } from "./gallery";
import { JobWork } from "./jobs";
import { LabellingWork } from "./labelling";
import { OpeningWork } from "./opening";
import { PromptingWork } from "./prompting";

const REFRESH_SECONDS = 30;

/** What the canvas does itself: it alone knows the view. */
export interface CanvasCommands {
  zoom(factor: number): void;
  fit(): void;
  focus(): void;
}

export class Workbench {
  readonly desk = new Desk();
  readonly gallery = new GalleryWork(this.desk);
  readonly opening = new OpeningWork(this.desk, this.gallery);
  readonly prompting = new PromptingWork(this.desk, this.opening);
  readonly labelling = new LabellingWork(this.desk, this.prompting);
  readonly jobs = new JobWork(this.desk, this.gallery, this.labelling, this.prompting);
  canvas: CanvasCommands | null = null;

  constructor() {
    this.desk.onBack = () => this.comeBack();
  }

  /** Run work of a button; errors are shown. */
  do(task: () => Promise<void>): void {
    void this.desk.try(task);
  }

  async start(): Promise<void> {
    const { desk } = this;
    const author = savedAuthor();
    desk.connection.author = author;
    desk.store.set({ theme: savedTheme(), author });
    const hash = new URLSearchParams(location.hash.slice(1));
    const token = hash.get("token");
    try {
      if (token !== null) {
        history.replaceState(null, "", location.pathname);
        await desk.routes.login(token);
      }
      await this.load(Number(hash.get("image") ?? "0"));
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        desk.store.set({ phase: "signed-out", failure: token === null ? null : error.message });
      } else if (error instanceof Refusal) {
        desk.store.set({ phase: "failed", failure: error.message });
      } else if (!(error instanceof Lost)) {
        throw error;
      }
    }
    setInterval(() => this.keepFresh(), 1000 * REFRESH_SECONDS);
  }

  async signIn(token: string): Promise<void> {
    try {
      await this.desk.routes.login(token);
      await this.load(0);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.desk.store.set({ failure: error.message });
    }
  }

  setTool(tool: Tool): void {
    this.desk.store.set({ tool });
  }

  setTheme(theme: Theme): void {
    saveTheme(theme);
    this.desk.store.set({ theme });
  }

  setAuthor(author: string): void {
    saveAuthor(author);
    this.desk.connection.author = author;
    this.desk.store.set({ author });
  }

  setDialog(dialog: Dialog | null): void {
    this.desk.store.set({ dialog });
  }

  setDrawer(drawer: Drawer | null): void {
    this.desk.store.set({ drawer });
  }

  setTour(tour: number | null): void {
    if (tour === null) saveTourSeen();
    this.desk.store.set({ tour });
  }

  /** Run the command of a key or a menu. */
  run(command: Command): void {
    const { desk } = this;
    const { opened, active } = desk.state;
    if (command.startsWith("tool.")) {
      this.setTool(command.slice("tool.".length) as Tool);
      return;
    }
    const simple: Partial<Record<Command, () => void>> = {
      polarity: () => this.turn(),
      smaller: () => this.resize(1 / 1.25),
      larger: () => this.resize(1.25),
      "zoom.in": () => this.canvas?.zoom(1.25),
      "zoom.out": () => this.canvas?.zoom(0.8),
      "zoom.fit": () => this.canvas?.fit(),
      canvas: () => this.canvas?.focus(),
      help: () => this.setDialog("help"),
    };
    const direct = simple[command];
    if (direct !== undefined) {
      direct();
      return;
    }
    if (command === "next") this.do(() => this.opening.next());
    if (opened === null) return;
    if (command === "skip" && opened.session !== null) {
      this.setDialog("skip");
      return;
    }
    const needed: Partial<Record<Command, () => Promise<void>>> = {
      undo: () => this.prompting.undo(),
      redo: () => this.prompting.redo(),
      reset: () => this.prompting.reset(),
      accept: () => this.opening.accept(false),
      "accept.next": () => this.opening.accept(true),
      "slice.next": () => this.prompting.goTo(opened.slice + 1),
      "slice.previous": () => this.prompting.goTo(opened.slice - 1),
      "slice.uncertain": () => this.goToLeastCertain(),
    };
    const task = needed[command];
    if (task !== undefined) this.do(task);
    else if (active !== null) this.runOnLabel(command, active);
  }

  private runOnLabel(command: Command, label: string): void {
    const { desk } = this;
    const found = desk.session?.labels.find(({ name }) => name === label);
    if (command === "clear") this.do(() => this.prompting.clear(label));
    if (command === "lock" && found !== undefined) {
      this.do(() => this.prompting.lock(label, !found.is_locked));
    }
    if (command === "visibility") {
      const masksHidden = !desk.state.masksHidden;
      desk.store.set({ masksHidden });
      desk.say(masksHidden ? "Masks hidden" : "Masks shown");
    }
    if (command === "expert") {
      desk.store.set({ expert: desk.state.expert === "none" ? "probability" : "none" });
    }
  }

  async goToLeastCertain(): Promise<void> {
    const { opened, active } = this.desk.state;
    const confidence = this.desk.session?.labels.find(({ name }) => name === active)?.confidence;
    if (opened === null || confidence === undefined || confidence === null) return;
    const visited = new Set([...opened.visited, opened.slice]);
    const slice = leastCertain(confidence, visited);
    if (slice !== null) await this.prompting.goTo(slice);
  }

  private turn(): void {
    const isPositive = !this.desk.state.isPositive;
    this.desk.store.set({ isPositive });
    this.desk.say(isPositive ? "Adds to the mask" : "Takes away from the mask");
  }

  private resize(factor: number): void {
    const wanted = Math.round(this.desk.state.radius * factor + (factor > 1 ? 0.5 : -0.5));
    this.desk.store.set({ radius: clamp(wanted, MIN_RADIUS, MAX_RADIUS) });
  }

  private async load(image: number): Promise<void> {
    const { desk } = this;
    const project = await desk.routes.project();
    const author = desk.state.author === "" ? project.author : desk.state.author;
    const tour = hasSeenTour() ? null : 0;
    desk.store.set({ project, author, phase: "ready", failure: null, tour });
    document.title = `${project.name} · medprism`;
    await Promise.all([this.gallery.refresh(), this.labelling.refresh(), this.jobs.refresh()]);
    if (desk.state.active !== null) await this.labelling.choose(desk.state.active);
    if (image > 0) await this.opening.open(image);
  }

  private async comeBack(): Promise<void> {
    const { desk } = this;
    const { opened, opening, phase } = desk.state;
    await desk.try(async () => {
      if (phase !== "ready") {
        await this.load(0);
        return;
      }
      if (opening !== null) await this.opening.open(opening.id);
      else if (opened?.session) await this.opening.renew();
      else if (opened?.occupied === null) await this.opening.open(opened.image.id);
      await Promise.all([this.gallery.refresh(), this.jobs.refresh()]);
      desk.note("good", "The server is back.");
    });
  }

  private keepFresh(): void {
    const { phase, lost } = this.desk.state;
    if (phase !== "ready" || lost !== null || document.hidden) return;
    this.do(() => this.gallery.refresh());
  }
}
