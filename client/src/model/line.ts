/** Requests about one image in the order they were made; answers to what was left are dropped. */

export type Outcome<T> =
  | { readonly isStale: true }
  | { readonly isStale: false; readonly value: T };

export class Line {
  private last: Promise<unknown> = Promise.resolve();
  private generation = 0;
  private waiting = 0;

  /** How many requests have not been answered. */
  get length(): number {
    return this.waiting;
  }

  /** Run a task after those before it; stale if `leave` came between. A failure stops nothing. */
  async add<T>(task: () => Promise<T>): Promise<Outcome<T>> {
    const { generation } = this;
    this.waiting += 1;
    const run = this.last.then(async (): Promise<Outcome<T>> => {
      if (generation !== this.generation) return { isStale: true };
      const value = await task();
      return generation === this.generation ? { isStale: false, value } : { isStale: true };
    });
    this.last = run.catch(() => undefined);
    try {
      return await run;
    } catch (error) {
      if (generation !== this.generation) return { isStale: true };
      throw error;
    } finally {
      if (generation === this.generation) this.waiting -= 1;
    }
  }

  /** Another image: nothing that is still on its way counts any more. */
  leave(): void {
    this.generation += 1;
    this.waiting = 0;
    this.last = Promise.resolve();
  }
}
