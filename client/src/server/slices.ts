/** Slices that were fetched, the least recently used forgotten beyond a budget of bytes. */

import type { GreySlice } from "../model/intensity";
import { decodeGreyPng } from "../model/png16";
import type { ImageDetail } from "./shapes";
import { addresses } from "./routes";
import type { Connection } from "./connection";

export interface ColourSlice {
  readonly width: number;
  readonly height: number;
  readonly bitmap: ImageBitmap;
}

export type Slice =
  | { readonly kind: "grey"; readonly grey: GreySlice }
  | { readonly kind: "colour"; readonly colour: ColourSlice };

const BUDGET = 192 * 2 ** 20;

interface Kept {
  readonly slice: Promise<Slice>;
  readonly bytes: number;
}

export class Slices {
  private readonly kept = new Map<string, Kept>();
  private bytes = 0;

  constructor(private readonly connection: Connection) {}

  get(image: ImageDetail, index: number): Promise<Slice> {
    const key = `${image.id}/${index}`;
    const found = this.kept.get(key);
    if (found !== undefined) {
      this.kept.delete(key);
      this.kept.set(key, found);
      return found.slice;
    }
    const slice = this.fetch(image, index);
    slice.catch(() => this.forget(key));
    const bytes = image.width * image.height * (image.is_rgb ? 4 : 2);
    this.kept.set(key, { slice, bytes });
    this.bytes += bytes;
    this.trim();
    return slice;
  }

  /** Fetch neighbours ahead of the wheel. */
  expect(image: ImageDetail, index: number): void {
    for (const step of [1, -1, 2, -2]) {
      const at = index + step;
      if (at >= 0 && at < image.slices) this.get(image, at).catch(() => undefined);
    }
  }

  private async fetch(image: ImageDetail, index: number): Promise<Slice> {
    const address = addresses.slice(image.id, index);
    if (image.is_rgb) {
      const response = await this.connection.raw(address);
      const bitmap = await createImageBitmap(await response.blob());
      return { kind: "colour", colour: { width: bitmap.width, height: bitmap.height, bitmap } };
    }
    const response = await this.connection.raw(address, { raw: true });
    const png = await decodeGreyPng(new Uint8Array(await response.arrayBuffer()));
    const scale = Number(response.headers.get("X-Scale") ?? "1");
    const offset = Number(response.headers.get("X-Offset") ?? "0");
    return { kind: "grey", grey: { ...png, scale, offset } };
  }

  private trim(): void {
    for (const key of this.kept.keys()) {
      if (this.bytes <= BUDGET || this.kept.size === 1) return;
      this.forget(key);
    }
  }

  private forget(key: string): void {
    const found = this.kept.get(key);
    if (found === undefined) return;
    this.kept.delete(key);
    this.bytes -= found.bytes;
  }
}
