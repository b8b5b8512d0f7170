/** The line at the top: the project, how far it is, and what is for the whole of it. */

import { finished, hasEnded, type State } from "../model/state";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";
import { Icon } from "./icon";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function Header({ bench, state }: Props) {
  const { project } = state;
  const running = state.jobs.filter((job) => !hasEnded(job));
  const { done, total } = project === null ? { done: 0, total: 0 } : finished(project);
  const drawer = (name: "images" | "labels") => () =>
    bench.setDrawer(state.drawer === name ? null : name);
  return (
    <header class="header">
      <IconButton
        icon="image"
        label="Images"
        class="only-narrow"
        isPressed={state.drawer === "images"}
        onClick={drawer("images")}
      />
      <Mark />
      <h1 title={project?.name}>{project?.name ?? "medprism"}</h1>
      <div class="done" aria-label={`${done} of ${total} images done`} role="img">
        <span class="done-track">
          <span style={{ width: `${total === 0 ? 0 : (100 * done) / total}%` }} />
        </span>
        <span>
          {done} of {total}
        </span>
      </div>
      <span class="grow" />
      <IconButton
        icon="jobs"
        label={running.length > 0 ? `Jobs, ${running.length} running` : "Jobs"}
        badge={running.length > 0 ? String(running.length) : null}
        onClick={() => bench.setDialog("jobs")}
      />
      <button type="button" class="button is-small" onClick={() => bench.setDialog("export")}>
        <Icon name="down" size={16} /> Export
      </button>
      <IconButton
        icon={isDark(state) ? "light" : "dark"}
        label={isDark(state) ? "Light colours" : "Dark colours"}
        onClick={() => bench.setTheme(isDark(state) ? "light" : "dark")}
      />
      <IconButton
        icon="settings"
        label={`Settings, working as ${state.author}`}
        tip="left"
        onClick={() => bench.setDialog("settings")}
      />
      <IconButton
        icon="help"
        id="help"
        label="Keys and help"
        command="help"
        tip="left"
        onClick={() => bench.setDialog("help")}
      />
    </header>
  );
}

function isDark({ theme }: State): boolean {
  if (theme !== "system") return theme === "dark";
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** A prism that parts a ray. */
export function Mark({ size = 24 }: { readonly size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <path class="mark-prism" d="M12 3.5L21.5 20h-19z" />
      <path class="mark-ray" d="M1 14.5l7.7-3M14.5 11l8 2M15 13l7.5 4" />
    </svg>
  );
}
