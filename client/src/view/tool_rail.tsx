/** The tools beside the image. */

import type { Command } from "../model/hotkeys";
import type { State } from "../model/state";
import { hasRadius, MAX_RADIUS, MIN_RADIUS, type Tool } from "../model/tools";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";
import type { IconName } from "./icon";

const TOOLS: readonly (readonly [Tool, string, IconName])[] = [
  ["point", "Click", "point"],
  ["box", "Box", "box"],
  ["scribble", "Scribble", "scribble"],
  ["lasso", "Lasso", "lasso"],
  ["brush", "Brush", "brush"],
  ["eraser", "Eraser", "eraser"],
];

const VIEW_TOOLS: readonly (readonly [Tool, string, IconName])[] = [
  ["pan", "Move the image", "hand"],
  ["window", "Window and level", "window"],
];

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function ToolRail({ bench, state }: Props) {
  const tool = ([name, label, icon]: (typeof TOOLS)[number]) => (
    <IconButton
      key={name}
      icon={icon}
      label={label}
      tip="right"
      command={`tool.${name}` as Command}
      isPressed={state.tool === name}
      isDisabled={name === "window" && state.opened?.image.is_rgb === true}
      onClick={() => bench.setTool(name)}
    />
  );
  const { session } = state.opened ?? { session: null };
  return (
    <div class="rail" role="toolbar" aria-label="Tools" aria-orientation="vertical" id="tools">
      <div class="rail-group">{TOOLS.map(tool)}</div>
      <div class="rail-group">
        <IconButton
          icon={state.isPositive ? "add" : "minus"}
          label={state.isPositive ? "Adds to the mask" : "Takes away from the mask"}
          tip="right"
          command="polarity"
          class={state.isPositive ? "polarity" : "polarity is-negative"}
          onClick={() => bench.run("polarity")}
        />
        <Radius bench={bench} state={state} />
      </div>
      <div class="rail-group">
        <IconButton
          icon="undo"
          label="Undo"
          command="undo"
          tip="right"
          isDisabled={session?.can_undo !== true}
          onClick={() => bench.run("undo")}
        />
        <IconButton
          icon="redo"
          label="Redo"
          command="redo"
          tip="right"
          isDisabled={session?.can_redo !== true}
          onClick={() => bench.run("redo")}
        />
      </div>
      <div class="rail-group rail-end">
        {VIEW_TOOLS.map(tool)}
        <IconButton
          icon="fit"
          label="Fit the image"
          command="zoom.fit"
          tip="right"
          onClick={() => bench.run("zoom.fit")}
        />
      </div>
    </div>
  );
}

function Radius({ bench, state }: Props) {
  const isUsed = hasRadius(state.tool);
  return (
    <label class="radius" data-tip={`Radius ${state.radius} pixels  [ ]`} data-tip-side="right">
      <span class="radius-dot" style={{ "--radius": Math.min(state.radius, 20) }} />
      <input
        type="range"
        min={MIN_RADIUS}
        max={MAX_RADIUS}
        value={state.radius}
        disabled={!isUsed}
        aria-label="Radius in pixels"
        onInput={(event) => bench.desk.store.set({ radius: event.currentTarget.valueAsNumber })}
      />
    </label>
  );
}
