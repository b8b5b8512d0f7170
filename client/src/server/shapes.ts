/** What the server sends (docs/server.md, "The shapes that come back"). */

export type ImageState = "new" | "started" | "accepted" | "skipped" | "broken";

export interface ImageEntry {
  readonly id: number;
  readonly name: string;
  readonly state: ImageState;
  readonly reason: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly slices: number | null;
  readonly is_rgb: boolean | null;
  readonly modality: string | null;
  readonly spacing: readonly number[] | null;
  readonly is_physical: boolean | null;
  readonly is_presegmented: boolean;
  readonly uncertainty: number | null;
  readonly labels: readonly string[];
  readonly in_use_by: string | null;
  readonly changed: string;
}

export interface Preset {
  readonly name: string;
  readonly low: number;
  readonly high: number;
}

export interface ImageWindow {
  readonly low: number;
  readonly high: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly presets: readonly Preset[];
}

export interface ImageDetail extends ImageEntry {
  readonly width: number;
  readonly height: number;
  readonly slices: number;
  readonly is_rgb: boolean;
  readonly window: ImageWindow;
}

export type Colour = readonly [number, number, number];

export interface Label {
  readonly id: number;
  readonly name: string;
  readonly colour: Colour;
  readonly is_class: boolean;
  readonly references: number;
  readonly accepted: number;
  /** Images with an accepted mask that shows it. */
  readonly masks: number;
}

export type Knowledge = "class" | "references" | "nothing";

export interface LabelState {
  readonly name: string;
  readonly label: number;
  readonly presence: number | null;
  readonly is_locked: boolean;
  readonly pixels: number;
  readonly slices_with_mask: readonly number[];
  readonly interactions: number;
  readonly uses: Knowledge;
  readonly confidence: readonly (number | null)[] | null;
}

export interface SessionState {
  readonly session: string;
  readonly image: number;
  readonly author: string;
  readonly expires_in: number;
  readonly revision: number;
  readonly can_undo: boolean;
  readonly can_redo: boolean;
  readonly notice: string | null;
  /** The last job that was started on this session. */
  readonly job: number | null;
  readonly labels: readonly LabelState[];
}

export interface Runs {
  readonly shape: readonly [number, number];
  readonly runs: readonly number[];
}

export type Masks = Readonly<Record<string, Runs>>;

export interface Answer {
  readonly state: SessionState;
  readonly slice: number;
  readonly milliseconds: number;
  readonly masks: Masks;
}

export type JobKind = "presegment" | "score" | "export" | "propagate" | "predict" | "training";

export interface Job {
  readonly id: number;
  readonly kind: JobKind;
  readonly state: "queued" | "running" | "done" | "failed" | "cancelled";
  readonly done: number;
  readonly total: number;
  readonly message: string | null;
  readonly author: string;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly has_file: boolean;
}

export interface Reference {
  readonly id: number;
  readonly name: string;
  readonly image: number | null;
  readonly image_name: string;
  readonly origin: "accepted" | "uploaded";
  readonly is_active: boolean;
  readonly score: number | null;
}

export interface Settings {
  readonly presegment_next: boolean;
  readonly order: "list" | "uncertain";
  readonly references_used: number;
  readonly score_on_accept: boolean;
}

export interface Project {
  readonly name: string;
  readonly version: string;
  readonly images: Readonly<Partial<Record<ImageState, number>>>;
  readonly settings: Settings;
  readonly formats: readonly string[];
  readonly limits: { readonly training_masks: number };
  readonly notice: string | null;
  readonly author: string;
}

/** Dice of a class before and after a training, on masks that were held out. */
export interface TrainedClass {
  readonly name: string;
  readonly masks: number;
  readonly before: { readonly class: number | null; readonly reference: number | null };
  readonly after: { readonly class: number | null; readonly reference: number | null };
}

export interface OldClass {
  readonly name: string;
  readonly masks: number;
  readonly before: number;
  readonly after: number;
}

export interface TrainingReport {
  readonly classes: readonly string[];
  readonly masks: { readonly training: number; readonly held_out: number };
  readonly steps: number;
  readonly seconds: number;
  readonly new: readonly TrainedClass[];
  readonly old: readonly OldClass[];
  readonly agreement: {
    readonly classes: number;
    readonly dice: number;
    readonly lowest: { readonly name: string; readonly dice: number };
  } | null;
  readonly notes: readonly string[];
}

export interface Checkpoint {
  readonly id: number;
  readonly name: string;
  readonly is_base: boolean;
  readonly is_current: boolean;
  readonly is_missing: boolean;
  readonly label: string | null;
  readonly author: string | null;
  readonly created: string | null;
  readonly report: TrainingReport | null;
}

export interface KnownClass {
  readonly name: string;
  readonly synonyms: readonly string[];
}

export interface LogEvent {
  readonly seq: number;
  readonly parent: number | null;
  readonly kind: string;
  readonly label: string | null;
  readonly prompt: Readonly<Record<string, unknown>>;
}

export interface PromptLog {
  readonly image: string | number;
  readonly pointer: number | null;
  readonly events: readonly LogEvent[];
}

export type Prompt =
  | {
      readonly kind: "point";
      readonly label: string;
      readonly row: number;
      readonly col: number;
      readonly slice: number;
      readonly is_positive: boolean;
    }
  | {
      readonly kind: "box";
      readonly label: string;
      readonly top: number;
      readonly left: number;
      readonly bottom: number;
      readonly right: number;
      readonly slice: number;
      readonly is_positive: boolean;
    }
  | {
      readonly kind: "scribble" | "lasso" | "brush" | "eraser";
      readonly label: string;
      readonly points: readonly (readonly [number, number])[];
      readonly radius?: number;
      readonly slice: number;
      readonly is_positive: boolean;
    }
  | {
      readonly kind: "mask";
      readonly label: string;
      readonly mask: Runs;
      readonly slice: number;
    };
