/** Open an image, keep the right to work on it, finish it, go on. */

import { EMPTY, fromLog } from "../model/history";
import { hasEnded, type Occupied, type Opened } from "../model/state";
import { Lost, Refusal } from "../server/connection";
import type { ImageDetail, SessionState } from "../server/shapes";
import type { Desk } from "./desk";
import type { GalleryWork } from "./gallery";

const REMEMBERED = "medprism.session";

export class OpeningWork {
  private heart: ReturnType<typeof setTimeout> | undefined;
  private visits = 0;

  constructor(
    private readonly desk: Desk,
    private readonly gallery: GalleryWork,
  ) {}

  /** Open an image: its pixels at once, the session and the masks when they are there. */
  async open(id: number, takeOver = false): Promise<void> {
    const { desk } = this;
    const visit = this.leave(id);
    const former = desk.session;
    if (former !== null && former.image !== id) {
      // Not waited for: the other image need not be closed before this one opens.
      void desk.try(async () => {
        await desk.routes.close(former.session);
        await this.gallery.touch(former.image);
      });
    }
    try {
      const image = await desk.routes.image(id);
      if (visit !== this.visits) return;
      this.show(image);
      await desk.line.add(() => this.enter(image, takeOver));
    } catch (error) {
      if (visit !== this.visits) return;
      if (error instanceof Refusal && error.status !== 401) this.refused(id, error.message);
      else throw error;
    }
  }

  async takeOver(): Promise<void> {
    const { opened } = this.desk;
    if (opened !== null) await this.open(opened.image.id, true);
  }

  /** Save what is accepted; the answer comes when it is on the disk. */
  async accept(goOn: boolean): Promise<void> {
    const { desk } = this;
    const done = await desk.line.add(async () => {
      const { opened, session } = desk;
      if (opened === null || session === null) return false;
      const hasMask = session.labels.some(({ pixels }) => pixels > 0);
      if (!hasMask && opened.absent.length === 0) {
        desk.note("info", "There is no mask yet: click on a structure, or mark it as not there.");
        return false;
      }
      const { state } = await this.save(session, opened);
      desk.store.dispatch({ type: "session", state });
      desk.store.dispatch({ type: "opened-changed", change: { absent: [] } });
      return true;
    });
    if (done.isStale || !done.value) return;
    const image = desk.opened?.image.id;
    desk.note("good", "Accepted and saved. It is a reference for the next images.");
    const labels = await desk.routes.labels();
    desk.store.dispatch({ type: "labels", labels });
    if (image !== undefined) await this.gallery.touch(image);
    const { active } = desk.state;
    if (active !== null) {
      const references = await desk.routes.references(active);
      desk.store.dispatch({ type: "references", label: active, references });
    }
    if (goOn) await this.next();
  }

  private async save(
    session: SessionState,
    opened: Opened,
  ): Promise<{ readonly state: SessionState }> {
    try {
      return await this.desk.routes.accept(session.session, { absent: opened.absent });
    } catch (error) {
      if (error instanceof Lost) {
        this.desk.note("bad", "Not accepted yet: accept again when the server is back.");
      }
      throw error;
    }
  }

  async skip(reason: string): Promise<void> {
    const { desk } = this;
    const { opened, session } = desk;
    if (opened === null || session === null) return;
    const left = await desk.line.add(() => desk.routes.skip(session.session, reason));
    if (left.isStale) return;
    await this.gallery.touch(opened.image.id);
    const next = await desk.routes.nextImage(opened.image.id);
    if (next === null) this.allDone();
    else await this.open(next.id);
  }

  /** Go on with the next image; the server has it ready. */
  async next(): Promise<void> {
    const { desk } = this;
    const { session } = desk;
    if (session === null) {
      const next = await desk.routes.nextImage(desk.opened?.image.id ?? null);
      if (next === null) this.allDone();
      else await this.open(next.id);
      return;
    }
    const answer = await desk.line.add(() => desk.routes.next(session.session));
    if (answer.isStale) return;
    void desk.try(() => this.gallery.touch(session.image));
    if (answer.value.session === null) {
      this.allDone();
      return;
    }
    const state = answer.value;
    const visit = this.leave(state.image);
    const image = await desk.routes.image(state.image);
    if (visit !== this.visits) return;
    this.show(image);
    await desk.line.add(() => this.arrive(image, state));
    await this.gallery.suggest();
  }

  /** After the server was lost: find the session again, or begin a new one on the saved work. */
  async renew(): Promise<void> {
    const { opened } = this.desk;
    if (opened === null) return;
    if (opened.session === null) return;
    try {
      const state = await this.rejoin(opened.session.session, opened.image.id);
      await this.arrive(opened.image, state, opened.slice);
    } catch (error) {
      this.yieldTo(error, opened.image.id);
    }
  }

  /** Somebody else works on the image: say so in its place; any other error goes on. */
  private yieldTo(error: unknown, image: number): void {
    if (!(error instanceof Refusal) || error.code !== "image_in_use") throw error;
    const { desk } = this;
    if (desk.opened?.image.id !== image) return;
    clearTimeout(this.heart);
    const occupied: Occupied = { author: error.lease?.author ?? "", message: error.message };
    const change = { occupied, session: null, masks: {}, isBusy: false };
    desk.store.dispatch({ type: "opened-changed", change });
  }

