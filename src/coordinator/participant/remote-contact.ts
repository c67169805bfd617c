/** The state of the calls of one member to a participant in another process. @publicApi */
export interface RemoteContact {
  /** The calls that wait for an answer. */
  readonly inFlight: number;
  /** The calls that wait for a place. */
  readonly queued: number;
  /** When it has answered a call last: ISO 8601. Null when it has not since the start, or since it has moved. */
  readonly answeredAt: string | null;
  /** The latest call that has got no answer or was not sent, and why. Null when there was none since the start, or since it has moved. */
  readonly failure: { readonly at: string; readonly problem: string } | null;
  /** What its host has said of itself last. Left out before it has been asked. */
  readonly host?: RemoteHost | undefined;
}

/** What a participant host says of itself. A host of another version may say less: then a field is null. @publicApi */
export interface RemoteHost {
  /** When it has said so: ISO 8601. */
  readonly at: string;
  /** The version of this package in the process that has answered. */
  readonly version: string | null;
  /** The versions of all processes that have answered at this address in the last minutes; `unknown` for one that does not say it. */
  readonly versions: readonly string[];
  /** The calls to the participant that the process is at work on, also those of other coordinators. */
  readonly atWork: number | null;
  /** The calls to the participant that the process has answered since its start. */
  readonly calls: number | null;
  /** How many of them it has answered with an error. */
  readonly errors: number | null;
}
