/** The one place where state lives. */

import { type Action, INITIAL, reduce, type State } from "./model/state";

export class Store {
  private current: State;
  private readonly listeners = new Set<() => void>();

  constructor(initial: State = INITIAL) {
    this.current = initial;
  }

  get state(): State {
    return this.current;
  }

  dispatch(action: Action): void {
    const next = reduce(this.current, action);
    if (next === this.current) return;
    this.current = next;
    for (const listener of this.listeners) listener();
  }

  set(change: Partial<State>): void {
    this.dispatch({ type: "set", change });
  }

  /** Call a function after every change; returns how to stop. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
