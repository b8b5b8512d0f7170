/** The labels of the project and the references of each. */

import type { Colour, Label, Reference } from "../server/shapes";
import type { Desk } from "./desk";
import type { PromptingWork } from "./prompting";

export class LabellingWork {
  constructor(
    private readonly desk: Desk,
    private readonly prompting: PromptingWork,
  ) {}

  async refresh(): Promise<void> {
    const labels = await this.desk.routes.labels();
    this.desk.store.dispatch({ type: "labels", labels });
  }

  /** The name of the label that is being added, null where that failed; null while none is. */
  naming: Promise<string | null> | null = null;

  /**
   * Make a label and choose it; the name of a class gives the class.
   *
   * What is drawn meanwhile is for this label: it waits for `naming`, and comes after the class.
   */
  async make(name: string): Promise<void> {
    const adding = (this.naming ?? Promise.resolve(null)).then(() => this.add(name));
    const naming = adding.then(
      (label) => label.name,
      () => null,
    );
    this.naming = naming;
    let label: Label;
    try {
      label = await adding;
      if (this.naming === naming) this.desk.store.set({ active: label.name });
    } finally {
      if (this.naming === naming) this.naming = null;
    }
    this.desk.say(`${label.name} added and chosen`);
    const isAsked = label.is_class && this.desk.session !== null;
    await Promise.all([
      isAsked ? this.prompting.predictClass(label.name) : null,
      this.fetchReferences(label.name),
    ]);
  }

  async choose(name: string): Promise<void> {
    // Whoever chooses another label does not want the one that is on its way.
    this.naming = null;
    this.desk.store.set({ active: name });
    await this.fetchReferences(name);
  }

  private async add(name: string): Promise<Label> {
    const label = await this.desk.routes.makeLabel(name);
    await this.refresh();
    return label;
  }

  async rename(label: Label, name: string): Promise<void> {
    const changed = await this.desk.routes.changeLabel(label.id, { name });
    await this.refresh();
    await this.choose(changed.name);
  }

  async paint(label: Label, colour: Colour): Promise<void> {
    await this.desk.routes.changeLabel(label.id, { colour });
    await this.refresh();
  }

  async remove(label: Label): Promise<void> {
    await this.desk.routes.removeLabel(label.id);
    await this.refresh();
  }

  async fetchReferences(label: string): Promise<void> {
    const references = await this.desk.routes.references(label);
    this.desk.store.dispatch({ type: "references", label, references });
  }

  /** Make the accepted mask of the open image a reference. */
  async addReference(label: string): Promise<void> {
    const image = this.desk.opened?.image.id;
    if (image === undefined) return;
    await this.desk.routes.addReference(image, label);
    await Promise.all([this.fetchReferences(label), this.refresh()]);
  }

  async activate(label: string, reference: Reference): Promise<void> {
    await this.desk.routes.activateReference(reference.id, !reference.is_active);
    await this.fetchReferences(label);
    const uses = this.desk.session?.labels.find(({ name }) => name === label)?.uses;
    if (uses === "references") await this.prompting.use(label, "references");
  }

  async removeReference(label: string, reference: Reference): Promise<void> {
    await this.desk.routes.removeReference(reference.id);
    await Promise.all([this.fetchReferences(label), this.refresh()]);
  }
}
