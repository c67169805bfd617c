/**
 * What the calls of a message do: work of branches, their decisions, or the administration of a participant.
 * A transport keeps connections for each, so that work that hangs never holds up a decision.
 *
 * @publicApi
 */
export type CallKind = 'work' | 'completion' | 'administration';

/**
 * Brings messages to a participant host. It never repeats a message by itself: the coordinator does that,
 * where it is harmless.
 *
 * @publicApi
 */
export interface ParticipantTransport {
  /** Where the participant is reached, for logs and for the decision log. */
  readonly address: string;

  /**
   * Sends one message.
   *
   * @param message JSON, as `docs/remote.md` describes it.
   * @param receive takes each answer as soon as it is here, read from JSON. It is not checked.
   * @param timeLeftMs after this time nothing more is received, and the promise rejects.
   * @param kind what the calls of the message do.
   * @returns a promise that resolves when no further answer comes. It rejects when further answers may be
   * lost.
   */
  send(
    message: string,
    receive: (answer: unknown) => void,
    timeLeftMs: number,
    kind: CallKind,
  ): Promise<void>;

  /** Closes what is open. Running messages may be lost. */
  close(): void | Promise<void>;
}
