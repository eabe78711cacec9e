// Questions to /api/v1: JSON with a time limit, that can be given up, and errors that say what to do.

const TIMEOUT_MS = 15_000;

export class ApiError extends Error {
  /** `status`: of HTTP; 0 where there was no answer. */
  constructor(message, status = 0, options = {}) {
    super(message, options);
    this.name = "ApiError";
    this.status = status;
  }
}

/**
 * Fetch `path` below /api/v1/ ("feeds", "contracts/x%3Ay/history?hours=48").
 * Throws ApiError; an abort by the caller's `signal` throws the signal's AbortError, to be ignored by the caller.
 */
export async function getJson(path, { signal, timeout = TIMEOUT_MS } = {}) {
  const limit = AbortSignal.timeout(timeout);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  let answer;
  try {
    answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), {
      signal: both,
      headers: { Accept: "application/json" },
      credentials: "same-origin",
    });
  } catch (error) {
    signal?.throwIfAborted();
    const why = limit.aborted ? `no answer within ${timeout / 1000} s` : "the server cannot be reached";
    throw new ApiError(`${why}; trying again may help`, 0, { cause: error });
  }
  if (answer.status === 401) location.assign(new URL("login", document.baseURI));
  if (!answer.ok) throw new ApiError(await reasonOf(answer), answer.status);
  try {
    return await answer.json();
  } catch {
    signal?.throwIfAborted();
    throw new ApiError("the answer is not JSON or broke off; trying again may help", answer.status);
  }
}

/** The server's own sentence where it sent one, else what the status means. */
export async function reasonOf(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string" && error) return error;
  } catch {
    // Not JSON: a proxy's page, or nothing.
  }
  const known = { 403: "not allowed from this address", 404: "not found", 429: "too many requests; wait a moment" };
  return known[answer.status] ?? `the server answered ${answer.status} ${answer.statusText}`.trim();
}

/** A contract's part of a path: the id with every special character encoded. */
export const contractPath = (id) => `contracts/${encodeURIComponent(id)}`;

/** Whether an error means that the caller itself gave up. */
export const isAbort = (error) => error?.name === "AbortError";
