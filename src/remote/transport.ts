/**
 * Brings messages to a participant host. It never repeats a message by itself: the coordinator does that, where it is
 * harmless.
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
   * @returns a promise that resolves when no further answer comes. It rejects when further answers may be lost.
   */
  send(message: string, receive: (answer: unknown) => void, timeLeftMs: number): Promise<void>;

  /** Closes what is open. Running messages may be lost. */
  close(): void | Promise<void>;
}
