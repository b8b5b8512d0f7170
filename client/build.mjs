// Bundles src/ into the Python package, so that its users need no node.
//   node build.mjs           write the bundle
//   node build.mjs --check   exit 1 if the committed bundle is not what the sources give
//   node build.mjs --watch   write it again after every change
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../src/medprism/apps/workbench/static");
const plain = ["index.html", "icon.svg"];

const options = {
  entryPoints: [
    { in: join(here, "src/main.tsx"), out: "app" },
    { in: join(here, "src/app.css"), out: "app" },
  ],
  absWorkingDir: here,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  target: ["es2022", "chrome110", "firefox110", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  banner: { js: "/* medprism workbench, Apache-2.0; with Preact, MIT (c) Jason Miller */" },
  outdir: out,
};

async function differing() {
  const { outputFiles } = await esbuild.build({ ...options, write: false });
  const files = [
    ...outputFiles.map(({ path, contents }) => [path, Buffer.from(contents)]),
    ...(await Promise.all(
      plain.map(async (name) => [join(out, name), await readFile(join(here, "src", name))]),
    )),
  ];
  const names = [];
  for (const [path, contents] of files) {
    const committed = await readFile(path).catch(() => null);
    if (committed === null || !committed.equals(contents)) names.push(path.slice(out.length + 1));
  }
  return names;
}

async function copyPlain() {
  await mkdir(out, { recursive: true });
  for (const name of plain) await copyFile(join(here, "src", name), join(out, name));
}

if (process.argv.includes("--check")) {
  const names = await differing();
  if (names.length > 0) {
    console.error(`not what the sources give: ${names.join(", ")}; run: make client`);
    process.exit(1);
  }
} else if (process.argv.includes("--watch")) {
  await copyPlain();
  await (await esbuild.context({ ...options, logLevel: "info" })).watch();
} else {
  await esbuild.build({ ...options, logLevel: "info" });
  await copyPlain();
}
