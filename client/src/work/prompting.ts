/** Change the masks of the open image: prompts, undo, knowledge, locks, slices. */

import { markOf } from "../model/history";
import { emptyRuns } from "../model/runs";
import { Lost } from "../server/connection";
import type { Answer, Prompt, SessionState } from "../server/shapes";
import type { Desk } from "./desk";
import { isOver, type OpeningWork } from "./opening";

export class PromptingWork {
  constructor(
    private readonly desk: Desk,
    private readonly opening: OpeningWork,
  ) {}

  /** Show the mark now; the mask changes when the answer comes. */
  async give(prompt: Prompt): Promise<void> {
    const { desk } = this;
    desk.store.dispatch({ type: "begin", mark: markOf(prompt) });
    const step = desk.opened?.history.lastId ?? 0;
    try {
      await this.change(step, (session) => desk.routes.prompt(session.session, prompt));
    } catch (error) {
      desk.store.dispatch({ type: "refused", step });
      throw error;
    }
    this.tell(prompt.label);
  }

  async undo(): Promise<void> {
    await this.step("undo");
  }

  async redo(): Promise<void> {
    await this.step("redo");
  }

  reset(): Promise<void> {
    return this.unmarked((session, slice) => this.desk.routes.reset(session.session, slice));
  }

  /** Take the label's mask off the shown slice. */
  async clear(label: string): Promise<void> {
    const { opened } = this.desk;
    if (opened === null) return;
    const mask = emptyRuns(opened.image.height, opened.image.width);
    await this.give({ kind: "mask", label, mask, slice: opened.slice });
  }

  /** Ask what the model knows about a class; on a volume that is a job. */
  predictClass(name: string): Promise<void> {
    if (this.isVolume) return this.predictVolume({ classes: [name] });
    return this.unmarked((session, slice) =>
      this.desk.routes.predict(session.session, { classes: [name], slice }),
    );
  }

  async use(label: string, use: "references" | "nothing"): Promise<void> {
    const { isVolume } = this;
    await this.unmarked((session, slice) =>
      this.desk.routes.knowledge(session.session, { label, use, predict: !isVolume, slice }),
    );
    if (isVolume && use === "references") await this.predictVolume({ labels: [label] });
  }

  async lock(label: string, isLocked: boolean): Promise<void> {
    await this.unmarked((session, slice) =>
      this.desk.routes.lock(session.session, { label, is_locked: isLocked, slice }),
    );
    this.desk.say(`${label} is ${isLocked ? "locked" : "unlocked"}`);
  }

  /** Show another slice; its masks follow. */
  async goTo(slice: number): Promise<void> {
    const { desk } = this;
    const before = desk.opened?.slice;
    desk.store.dispatch({ type: "slice", slice });
    const { opened } = desk;
    if (opened === null || opened.slice === before) return;
    desk.slices.expect(opened.image, opened.slice);
    await this.fetchMasks();
  }

  /** Fetch the masks of the shown slice. */
  async fetchMasks(): Promise<void> {
    const { desk } = this;
    const { opened, session } = desk;
    if (opened === null || session === null) return;
    const { slice } = opened;
    try {
      const { masks, revision } = await desk.routes.masks(session.session, slice);
      if (desk.session?.session !== session.session) return;
      desk.store.dispatch({ type: "masks", slice, revision, masks });
    } catch (error) {
      if (!isOver(error)) throw error;
      await this.opening.renew();
    }
  }

  private get isVolume(): boolean {
    return (this.desk.opened?.image.slices ?? 1) > 1;
  }

  private async predictVolume(what: { classes?: string[]; labels?: string[] }): Promise<void> {
    const { desk } = this;
    const started = await desk.line.add(async () => {
      const { session } = desk;
      return session === null ? null : desk.routes.predictVolume(session.session, what);
    });
    if (!started.isStale && started.value !== null) desk.onJob(started.value);
  }

