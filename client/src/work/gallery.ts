/** The list of images. */

import type { Filter } from "../model/state";
import type { Desk } from "./desk";

const PAGE = 60;
const SUGGESTIONS = 3;

export class GalleryWork {
  private asked = 0;

  constructor(private readonly desk: Desk) {}

  /** Fetch the list again, as long as it is shown. */
  async refresh(): Promise<void> {
    await this.fetch(0, Math.max(this.desk.state.gallery.entries.length, PAGE));
    await this.suggest();
  }

  async more(): Promise<void> {
    const { entries, total, isLoading } = this.desk.state.gallery;
    if (!isLoading && entries.length < total) await this.fetch(entries.length, PAGE);
  }

  async search(query: string): Promise<void> {
    this.change({ query });
    await this.fetch(0, PAGE);
  }

  async show(filter: Filter): Promise<void> {
    this.change({ filter });
    await this.fetch(0, PAGE);
  }

  async scan(): Promise<void> {
    const { added } = await this.desk.routes.scan();
    const text = added.length === 0 ? "There are no new files." : `${added.length} images added.`;
    this.desk.note("info", text);
    await this.refresh();
  }

  async upload(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    this.desk.note("info", `Adding ${files.length} ${files.length === 1 ? "file" : "files"} …`);
    const { added, refused } = await this.desk.routes.add(files);
    for (const { name, message } of refused.slice(0, 2)) {
      this.desk.note("bad", `${name}: ${message}`);
    }
    if (refused.length > 2) this.desk.note("bad", `${refused.length} files could not be added.`);
    if (added.length > 0) this.desk.note("good", `${added.length} images added.`);
    await this.refresh();
    this.desk.store.set({ project: await this.desk.routes.project() });
  }

  async suggest(): Promise<void> {
    const suggestions = await this.desk.routes.suggestions(SUGGESTIONS);
    this.change({ suggestions });
  }

  /** Fetch one image's line and the counts of the project. */
  async touch(image: number): Promise<void> {
    const [changed, project] = await Promise.all([
      this.desk.routes.image(image),
      this.desk.routes.project(),
    ]);
    this.desk.store.dispatch({ type: "image-changed", image: changed });
    this.desk.store.set({ project });
  }

  private async fetch(offset: number, limit: number): Promise<void> {
    this.asked += 1;
    const asked = this.asked;
    const { query, filter } = this.desk.state.gallery;
    this.change({ isLoading: true });
    try {
      const state = filter === "all" ? null : filter;
      const { images, total } = await this.desk.routes.images({ state, query, offset, limit });
      if (asked !== this.asked) return;
      const before = this.desk.state.gallery.entries.slice(0, offset);
      this.change({ entries: [...before, ...images], total });
    } finally {
      if (asked === this.asked) this.change({ isLoading: false });
    }
  }

  private change(change: Partial<Desk["state"]["gallery"]>): void {
    this.desk.store.dispatch({ type: "gallery", change });
  }
}
