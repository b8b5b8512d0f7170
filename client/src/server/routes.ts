/** The server's routes (docs/server.md), one method each. */

import { Connection, queryText } from "./connection";
import type {
  Answer,
  Checkpoint,
  ImageDetail,
  ImageEntry,
  Job,
  KnownClass,
  Label,
  Masks,
  Project,
  Prompt,
  PromptLog,
  Reference,
  SessionState,
  Settings,
} from "./shapes";

export interface Addition {
  readonly added: readonly ImageEntry[];
  readonly refused: readonly { readonly name: string; readonly message: string }[];
}

export class Routes {
  constructor(readonly connection: Connection) {}

  login = (token: string) => this.connection.post<void>("/api/login", { token });
  project = () => this.connection.get<Project>("/api/project");
  settings = (change: Partial<Settings>) =>
    this.connection.patch<Settings>("/api/settings", change);
  classes = async (query: string) =>
    (await this.connection.get<{ classes: KnownClass[] }>("/api/classes", { query })).classes;

  images = (query: { state: string | null; query: string; offset: number; limit: number }) =>
    this.connection.get<{ images: ImageEntry[]; total: number }>("/api/images", query);
  image = (image: number) => this.connection.get<ImageDetail>(`/api/images/${image}`);
  nextImage = async (after: number | null) =>
    (await this.connection.get<{ image: ImageEntry | null }>("/api/images/next", { after })).image;
  suggestions = async (limit: number) =>
    (await this.connection.get<{ images: ImageEntry[] }>("/api/suggestions", { limit })).images;
  scan = () => this.connection.post<{ added: ImageEntry[] }>("/api/images/scan");
  log = (image: number) => this.connection.get<PromptLog>(`/api/images/${image}/log`);
  add(files: readonly File[]): Promise<Addition> {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    return this.connection.upload<Addition>("/api/images", form);
  }

  labels = async () => (await this.connection.get<{ labels: Label[] }>("/api/labels")).labels;
  makeLabel = (name: string) => this.connection.post<Label>("/api/labels", { name });
  changeLabel = (label: number, change: { name?: string; colour?: readonly number[] }) =>
    this.connection.patch<Label>(`/api/labels/${label}`, change);
  removeLabel = (label: number) => this.connection.delete(`/api/labels/${label}`);

  open = (image: number, takeOver: boolean) =>
    this.connection.post<SessionState>("/api/sessions", {
      image,
      presegment: true,
      in_background: true,
      take_over: takeOver,
    });
  session = (session: string) => this.connection.get<SessionState>(`/api/sessions/${session}`);
  heartbeat = (session: string) =>
    this.connection.post<{ expires_in: number }>(`/api/sessions/${session}/heartbeat`);
  close = (session: string) => this.connection.delete(`/api/sessions/${session}`);
  prompt = (session: string, prompt: Prompt) =>
    this.connection.post<Answer>(`/api/sessions/${session}/prompts`, prompt);
  predict = (session: string, what: { classes?: string[]; labels?: string[]; slice: number }) =>
    this.connection.post<Answer>(`/api/sessions/${session}/predict`, what);
  /** On all slices of a volume, as a job. */
  predictVolume = (session: string, what: { classes?: string[]; labels?: string[] }) =>
    this.connection.post<Job>(`/api/sessions/${session}/predict/job`, what);
  knowledge = (
    session: string,
    what: { label: string; use: "references" | "nothing"; predict: boolean; slice: number },
  ) =>
    this.connection.post<Answer>(`/api/sessions/${session}/knowledge`, what);
  undo = (session: string, slice: number) =>
    this.connection.post<Answer>(`/api/sessions/${session}/undo`, { slice });
  redo = (session: string, slice: number) =>
    this.connection.post<Answer>(`/api/sessions/${session}/redo`, { slice });
  reset = (session: string, slice: number) =>
    this.connection.post<Answer>(`/api/sessions/${session}/reset`, { slice });
  lock = (session: string, what: { label: string; is_locked: boolean; slice: number }) =>
    this.connection.post<Answer>(`/api/sessions/${session}/locks`, what);
  masks = (session: string, slice: number) =>
    this.connection.get<{ revision: number; slice: number; masks: Masks }>(
      `/api/sessions/${session}/masks`,
      { slice },
    );
  accept = (session: string, what: { labels?: string[]; absent?: readonly string[] }) =>
    this.connection.post<{ accepted: readonly unknown[]; state: SessionState }>(
      `/api/sessions/${session}/accept`,
      what,
    );
  skip = (session: string, reason: string) =>
    this.connection.post<void>(`/api/sessions/${session}/skip`, { reason });
  next = (session: string) =>
    this.connection.post<SessionState | { session: null }>(`/api/sessions/${session}/next`, {
      in_background: true,
    });
  propagate = (session: string, label: string) =>
    this.connection.post<Job>(`/api/sessions/${session}/propagate`, { label });

  references = async (label: string) =>
    (await this.connection.get<{ references: Reference[] }>("/api/references", { label }))
      .references;
  addReference = (image: number, label: string) =>
    this.connection.post<Reference>("/api/references", { image, label });
  activateReference = (reference: number, isActive: boolean) =>
    this.connection.patch<Reference>(`/api/references/${reference}`, { is_active: isActive });
  removeReference = (reference: number) =>
    this.connection.delete(`/api/references/${reference}`);

  checkpoints = async () =>
    (await this.connection.get<{ checkpoints: Checkpoint[] }>("/api/checkpoints")).checkpoints;
  useCheckpoint = async (checkpoint: number) =>
    (await this.connection.post<{ checkpoints: Checkpoint[] }>(
      `/api/checkpoints/${checkpoint}/use`,
    )).checkpoints;

  jobs = async () => (await this.connection.get<{ jobs: Job[] }>("/api/jobs")).jobs;
  job = (job: number) => this.connection.get<Job>(`/api/jobs/${job}`);
  startJob = (what: Readonly<Record<string, unknown>>) =>
    this.connection.post<Job>("/api/jobs", what);
  cancelJob = (job: number) => this.connection.post<Job>(`/api/jobs/${job}/cancel`);
  resumeJob = (job: number) => this.connection.post<Job>(`/api/jobs/${job}/resume`);
}

export const addresses = {
  slice: (image: number, index: number) => `/api/images/${image}/slices/${index}.png`,
  /** `changed` makes the browser fetch the picture again when the image has changed. */
  thumbnail: (image: number, size: number, changed: string) =>
    `/api/images/${image}/thumbnail.png${queryText({ size, changed })}`,
  reference: (reference: number, size: number) =>
    `/api/references/${reference}/thumbnail.png?size=${size}`,
  map: (session: string, kind: "probability" | "disagreement", label: string, slice: number) =>
    `/api/sessions/${session}/${kind}.png${queryText({ label, slice })}`,
  jobFile: (job: number) => `/api/jobs/${job}/file`,
  jobEvents: (job: number) => `/api/jobs/${job}/events`,
};
