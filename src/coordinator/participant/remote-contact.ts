/** The state of the calls of one member to a participant in another process. @publicApi */
export interface RemoteContact {
  /** The calls that wait for an answer. */
  readonly inFlight: number;
  /** The calls that wait for a place. */
  readonly queued: number;
  /** When it has answered a call last: ISO 8601. Null when it has not since the start. */
  readonly answeredAt: string | null;
  /** The latest call that has got no answer, and why. Null when there was none since the start. */
  readonly failure: { readonly at: string; readonly problem: string } | null;
}