  private async rejoin(session: string, image: number): Promise<SessionState> {
    try {
      return await this.desk.routes.session(session);
    } catch (error) {
      if (!isOver(error)) throw error;
      return this.desk.routes.open(image, false);
    }
  }

  /** Let the former image go; answers about it count no more. */
  private leave(id: number): number {
    const { desk } = this;
    this.visits += 1;
    clearTimeout(this.heart);
    desk.line.leave();
    const name = desk.state.gallery.entries.find((entry) => entry.id === id)?.name ?? "";
    desk.store.set({ opening: { id, name, error: null }, drawer: null, expert: "none" });
    return this.visits;
  }

  private show(image: ImageDetail): void {
    const { low, high } = image.window;
    const slice = Math.floor(image.slices / 2);
    const opened: Opened = {
      image,
      session: null,
      occupied: null,
      slice,
      masks: {},
      history: EMPTY,
      span: { low, high },
      absent: [],
      visited: [slice],
      isBusy: true,
      job: null,
    };
    this.desk.store.dispatch({ type: "opened", opened });
    history.replaceState(null, "", `#image=${image.id}`);
  }

  private async enter(image: ImageDetail, takeOver: boolean): Promise<void> {
    const { desk } = this;
    try {
      const kept = remembered(image.id);
      const state =
        kept !== null && !takeOver
          ? await this.rejoin(kept, image.id)
          : await desk.routes.open(image.id, takeOver);
      if (desk.opened?.image.id === image.id) await this.arrive(image, state);
      // The person is at another image by now: nobody should wait for this one.
      else await desk.routes.close(state.session);
    } catch (error) {
      this.yieldTo(error, image.id);
    }
  }

  private async arrive(image: ImageDetail, state: SessionState, at?: number): Promise<void> {
    const { desk } = this;
    if (desk.opened?.image.id !== image.id) return;
    remember(image.id, state.session);
    const log = await desk.routes.log(image.id);
    const slice = at ?? bestSlice(state, desk.opened.slice);
    const { masks } = await desk.routes.masks(state.session, slice);
    if (desk.opened?.image.id !== image.id) return;
    const change = { session: state, occupied: null, history: fromLog(log), isBusy: false };
    desk.store.dispatch({ type: "opened-changed", change });
    desk.store.dispatch({ type: "slice", slice });
    desk.store.dispatch({ type: "masks", slice, revision: state.revision, masks });
    if (state.notice !== null) desk.note("info", state.notice);
    const labels = await desk.routes.labels();
    desk.store.dispatch({ type: "labels", labels });
    if (state.job !== null) await this.findJob(state.job);
    this.beat(state.expires_in);
  }

  /** Work on this image that goes on, begun before it was opened here. */
  private async findJob(id: number): Promise<void> {
    const job = await this.desk.routes.job(id);
    if (!hasEnded(job)) this.desk.onJob(job);
  }

  private beat(expiresIn: number): void {
    clearTimeout(this.heart);
    const wait = Math.max(expiresIn / 3, 1);
    this.heart = setTimeout(() => {
      void this.desk.try(async () => {
        const { session } = this.desk;
        if (session === null) return;
        try {
          const { expires_in } = await this.desk.routes.heartbeat(session.session);
          this.beat(expires_in);
        } catch (error) {
          if (error instanceof Lost) return;
          if (!isOver(error)) throw error;
          await this.renew();
        }
      });
    }, 1000 * wait);
  }

  private refused(id: number, message: string): void {
    const { desk } = this;
    const name = desk.state.gallery.entries.find((entry) => entry.id === id)?.name ?? `image ${id}`;
    desk.store.set({ opened: null, opening: { id, name, error: message } });
  }

  private allDone(): void {
    this.visits += 1;
    clearTimeout(this.heart);
    this.desk.line.leave();
    forget();
    history.replaceState(null, "", "#");
    this.desk.store.set({ opened: null, opening: null, isAllDone: true });
  }
}

export function isOver(error: unknown): boolean {
  return error instanceof Refusal && (error.status === 410 || error.status === 404);
}

/** The slice to begin with: the given one if it has a mask, else the middle of those that have. */
function bestSlice(state: SessionState, slice: number): number {
  const masked = [...new Set(state.labels.flatMap((label) => label.slices_with_mask))];
  if (masked.length === 0 || masked.includes(slice)) return slice;
  masked.sort((one, other) => one - other);
  return masked[Math.floor(masked.length / 2)] ?? slice;
}

function remembered(image: number): string | null {
  const kept = sessionStorage.getItem(REMEMBERED);
  if (kept === null) return null;
  const [id, session] = kept.split(" ");
  return Number(id) === image && session !== undefined ? session : null;
}

function remember(image: number, session: string): void {
  sessionStorage.setItem(REMEMBERED, `${image} ${session}`);
}

function forget(): void {
  sessionStorage.removeItem(REMEMBERED);
}
