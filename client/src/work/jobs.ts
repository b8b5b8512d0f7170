/** Long work: start it, follow it through server-sent events, stop it. */

import { hasEnded } from "../model/state";
import type { Job } from "../server/shapes";
import { addresses } from "../server/routes";
import { type Desk, sentence } from "./desk";
import type { GalleryWork } from "./gallery";
import type { LabellingWork } from "./labelling";
import type { PromptingWork } from "./prompting";

export class JobWork {
  private readonly streams = new Map<number, EventSource>();

  constructor(
    private readonly desk: Desk,
    private readonly gallery: GalleryWork,
    private readonly labelling: LabellingWork,
    private readonly prompting: PromptingWork,
  ) {
    desk.onJob = (job) => this.beginHere(job);
  }

  async refresh(): Promise<void> {
    const jobs = await this.desk.routes.jobs();
    this.desk.store.set({ jobs });
    for (const job of jobs) if (!hasEnded(job)) this.follow(job);
  }

  presegment(): Promise<void> {
    return this.start({ kind: "presegment" });
  }

  score(label: string): Promise<void> {
    return this.start({ kind: "score", label });
  }

  /** Logs name files and people, so an export without names has none. */
  export(format: string, withLogs: boolean, isNameless: boolean): Promise<void> {
    const logs = withLogs && !isNameless;
    return this.start({ kind: "export", format, logs, deidentify: isNameless });
  }

  async propagate(label: string): Promise<void> {
    const { session } = this.desk;
    if (session === null) return;
    const job = await this.desk.line.add(() =>
      this.desk.routes.propagate(session.session, label),
    );
    if (!job.isStale) this.beginHere(job.value);
  }

  /** Learn a class from its accepted masks, beginning with a checkpoint. */
  train(label: string, minutes: number, checkpoint: number): Promise<void> {
    return this.start({ kind: "training", label, minutes, checkpoint });
  }

  /** Use a checkpoint from now on; an open image keeps its model until it is opened again. */
  async useCheckpoint(checkpoint: number): Promise<void> {
    const checkpoints = await this.desk.routes.useCheckpoint(checkpoint);
    this.desk.store.set({ checkpoints });
    await this.learnModel();
  }

  async refreshCheckpoints(): Promise<void> {
    this.desk.store.set({ checkpoints: await this.desk.routes.checkpoints() });
  }

  async cancel(job: Job): Promise<void> {
    this.accepted(await this.desk.routes.cancelJob(job.id));
  }

  async resume(job: Job): Promise<void> {
    this.accepted(await this.desk.routes.resumeJob(job.id));
  }

  private async start(what: Readonly<Record<string, unknown>>): Promise<void> {
    this.accepted(await this.desk.routes.startJob(what));
  }

  /** A job on the open image: it is shown there, and its outcome is taken over there. */
  private beginHere(job: Job): void {
    this.desk.store.dispatch({ type: "opened-changed", change: { job: job.id } });
    this.accepted(job);
  }

  private accepted(job: Job): void {
    this.desk.store.dispatch({ type: "job", job });
    if (!hasEnded(job)) this.follow(job);
  }

  private follow(job: Job): void {
    if (this.streams.has(job.id)) return;
    const stream = new EventSource(addresses.jobEvents(job.id));
    this.streams.set(job.id, stream);
    stream.addEventListener("progress", (event: MessageEvent<string>) => {
      this.desk.store.dispatch({ type: "job", job: JSON.parse(event.data) as Job });
    });
    // A lost server is tried again by the browser itself; a refusal ends it.
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) this.streams.delete(job.id);
    });
    stream.addEventListener("end", () => {
      stream.close();
      this.streams.delete(job.id);
      void this.desk.try(() => this.ended(job.id));
    });
  }

  private async ended(id: number): Promise<void> {
    const job = await this.desk.routes.job(id);
    this.desk.store.dispatch({ type: "job", job });
    const isHere = this.desk.opened?.job === id;
    const isOthers = (job.kind === "propagate" || job.kind === "predict") && !isHere;
    if (isOthers) return;
    if (job.state === "failed") this.desk.note("bad", sentence(job.message ?? "the job failed"));
    if (job.state !== "done") return;
    if (isHere) await this.changedHere(job);
    if (job.kind === "training") await this.trained();
    if (job.kind === "presegment") {
      this.desk.note("good", "All images are pre-segmented.");
      await this.gallery.refresh();
    }
    if (job.kind === "score" && this.desk.state.active !== null) {
      await this.labelling.fetchReferences(this.desk.state.active);
    }
    if (job.kind === "export") this.desk.note("good", "The export is ready to save.");
  }

  private async trained(): Promise<void> {
    await Promise.all([this.refreshCheckpoints(), this.learnModel()]);
    this.desk.note("good", "The class is trained. Images opened from now on use it.");
  }

  /** Another model knows other classes. */
  private async learnModel(): Promise<void> {
    this.desk.store.set({ project: await this.desk.routes.project() });
    await this.labelling.refresh();
  }

  private async changedHere(job: Job): Promise<void> {
    const { session, routes, store } = this.desk;
    if (session === null) return;
    const state = await routes.session(session.session);
    store.dispatch({ type: "begin", mark: null });
    const step = this.desk.opened?.history.lastId ?? 0;
    const slice = this.desk.opened?.slice ?? 0;
    const { masks } = await routes.masks(session.session, slice);
    store.dispatch({ type: "answer", step, answer: { state, slice, milliseconds: 0, masks } });
    if (job.kind === "predict") {
      await this.labelling.refresh();
      this.desk.say(`All slices are segmented: ${state.labels.map(({ name }) => name).join(", ")}`);
    }
    const least = job.result?.["least_certain"];
    if (typeof least === "number") {
      this.desk.note("good", `Propagated. The least certain slice is ${least + 1}.`);
      await this.prompting.goTo(least);
    }
  }
}