  private async step(direction: "undo" | "redo"): Promise<void> {
    const { desk } = this;
    await this.inLine(async () => {
      const allowed = direction === "undo" ? desk.session?.can_undo : desk.session?.can_redo;
      if (allowed !== true) {
        desk.say(`Nothing to ${direction}`);
        return;
      }
      const ask = direction === "undo" ? desk.routes.undo : desk.routes.redo;
      const answer = await this.ask((session, slice) => ask(session.session, slice));
      desk.store.dispatch({ type: "stepped", direction, answer });
      desk.say(direction === "undo" ? "Undone" : "Redone");
    });
  }

  private unmarked(
    ask: (session: SessionState, slice: number) => Promise<Answer>,
  ): Promise<void> {
    this.desk.store.dispatch({ type: "begin", mark: null });
    const step = this.desk.opened?.history.lastId ?? 0;
    return this.change(step, ask).catch((error: unknown) => {
      this.desk.store.dispatch({ type: "refused", step });
      throw error;
    });
  }

  private async change(
    step: number,
    ask: (session: SessionState, slice: number) => Promise<Answer>,
  ): Promise<void> {
    const state = await this.inLine(async () => {
      const answer = await this.ask(ask);
      this.desk.store.dispatch({ type: "answer", step, answer });
      // Somebody turned the wheel meanwhile.
      if (answer.slice !== this.desk.opened?.slice) await this.fetchMasks();
      return answer.state;
    });
    if (state === null) return;
    // Outside of the line: the next click need not wait for these.
    await this.learnLabels(state);
    await this.tellGallery(state.image);
  }

  /** The value of a task in its turn, null if the image was left meanwhile. */
  private async inLine<T>(task: () => Promise<T>): Promise<T | null> {
    const { desk } = this;
    desk.store.dispatch({ type: "opened-changed", change: { isBusy: true } });
    const done = desk.line.add(task);
    try {
      const outcome = await done;
      return outcome.isStale ? null : outcome.value;
    } finally {
      if (desk.line.length === 0) {
        desk.store.dispatch({ type: "opened-changed", change: { isBusy: false } });
      }
    }
  }

  /** Ask once; if the server was lost or the session ended, find it again and ask once more. */
  private async ask(
    task: (session: SessionState, slice: number) => Promise<Answer>,
  ): Promise<Answer> {
    const { desk } = this;
    for (let attempt = 0; ; attempt += 1) {
      const { opened, session } = desk;
      if (opened === null || session === null) throw new Lost("the image is not open");
      try {
        return await task(session, opened.slice);
      } catch (error) {
        if (error instanceof Lost) {
          await desk.back();
          const arrived = await this.arrivedBefore(session, opened.slice);
          if (arrived !== null) return arrived;
        } else if (isOver(error) && attempt === 0) {
          await this.opening.renew();
        } else {
          throw error;
        }
      }
    }
  }

  /** The answer that was lost on its way, if the server had done what was asked. */
  private async arrivedBefore(before: SessionState, slice: number): Promise<Answer | null> {
    const { session } = this.desk;
    if (session === null || session.session !== before.session) return null;
    if (session.revision <= before.revision) return null;
    const { masks } = await this.desk.routes.masks(session.session, slice);
    return { state: session, slice, milliseconds: 0, masks };
  }

  private async learnLabels(state: SessionState): Promise<void> {
    const known = new Set(this.desk.state.labels.map(({ name }) => name));
    if (state.labels.every(({ name }) => known.has(name))) return;
    const labels = await this.desk.routes.labels();
    this.desk.store.dispatch({ type: "labels", labels });
  }

  /** The first change makes an image one that was started. */
  private async tellGallery(image: number): Promise<void> {
    const entry = this.desk.state.gallery.entries.find(({ id }) => id === image);
    if (entry?.state !== "new") return;
    const changed = await this.desk.routes.image(image);
    this.desk.store.dispatch({ type: "image-changed", image: changed });
  }

  private tell(label: string): void {
    const found = this.desk.session?.labels.find(({ name }) => name === label);
    if (found !== undefined) this.desk.say(`${label}: ${found.pixels} pixels`);
  }
}
