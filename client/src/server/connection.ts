/** One request to the server, and what can go wrong with it. */

export interface Lease {
  readonly author: string;
  readonly since: string;
  readonly until: string;
}

/** The server answered that it will not; the message is its own sentence. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly lease: Lease | null,
  ) {
    super(message);
  }
}

/** No answer: the server is gone or the network is. */
export class Lost extends Error {}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

interface ErrorBody {
  readonly error?: { readonly code?: string; readonly message?: string; readonly lease?: Lease };
}

const BUSY_TRIES = 5;

export class Connection {
  /** Called when a request got no answer. */
  onLost: () => void = () => undefined;
  author = "";

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.json<T>("GET", path + queryText(query));
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.json<T>("POST", path, body);
  }

  patch<T>(path: string, body: unknown): Promise<T> {
    return this.json<T>("PATCH", path, body);
  }

  async delete(path: string): Promise<void> {
    await this.send("DELETE", path);
  }

  upload<T>(path: string, form: FormData): Promise<T> {
    return this.json<T>("POST", path, form);
  }

  /** A response whose body is not JSON (pictures). */
  raw(path: string, query: Query = {}): Promise<Response> {
    return this.send("GET", path + queryText(query));
  }

  private async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.send(method, path, body);
    if (response.status === 204) return undefined as T;
    return (await response.json()) as T;
  }

  private async send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.author !== "") headers["X-Author"] = encodeURIComponent(this.author);
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers, credentials: "same-origin" };
    if (body !== undefined) init.body = isForm ? body : JSON.stringify(body);
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.fetch(path, init);
      if (response.ok) return response;
      const refusal = await refusalOf(response);
      // Nothing was done: the server has more to do than it can remember.
      if (refusal.code !== "busy" || attempt === BUSY_TRIES) throw refusal;
      const seconds = Number(response.headers.get("Retry-After") ?? "1");
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    }
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(path, init);
    } catch {
      this.onLost();
      throw new Lost("the server does not answer");
    }
  }
}

async function refusalOf(response: Response): Promise<Refusal> {
  const body = (await response.json().catch(() => ({}))) as ErrorBody;
  const message = body.error?.message ?? `the server answered ${response.status}`;
  return new Refusal(
    response.status,
    body.error?.code ?? "unknown",
    message,
    body.error?.lease ?? null,
  );
}

/** `?a=1&b=x`, without what is null or undefined; empty if nothing is left. */
export function queryText(query: Query): string {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) words.set(key, String(value));
  }
  const text = words.toString();
  return text === "" ? "" : `?${text}`;
}
