// Bundles every test for node and runs node's own test runner on them.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const tests = (await readdir(join(here, "tests"))).filter((name) => name.endsWith(".test.ts"));
const folder = await mkdtemp(join(tmpdir(), "workbench-tests-"));
try {
  await esbuild.build({
    entryPoints: tests.map((name) => join(here, "tests", name)),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    outdir: folder,
    outExtension: { ".js": ".mjs" },
  });
  const built = tests.map((name) => join(folder, name.replace(/\.ts$/, ".mjs")));
  const flags = ["--enable-source-maps", "--test", "--test-reporter=dot"];
  const { status } = spawnSync(process.execPath, [...flags, ...built], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
