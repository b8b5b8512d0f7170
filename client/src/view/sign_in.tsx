/** Without a valid token there is nothing to see. */

import { useState } from "preact/hooks";
import type { State } from "../model/state";
import type { Workbench } from "../work/workbench";
import { Mark } from "./header";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function SignIn({ bench, state }: Props) {
  const [token, setToken] = useState("");
  return (
    <main class="cover">
      <form
        class="cover-card"
        onSubmit={(event) => {
          event.preventDefault();
          bench.do(() => bench.signIn(token.trim()));
        }}
      >
        <Mark size={40} />
        <h1>Sign in</h1>
        <p>
          Open the address that <code>medprism annotate</code> printed, or paste the token that
          stands behind <code>#token=</code> in it.
        </p>
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        {state.failure === null ? null : (
          <p class="error" role="alert">
            {state.failure}
          </p>
        )}
        <button type="submit" class="button is-primary" disabled={token.trim() === ""}>
          Sign in
        </button>
      </form>
    </main>
  );
}

export function Failed({ state }: { readonly state: State }) {
  return (
    <main class="cover">
      <div class="cover-card" role="alert">
        <Mark size={40} />
        <h1>The project cannot be shown</h1>
        <p>{state.failure}</p>
        <button type="button" class="button is-primary" onClick={() => location.reload()}>
          Try again
        </button>
      </div>
    </main>
  );
}

export function Starting({ state }: { readonly state: State }) {
  return (
    <main class="cover" role="status">
      <div class="cover-card is-plain">
        <Mark size={40} />
        <p>{state.lost === null ? "Opening the project …" : "Waiting for the server …"}</p>
      </div>
    </main>
  );
}
