/** The list of images with their states. */

import { useRef } from "preact/hooks";
import { type Filter, type State, statusOf, type Status } from "../model/state";
import { addresses } from "../server/routes";
import type { ImageEntry } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";
import { Icon } from "./icon";

const FILTERS: readonly (readonly [Filter, string])[] = [
  ["all", "All images"],
  ["new", "New"],
  ["started", "Started"],
  ["accepted", "Accepted"],
  ["skipped", "Skipped"],
  ["broken", "Unreadable"],
];

const STATUS: Readonly<Record<Status, string>> = {
  new: "New",
  presegmented: "Pre-segmented",
  started: "Started",
  "in-use": "In use",
  accepted: "Accepted",
  skipped: "Skipped",
  broken: "Unreadable",
};

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function Gallery({ bench, state }: Props) {
  const { gallery } = state;
  const input = useRef<HTMLInputElement>(null);
  const pick = () => input.current?.click();
  const loadMore = (event: Event) => {
    const list = event.currentTarget as HTMLElement;
    const left = list.scrollHeight - list.scrollTop - list.clientHeight;
    if (left < 400) bench.do(() => bench.gallery.more());
  };
  return (
    <aside class="gallery" aria-label="Images" id="gallery">
      <div class="gallery-tools">
        <label class="search">
          <Icon name="search" size={16} />
          <input
            type="search"
            placeholder="Search images"
            aria-label="Search images"
            value={gallery.query}
            onInput={(event) => bench.do(() => bench.gallery.search(event.currentTarget.value))}
          />
        </label>
        <div class="row">
          <select
            aria-label="Show"
            value={gallery.filter}
            onChange={(event) =>
              bench.do(() => bench.gallery.show(event.currentTarget.value as Filter))
            }
          >
            {FILTERS.map(([filter, text]) => (
              <option key={filter} value={filter}>
                {text}
              </option>
            ))}
          </select>
          <IconButton
            icon="refresh"
            label="Look for new files"
            onClick={() => bench.do(() => bench.gallery.scan())}
          />
          <IconButton icon="add" label="Add images" tip="left" onClick={pick} />
          <input
            ref={input}
            type="file"
            multiple
            hidden
            onChange={(event) => {
              const files = [...(event.currentTarget.files ?? [])];
              event.currentTarget.value = "";
              bench.do(() => bench.gallery.upload(files));
            }}
          />
        </div>
      </div>
      <div class="gallery-list" onScroll={loadMore}>
        <Suggestions bench={bench} state={state} />
        <ul aria-label="Images" aria-busy={gallery.isLoading}>
          {gallery.entries.map((image) => (
            <Entry key={image.id} bench={bench} state={state} image={image} />
          ))}
        </ul>
        {gallery.entries.length === 0 && !gallery.isLoading ? (
          <EmptyGallery bench={bench} state={state} onAdd={pick} />
        ) : null}
      </div>
    </aside>
  );
}

function Suggestions({ bench, state }: Props) {
  const { query, filter } = state.gallery;
  const here = state.opening?.id ?? state.opened?.image.id;
  const suggestions = state.gallery.suggestions.filter(({ id }) => id !== here);
  if (suggestions.length === 0 || query !== "" || filter !== "all") return null;
  return (
    <section class="suggestions">
      <h2>Suggested next</h2>
      <ul aria-label="Suggested next, least certain first">
        {suggestions.map((image) => (
          <Entry key={image.id} bench={bench} state={state} image={image} isSuggestion />
        ))}
      </ul>
    </section>
  );
}

function Entry(props: Props & { readonly image: ImageEntry; readonly isSuggestion?: boolean }) {
  const { bench, state, image } = props;
  const status = statusOf(image, state.author);
  const isCurrent = (state.opening?.id ?? state.opened?.image.id) === image.id;
  return (
    <li>
      <button
        type="button"
        class="entry"
        aria-current={isCurrent ? "true" : undefined}
        disabled={status === "broken"}
        title={image.name}
        onClick={() => bench.do(() => bench.opening.open(image.id))}
      >
        <span class="thumbnail">
          {status === "broken" ? (
            <Icon name="warning" />
          ) : (
            <img
              src={addresses.thumbnail(image.id, 96, image.changed)}
              alt=""
              // A file that cannot be read has no picture; the list says so when it comes again.
              onError={(event) => (event.currentTarget.style.visibility = "hidden")}
              onLoad={(event) => (event.currentTarget.style.visibility = "")}
              loading="lazy"
              decoding="async"
            />
          )}
        </span>
        <span class="entry-text">
          <span class="entry-name">{image.name}</span>
          <span class={`status status-${status}`}>
            <span class="dot" />
            {detailOf(image, status, props.isSuggestion === true)}
          </span>
        </span>
      </button>
    </li>
  );
}

function detailOf(image: ImageEntry, status: Status, isSuggestion: boolean): string {
  if (isSuggestion && image.uncertainty !== null) {
    return `Certainty ${Math.round(100 * (1 - image.uncertainty))} %`;
  }
  if (status === "in-use") return `${image.in_use_by ?? "Somebody"} works on it`;
  if (status === "accepted" && image.labels.length > 0) {
    return `Accepted: ${image.labels.join(", ")}`;
  }
  if (status === "broken" || status === "skipped") {
    return image.reason === null || image.reason === "" ? STATUS[status] : image.reason;
  }
  const slices = image.slices !== null && image.slices > 1 ? ` · ${image.slices} slices` : "";
  return STATUS[status] + slices;
}

function EmptyGallery({ bench, state, onAdd }: Props & { readonly onAdd: () => void }) {
  const { query, filter } = state.gallery;
  if (query !== "" || filter !== "all") {
    return (
      <div class="empty">
        <p>No image matches.</p>
        <button
          type="button"
          class="button"
          onClick={() =>
            bench.do(async () => {
              await bench.gallery.search("");
              await bench.gallery.show("all");
            })
          }
        >
          Show all images
        </button>
      </div>
    );
  }
  return (
    <div class="empty">
      <Icon name="folder" size={32} />
      <p>There are no images yet. Put files into the project's folder, or add them here.</p>
      <button type="button" class="button" onClick={onAdd}>
        Add images
      </button>
    </div>
  );
}
