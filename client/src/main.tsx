import { render } from "preact";
import { App } from "./view/app";
import { Workbench } from "./work/workbench";

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no element with the id app");
const bench = new Workbench();
render(<App bench={bench} />, root);
void bench.start();
