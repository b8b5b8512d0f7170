/** What every piece of work needs: the state, the server, the line of requests, the slices. */

import { waitSeconds } from "../model/backoff";
import { Line } from "../model/line";
import type { Opened, State } from "../model/state";
import { Connection, Lost, Refusal } from "../server/connection";
import { Routes } from "../server/routes";
import type { Job, SessionState } from "../server/shapes";
import { Slices } from "../server/slices";
import { Store } from "../store";

const NOTE_SECONDS = 6;

export class Desk {
  readonly store = new Store();
  readonly connection = new Connection();
  readonly routes = new Routes(this.connection);
  readonly line = new Line();
  readonly slices = new Slices(this.connection);
  /** Runs when a lost server is back, before what waited for it goes on. */
  onBack: () => Promise<void> = () => Promise.resolve();

  /** Follows a job that was started on the open image. */
  onJob: (job: Job) => void = () => undefined;

  private returning: Promise<void> | null = null;
  private notes = 0;

  constructor() {
    this.connection.onLost = () => void this.back();
  }

  get state(): State {
    return this.store.state;
  }

  get opened(): Opened | null {
    return this.state.opened;
  }

  get session(): SessionState | null {
    return this.opened?.session ?? null;
  }

  /** Show a short message; it goes by itself, except bad news, which is closed by hand. */
  note(kind: "info" | "good" | "bad", text: string): void {
    this.notes += 1;
    const id = this.notes;
    this.store.dispatch({ type: "note", note: { id, kind, text } });
    const seconds = kind === "bad" ? 3 * NOTE_SECONDS : NOTE_SECONDS;
    setTimeout(() => this.store.dispatch({ type: "note-gone", id }), 1000 * seconds);
  }

  /** Tell a screen reader. */
  say(text: string): void {
    this.store.set({ spoken: text });
  }

  /** Run a piece of work; what the server refuses is shown, a lost server has its own banner. */
  async try(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (error instanceof Lost) return;
    if (error instanceof Refusal) {
      if (error.status === 401) this.store.set({ phase: "signed-out" });
      else this.note("bad", sentence(error.message));
      return;
    }
    this.note("bad", `This page made a mistake: ${String(error)}. Reload it; nothing is lost.`);
    throw error;
  }

  /** Wait until the server answers again; all who wait share one row of tries. */
  back(): Promise<void> {
    this.returning ??= this.knock().finally(() => {
      this.returning = null;
    });
    return this.returning;
  }

  private async knock(): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      for (let left = waitSeconds(attempt); left > 0; left -= 1) {
        this.store.set({ lost: left });
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      this.store.set({ lost: 0 });
      if (await answers()) break;
    }
    this.store.set({ lost: null });
    await this.onBack();
  }
}

async function answers(): Promise<boolean> {
  try {
    const response = await fetch("/api/project", { credentials: "same-origin" });
    return response.status < 500;
  } catch {
    return false;
  }
}

/** A message as a sentence: capital at the start, full stop at the end. */
export function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
