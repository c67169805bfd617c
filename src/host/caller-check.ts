import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { type Credentials, TokenCheck } from '../remote/wire/index.js';
import type { HostLog } from './host-log.js';

/** Why a caller is not admitted. */
export interface CallerRefusal {
  /** Of HTTP. */
  readonly status: 401 | 503;
  readonly code: string;
  readonly detail: string;
}

/** Admits the callers that have a token of a coordinator. */
export class CallerCheck {
  /** Why the tokens could not be read at the last message. */
  private problem: string | undefined;
  private readonly tokens: TokenCheck;

  constructor(
    credentials: Credentials,
    private readonly log: HostLog,
  ) {
    this.tokens = new TokenCheck(credentials);
  }

  /** @returns undefined for a caller with a token. */
  refusalOf(authorization: unknown): CallerRefusal | undefined {
    try {
      const isAdmitted = this.tokens.admits(authorization);
      this.problem = undefined;
      if (isAdmitted) return undefined;
    } catch (error) {
      this.report(messageOf(error));
      return {
        status: 503,
        code: 'DTC_CREDENTIALS_UNREADABLE',
        detail: 'The host cannot read its tokens, so it admits no caller: its log says why.',
      };
    }
    return {
      status: 401,
      code: 'DTC_UNAUTHENTICATED',
      detail: 'A token of a coordinator is needed: Authorization: Bearer <token>.',
    };
  }

  private report(reason: string): void {
    if (reason === this.problem) return;
    this.problem = reason;
    this.log.error(`The host admits no caller until it can read its option credentials: ${oneLine(reason)}`);
  }
}
